"""``emotion-recognize serve``: a page and a JSON API over a trained model, on this machine."""

import argparse
from pathlib import Path
from typing import Any

from emo_fairseq.cli.checkpoints import find_model
from emo_fairseq.cli.serve_limits import add_limit_options, limits_of
from emo_fairseq.cli.transcription import add_transcription_options, load_transcriber
from emo_fairseq.errors import UsageError

_HOST, _PORT = "127.0.0.1", 8000
_EXTRA = ("fastapi", "starlette", "python_multipart", "uvicorn", "h11", "websockets")


def add(subcommands: Any) -> None:
    """Add the parser."""
    about = "serve a trained model: a web page for recordings and texts, and a JSON API"
    parser: argparse.ArgumentParser = subcommands.add_parser("serve", help=about, description=about)
    parser.set_defaults(run=run, takes_further=False, loads_models=True)
    option = parser.add_argument
    which = "model folder, checkpoint, or folder of a training (its best one)"
    option("model", type=Path, metavar="MODEL", help=which)
    option("--host", default=_HOST, help="address to listen on (default: %(default)s)")
    option("--port", type=int, default=_PORT, help="default: %(default)s")
    known = "name of this server in the network or at a proxy; may be repeated"
    option("--allow-host", action="append", default=[], metavar="NAME", help=known)
    option("--device", default="cpu", help="cpu, cuda, cuda:1 (default: %(default)s)")
    add_transcription_options(parser)
    add_limit_options(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted.

    Raises:
        UsageError: no model, or the extra is not installed.
    """
    try:
        from emo_fairseq.serving import server
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise UsageError(
            f"serve needs {error.name}, which is not installed: pip install 'emo_fairseq[serve]'",
            "package-missing",
        ) from error

    server.run(
        find_model(options.model),
        options.host,
        options.port,
        limits=limits_of(options),
        hosts=options.allow_host,
        device=options.device,
        transcriber=load_transcriber(options),
    )
    return 0
