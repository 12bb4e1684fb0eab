"""Files of turns on the command line: the options of how they are read."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.segmentation.formats import FORMATS, read_segmentation
from data_prep.segmentation.turn import Segmentation
from emo_fairseq.errors import UsageError

SUFFIXES = ", ".join(known.suffix for known in FORMATS.values())


@dataclass(frozen=True)
class TurnFileOptions:
    """How files of turns are read.

    Attributes:
        format: a name of :data:`data_prep.segmentation.formats.FORMATS`; None: by the suffix.
        tiers: names of those that are read; empty: each speaker's.
        encoding: of a text file without a byte order mark; None: UTF-8.
    """

    format: str | None = None
    tiers: Sequence[str] = ()
    encoding: str | None = None


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


def turn_file_options(options: argparse.Namespace) -> TurnFileOptions:
    """Return the options of a command line."""
    return TurnFileOptions(options.segments_format, options.tier, options.encoding)


def read_turns(path: Path, recording: str, options: TurnFileOptions) -> Segmentation:
    """Read the turns of a recording.

    Raises:
        UsageError: the file cannot be read.
    """
    return read_segmentation(
        path,
        kind=options.format,
        recording=recording,
        tiers=options.tiers,
        encoding=options.encoding,
    )
