"""Look at a data dir before training on it: its summary, its leaks, and, if asked, its plots.

    python -m data_prep.inspect_corpus DATA_DIR [--data-raw DIR] [--plots FOLDER]

Exits 1 when there is a leak that makes a score worthless (see `leaks`), else 0. The sets of every
fold in DATA_DIR/folds are checked alike, by what their protocol keeps apart. Sounds are compared
byte for byte, and only those of equal size are read; segments of one recording by their times.
Plots need matplotlib (`pip install matplotlib`): label shares, lengths and VAD by split, as PNG and
SVG.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.commands.command_line import (
    make_parser,
    run,
)
from data_prep.commands.inspect_plots import plot_all
from data_prep.files.digests import file_digests
from data_prep.folds.file import (
    FOLDS_FOLDER,
    read_base,
    read_folds,
)
from data_prep.folds.leaks import check_leaks
from data_prep.folds.records import Folds
from data_prep.manifest.labels import check_folds
from data_prep.manifest.leaks import (
    ERROR,
    Leak,
    Splits,
    find_leaks,
    find_twins,
    same_size,
)
from data_prep.manifest.records import Utterance
from data_prep.manifest.summary import (
    read_data_dir,
    render_summary,
    summarize,
)

AllFolds = Sequence[tuple[str, Folds, list[Utterance]]]  # protocol, folds, their rows
MEMORY = ".digests.json"  # in the data dir: what digests the audio files had


def sound_digests(splits: Splits, raw: Path, memory: Path) -> tuple[dict[str, str], list[str]]:
    """Digests of the audio that may be there twice, and the paths that lead to no file.

    Args:
        splits: the rows of every split.
        raw: the folder that audio paths start from.
        memory: the file that remembers digests from one run to the next.
    """
    audio = dict.fromkeys(row.audio for rows in splits.values() for row in rows if row.audio)
    sizes: dict[Path, int] = {}
    absent = []
    for path in audio:
        try:
            sizes[raw / path] = (raw / path).stat().st_size
        except OSError:
            absent.append(path)
    twins = same_size(sizes)
    digests = dict(zip(twins, file_digests(twins, memory), strict=True))
    found = {path: digests.get(raw / path) for path in audio}
    return {path: digest for path, digest in found.items() if digest is not None}, absent


def inspect(data_dir: Path, data_raw: Path | None = None, plots: Path | None = None) -> None:
    """Print the summary and the leaks of `data_dir`, and write plots into the folder `plots`.

    Raises ValueError when it leaks.
    """
    corpus, splits = read_data_dir(data_dir)
    print(render_summary(summarize(corpus, splits)))
    if plots is not None:
        for file in plot_all(corpus, splits, plots):
            print(f"wrote {file}")
    raw = data_raw or data_dir
    with tempfile.TemporaryDirectory() as scratch:  # where the data dir cannot be written to
        place = data_dir if os.access(data_dir, os.W_OK) else Path(scratch)
        digests, absent = sound_digests(splits, raw, place / MEMORY)
    print()
    if absent:
        print(
            f"note: {len(absent)} audio files are not in {raw} and were not compared, such as "
            f"{absent[0]}; say where paths start with --data-raw"
        )
    all_folds = list(_read_all_folds(data_dir))
    leaks = [*find_leaks(corpus, splits, digests), *_fold_leaks(all_folds, digests)]
    for leak in leaks:
        print(leak)
    for warning in _fold_warnings(all_folds):
        print(f"warning: {warning}")
    errors = sum(leak.level == ERROR for leak in leaks)
    if errors:
        raise ValueError(f"{data_dir}: {errors} kind{'s' * (errors != 1)} of leak")
    print(f"{data_dir}: no leak" + " but what the notes say" * bool(leaks))


def _read_all_folds(data_dir: Path) -> Iterator[tuple[str, Folds, list[Utterance]]]:
    """Every protocol of a data dir with its folds and their rows.

    Raises ManifestError for a file that holds no folds.
    """
    for path in sorted((data_dir / FOLDS_FOLDER).glob("*.json")):
        folds = read_folds(path, check_apart=False)  # leaks are listed with all others
        yield path.stem, folds, read_base(data_dir, folds.bases)


def _fold_leaks(all_folds: AllFolds, digests: Mapping[str, str]) -> Iterator[Leak]:
    """What two sets of a fold share."""
    for protocol, folds, rows in all_folds:
        row_of = {row.id: row for row in rows}
        for sentence in check_leaks(folds, rows):
            yield Leak(ERROR, 1, f"leak of folds {protocol}", (sentence,))
        for name, sets in folds.folds.items():
            splits = {split: [row_of[row] for row in ids] for split, ids in sets.items()}
            for leak in find_twins(splits, digests):
                if leak.level == ERROR:
                    yield replace(leak, what=f"{leak.what} of folds {protocol}, fold {name}")


def _fold_warnings(all_folds: AllFolds) -> Iterator[str]:
    """What classes the sets of folds lack."""
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
    return run(lambda: _inspect(options))


def _inspect(options: argparse.Namespace) -> None:
    inspect(options.data_dir, options.data_raw, options.plots)
