"""``emotion-recognize serve``: a page and a JSON API over a trained model, on this machine."""

import argparse
import functools
import os
from pathlib import Path
from typing import Any

from emo_fairseq.cli.checkpoints import find_model
from emo_fairseq.cli.serve_options import (
    TOKENS,
    TRANSCRIPTION,
    add_serve_options,
    values_of,
)
from emo_fairseq.cli.transcription import add_transcription_options, load_transcriber
from emo_fairseq.errors import UsageError
from emo_fairseq.serving.limits import limits_of
from emo_fairseq.serving.tokens import read_tokens

_EXTRA = (
    "fastapi",
    "h11",
    "prometheus_client",
    "python_multipart",
    "starlette",
    "uvicorn",
    "websockets",
)


def add(subcommands: Any, about: str) -> None:
    """Add the parser."""
    parser: argparse.ArgumentParser = subcommands.add_parser("serve", help=about, description=about)
    parser.set_defaults(run=run, takes_further=False, loads_models=True)
    which = "model folder, checkpoint, or folder of a training (its best one)"
    parser.add_argument("model", type=Path, metavar="MODEL", help=which)
    add_transcription_options(parser)
    add_serve_options(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted.

    Raises:
        UsageError: no model, a wrong value in the environment, or the extra is not installed.
    """
    values = values_of(options, os.environ)
    try:
        from emo_fairseq.serving import serve
        from emo_fairseq.serving.server import ServerOptions

        serve.serve(
            find_model(options.model),
            ServerOptions(
                host=values["host"],
                port=values["port"],
                hosts=tuple(values["allow_host"]),
                trusted_proxies=tuple(values["trusted_proxy"]),
                tokens=read_tokens(values["tokens_file"], os.environ.get(TOKENS, "")),
                access_log=values["access_log"],
                workers=values["workers"],
                device=values["device"],
                precision=values["precision"],
                provider=values["provider"],
                face_detector=values["face_detector"],
                limits=limits_of(values),
                load_transcriber=functools.partial(
                    load_transcriber,
                    argparse.Namespace(**{name: values[name] for name in TRANSCRIPTION}),
                ),
            ),
        )
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise UsageError(
            f"serve needs {error.name}, which is not installed: pip install 'emo_fairseq[serve]'",
            "package-missing",
        ) from error
    return 0
