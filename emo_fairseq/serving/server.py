"""A model folder behind an address: loaded once, then served until interrupted.

Behind a proxy all clients have its address, and so share one rate and half of the places: the proxy
has to bound each client's, and the limits have to be raised.
"""

import contextlib
import ipaddress
import logging
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from emo_fairseq.errors import UsageError
from emo_fairseq.serving.limits import Limits

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

logger = logging.getLogger(__name__)

HOST, PORT = "127.0.0.1", 8000


def run(
    folder: Path,
    host: str = HOST,
    port: int = PORT,
    *,
    limits: Limits | None = None,
    hosts: Collection[str] = (),
    device: str | None = None,
) -> None:
    """Serve the page and the API of a model.

    Args:
        folder: what ``emotion-recognize export`` wrote; or a checkpoint.
        host: address to listen on; one that other machines reach is warned of.
        port: 1 to 65535.
        limits: what clients may ask.
        hosts: names under which a proxy or the network knows this server.
        device: that the model runs on; by default the GPU, if there is one.

    Raises:
        UsageError: the extra is not installed, the port is none, or the folder is no model.
    """
    if not 1 <= port <= 65535:
        raise UsageError(f"--port {port}: give a number from 1 to 65535")
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn
    except ModuleNotFoundError as error:
        raise UsageError(
            f'serve needs {error.name}, which is not installed: pip install -e ".[serve]"'
        ) from error
    from emo_fairseq.inference.predictor import load_predictor
    from emo_fairseq.serving.about import about_model
    from emo_fairseq.serving.app import create_app

    predictor = load_predictor(folder, device)
    app = create_app(predictor, limits, about_model(folder), [host, *hosts])
    sys.stderr.write(f"{folder}: http://{f'[{host}]' if ':' in host else host}:{port}/\n")
    if warning := exposure(host):
        logger.warning(warning)
    with contextlib.suppress(KeyboardInterrupt):  # the usual end of a server
        uvicorn.Server(server_config(app, host, port, limits or Limits())).run()


def server_config(app: "FastAPI", host: str, port: int, limits: Limits) -> "uvicorn.Config":
    """What uvicorn serves an application by."""
    import uvicorn

    from emo_fairseq.serving.connection import bounded_protocol

    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=bounded_protocol(limits),
        log_level="warning",
        access_log=False,  # requests hold people's words
        proxy_headers=False,  # a client must not choose the address that its rate is counted by
        server_header=False,
        timeout_graceful_shutdown=5,
        ws="none",
    )


def exposure(host: str) -> str:
    """What to be warned of when listening on `host`; empty for the loopback interface.

    >>> exposure("127.0.0.1"), exposure("localhost"), exposure("::1")
    ('', '', '')
    >>> exposure("0.0.0.0")[:32]
    '0.0.0.0: other machines can reac'
    """
    try:
        inside = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if inside:
        return ""
    return (
        f"{host}: other machines can reach this server; it knows no passwords and no encryption, "
        "so put a proxy that does in front of it"
    )
