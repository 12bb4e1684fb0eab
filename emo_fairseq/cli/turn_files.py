"""Files of turns on the command line: the options of how they are read."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from data_prep.segmentation.formats import FORMATS, read_segmentation
from data_prep.segmentation.turn import Segmentation
from emo_fairseq.errors import UsageError

SUFFIXES = ", ".join(known.suffix for known in FORMATS.values())


ReadTurns = Callable[..., Segmentation]  # of a file, given `recording`


def add_turn_file_options(option: Any) -> None:
    """Add the options beside ``--segments``, by `add_argument` of a parser or of a group."""
    option(
        "--segments-format",
        choices=tuple(FORMATS),
        help="format of --segments (default: by the suffix)",
    )
    tier = "tier of TextGrid or ELAN to read (repeat for more; default: that of every speaker)"
    option("--tier", action="append", default=[], metavar="NAME", help=tier)


def check_turn_file_options(options: argparse.Namespace) -> None:
    """Raise a `UsageError` if these options are given without ``--segments``."""
    if options.tier or options.segments_format:
        name = "--tier" if options.tier else "--segments-format"
        raise UsageError(f"{name}: is of --segments; give that, too", "option-idle")


def turn_reader(options: argparse.Namespace) -> ReadTurns:
    """Return :func:`read_segmentation` with the options of a command line."""
    return partial(
        read_segmentation,
        kind=options.segments_format,
        tiers=options.tier,
        encoding=options.encoding,
    )
