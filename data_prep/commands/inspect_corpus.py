"""Inspect a data dir before training: its summary, its leaks and, with --plots, its plots.

    python -m data_prep.inspect_corpus DATA_DIR [--data-raw DIR] [--plots FOLDER]

Exits 1 for a leak that invalidates a score (see `data_prep.manifest.leaks`), else 0. The sets of
every fold in DATA_DIR/folds are checked too, by their protocol. Sounds are compared byte for byte,
and only those of equal size are read; segments of one recording by their times.
Plots need matplotlib (`pip install matplotlib`): label shares, lengths and VAD by split, as PNG and
SVG.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.command_line import make_parser, run
from data_prep.errors import CodedError
from data_prep.folds.file import FOLDS_FOLDER, read_base, read_folds
from data_prep.folds.protocols import check_leaks
from data_prep.folds.records import Folds
from data_prep.folds.twins import twins_across_sets
from data_prep.manifest.audio_root import audio_root
from data_prep.manifest.labels import check_folds
from data_prep.manifest.leaks import (
    DIGESTS_FILE,
    ERROR,
    Leak,
    find_leaks,
    sound_digests,
)
from data_prep.manifest.plots import plot_all
from data_prep.manifest.summary import read_data_dir, render_summary, summarize
from data_prep.manifest.table import ManifestTable

AllFolds = Sequence[tuple[str, Folds, ManifestTable]]  # protocol, folds, their rows


def inspect(data_dir: Path, data_raw: Path | None = None, plots: Path | None = None) -> None:
    """Print the summary and the leaks of `data_dir`, and write plots into the folder `plots`.

    Raises CodedError if it leaks.
    """
    corpus, splits = read_data_dir(data_dir)
    print(render_summary(summarize(corpus, splits)))
    if plots is not None:
        for file in plot_all(corpus, splits, plots):
            print(f"wrote {file}")
    raw = audio_root(data_dir, data_raw)
    with tempfile.TemporaryDirectory() as scratch:  # for a data dir that is not writable
        folder = data_dir if os.access(data_dir, os.W_OK) else Path(scratch)
        digests, absent = sound_digests(splits, raw, folder / DIGESTS_FILE)
    print()
    if absent:
        print(
            f"note: {len(absent)} audio files are not in {raw} and were not compared, such as "
            f"{absent[0]}; give the folder that paths start from with --data-raw"
        )
    all_folds = list(_read_all_folds(data_dir))
    leaks = [*find_leaks(corpus, splits, digests), *_fold_leaks(all_folds, digests)]
    for leak in leaks:
        print(leak)
    for warning in _fold_warnings(all_folds):
        print(f"warning: {warning}")
    errors = sum(leak.level == ERROR for leak in leaks)
    if errors:
        message = f"{data_dir}: {errors} kind{'s' * (errors != 1)} of leak"
        raise CodedError(message, "data-leak")
    print(f"{data_dir}: no leak" + " but those in the notes" * bool(leaks))


def _read_all_folds(data_dir: Path) -> Iterator[tuple[str, Folds, ManifestTable]]:
    """Yield every protocol of a data dir with its folds and their rows.

    Raises ManifestError for a file that holds no folds.
    """
    for path in sorted((data_dir / FOLDS_FOLDER).glob("*.json")):
        folds = read_folds(path, check_apart=False)  # leaks are listed with all others
        yield path.stem, folds, read_base(data_dir, folds.bases)


def _fold_leaks(all_folds: AllFolds, digests: Mapping[str, str]) -> Iterator[Leak]:
    """Yield what two sets of a fold share."""
    for protocol, folds, rows in all_folds:
        for sentence in check_leaks(folds, rows):
            yield Leak(ERROR, 1, f"leak of folds {protocol}", (sentence,))
        for name, leak in twins_across_sets(folds, rows, digests):
            yield replace(leak, what=f"{leak.what} of folds {protocol}, fold {name}")


def _fold_warnings(all_folds: AllFolds) -> Iterator[str]:
    """Yield the classes that sets of folds lack."""
    for protocol, folds, rows in all_folds:
        for warning in check_folds(folds.folds, rows):
            yield f"folds {protocol}: {warning}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of `inspect`."""
    parser = make_parser("inspect_corpus", __doc__ or "", audio=False)
    add = parser.add_argument
    add("data_dir", type=Path, metavar="DATA_DIR", help="folder with {split}.tsv and corpus.yaml")
    raw = "folder that audio paths start from (default: DATA_DIR)"
    add("--data-raw", type=Path, metavar="DIR", help=raw)
    add("--plots", type=Path, metavar="FOLDER", help="write plots there; needs matplotlib")
    options = parser.parse_args(arguments)
    return run(lambda: inspect(options.data_dir, options.data_raw, options.plots))
