"""What the data_prep commands share: one sentence instead of a traceback, and the worker option."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable

from data_prep.audio.loading import default_workers
from data_prep.commands.number_types import positive_int
from data_prep.messages import (
    INTERRUPTED,
    INTERRUPTED_CODE,
    sentence_with_code,
)


def make_parser(module: str, description: str, *, audio: bool = True) -> argparse.ArgumentParser:
    """A parser for `python -m data_prep.<module>`, with `--workers` where it reads audio."""
    parser = argparse.ArgumentParser(
        f"python -m data_prep.{module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if audio:
        parser.add_argument(
            "--workers",
            type=positive_int,
            default=default_workers(),
            help="threads that decode audio (default: %(default)s)",
        )
    return parser


def run(work: Callable[[], object]) -> int:
    """Do `work`; return 0, or another exit code after one sentence on stderr.

    1 is for a ValueError or OSError, 130 for an interruption.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        work()
    except (ValueError, OSError) as error:
        print(f"error: {sentence_with_code(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return INTERRUPTED_CODE
    return 0
