"""Print what a data dir holds: rows, hours, labels and dropped rows of every split.

    python -m data_prep.summary DATA_DIR

`python -m data_prep.inspect_corpus` also lists leaks, and draws plots.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_prep.command_line import (
    make_parser,
    run,
)
from data_prep.manifest.summary import print_summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the summary of a data dir."""
    parser = make_parser("summary", __doc__ or "", audio=False)
    parser.add_argument("data_dir", type=Path, help="folder with {split}.tsv and corpus.yaml")
    options = parser.parse_args(arguments)
    return run(lambda: print_summary(options.data_dir))
