"""Parsers and error handling of all data_prep commands."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence

from data_prep.engines.options import DEFAULT_WORKERS, add_engine_options
from data_prep.files.mirror import mirrored, with_origin
from data_prep.messages import (
    INTERRUPTED,
    INTERRUPTED_CODE,
    exit_code,
    missing_library,
    sentence_with_code,
)


def make_parser(module: str, description: str, *, audio: bool = True) -> argparse.ArgumentParser:
    """Return a parser for `python -m data_prep.<module>`, with an engine if it reads audio."""
    parser = argparse.ArgumentParser(
        f"python -m data_prep.{module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if audio:
        add_engine_options(parser, f"threads that decode audio (default: {DEFAULT_WORKERS})")
    return parser


def run(work: Callable[[], object]) -> int:
    """Run `work`; return 0, or print one sentence to stderr and return another exit code.

    2 is for a wrong option, 1 for any other ValueError or OSError, 130 for an interruption.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        work()
    except ModuleNotFoundError as error:
        mistake = missing_library(error)
        if mistake is None:
            raise
        print(f"error: {sentence_with_code(mistake)}", file=sys.stderr)
        return exit_code(mistake)
    except (ValueError, OSError) as error:
        print(f"error: {sentence_with_code(error)}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return INTERRUPTED_CODE
    return 0


def run_on_data_dir(
    options: argparse.Namespace,
    work: Callable[[argparse.Namespace], object],
    *,
    writes: Sequence[str],
) -> int:
    """Run `work` on `options.data_dir` and print what it returns; return the exit code of `run`.

    A data dir at a URL is mirrored, and the folders that `work` `writes` are uploaded.
    """

    def on_mirror() -> None:
        with mirrored(options.data_dir, writes=writes) as folder:
            options.data_dir = folder
            text = with_origin(str(work(options)), folder)
        print(text)

    return run(on_mirror)
