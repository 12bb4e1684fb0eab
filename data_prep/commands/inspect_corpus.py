"""Inspect a data dir before training: its summary, its leaks and, with --plots, its plots.

    python -m data_prep.inspect_corpus DATA_DIR [--data-raw DIR] [--plots FOLDER]

Exits 1 for a leak that invalidates a score (see `data_prep.manifest.leaks`), else 0. The sets of
every fold in DATA_DIR/folds are checked too, by their protocol. Sounds are compared byte for byte,
and only those of equal size are read; segments of one recording by their times.
Plots need matplotlib (`pip install matplotlib`): label shares, lengths and VAD by split, as PNG and
SVG.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.command_line import (
    make_parser,
    run,
)
from data_prep.errors import CodedError
from data_prep.files.replacing import replacing
from data_prep.folds.file import FOLDS_FOLDER, read_base, read_folds
from data_prep.folds.protocols import check_leaks
from data_prep.folds.records import Folds
from data_prep.manifest.audio_root import audio_root
from data_prep.manifest.columns import Kind, names_of
from data_prep.manifest.labels import check_folds
from data_prep.manifest.leaks import ERROR, Leak, Splits, find_leaks, find_twins
from data_prep.manifest.sound_digests import DIGESTS_FILE, sound_digests
from data_prep.manifest.summary import read_data_dir, render_summary, summarize
from data_prep.manifest.table import ManifestTable, count_values, ids_of
from data_prep.schema import Corpus, Utterance

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
        number_of = {name: number for number, name in enumerate(ids_of(rows))}
        for sentence in check_leaks(folds, rows):
            yield Leak(ERROR, 1, f"leak of folds {protocol}", (sentence,))
        for name, sets in folds.folds.items():
            splits = {
                split: rows.take([number_of[name] for name in ids]) for split, ids in sets.items()
            }
            for leak in find_twins(splits, digests):
                if leak.level == ERROR:
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
    return run(lambda: _inspect(options))


def _inspect(options: argparse.Namespace) -> None:
    inspect(options.data_dir, options.data_raw, options.plots)


# -- Plots: label shares, and histograms of seconds, words and VAD, by split -----------------------
# Colors are Okabe and Ito's, which color-blind readers distinguish; hatches and line styles repeat
# them in black and white. The same data give the same SVG files, byte for byte.

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
HATCHES = ("", "//", "..", "xx", "--", "oo")
LINES = ("-", "--", ":", "-.", "-", "--")
FORMATS = ("png", "svg")
_BINS = 40
_STYLE = {"svg.hashsalt": "data_prep", "svg.fonttype": "none", "font.size": 9}

Measure = Callable[[Utterance], float | None]


def plot_all(corpus: Corpus, splits: Splits, folder: Path) -> list[Path]:
    """Write every plot that the data dir has rows for; returns the files, PNG and SVG of each.

    Raises ValueError where matplotlib is not installed.
    """
    matplotlib = _matplotlib()
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context(_STYLE):
        for name, figure in _figures(corpus, splits):
            for suffix in FORMATS:
                file = folder / f"{name}.{suffix}"
                metadata = {"Date": None} if suffix == "svg" else None
                with replacing(file) as part:
                    figure.savefig(part, format=suffix, dpi=150, metadata=metadata)
                written.append(file)
    return written


def _matplotlib() -> Any:
    try:
        return importlib.import_module("matplotlib")
    except ImportError as error:
        message = "--plots: needs matplotlib; `pip install matplotlib`"
        raise CodedError(message, "package-missing") from error


def _figures(corpus: Corpus, splits: Splits) -> Iterator[tuple[str, Any]]:
    for column, names in corpus.labels.items():
        yield f"labels_{column}", _label_figure(corpus.name, column, names, splits)
    for name, title, measure in _measures(corpus):
        values = {split: _values(rows, measure) for split, rows in splits.items()}
        if any(len(part) for part in values.values()):
            yield name, _histogram(corpus.name, title, values)


def _measures(corpus: Corpus) -> list[tuple[str, str, Measure]]:
    """(file name, axis title, what to measure of a row)."""
    rate = corpus.sample_rate

    def axis(name: str) -> Measure:
        return lambda row: getattr(row, name)

    measures: list[tuple[str, str, Measure]] = [
        ("seconds", "length in seconds", lambda row: row.n_samples and row.n_samples / rate),
        ("words", "length in words", lambda row: len(row.text.split()) if row.text else None),
    ]
    return measures + [(name, name, axis(name)) for name in names_of(Kind.UNIT, Kind.NUMBER)]


def _values(rows: Sequence[Utterance], measure: Measure) -> list[float]:
    return [value for row in rows if (value := measure(row)) is not None]


def label_shares(column: str, names: Sequence[str], rows: Sequence[Utterance]) -> list[float]:
    """Return the share of each label among the labeled rows; 0 without any."""
    counted = count_values(rows, column)
    return [counted[name] / max(1, counted.total()) for name in names]


def _label_figure(corpus: str, column: str, names: Sequence[str], splits: Splits) -> Any:
    figure, axes = _empty(f"{corpus}: {column}", width=max(5.0, 1.5 + 0.35 * len(names) * 2))
    places = np.arange(len(names))
    width = 0.8 / max(1, len(splits))
    for number, (split, rows) in enumerate(splits.items()):
        shares = label_shares(column, names, rows)
        style = number % len(COLORS)
        axes.bar(
            places + (number - (len(splits) - 1) / 2) * width,
            shares,
            width,
            color=COLORS[style],
            hatch=HATCHES[style],
            edgecolor="black",
            linewidth=0.4,
            label=f"{split} ({len(rows)})",
        )
    axes.set_xticks(places, names, rotation=40, ha="right")
    axes.set_ylabel("share of the labeled rows")
    axes.legend()
    return figure


def _histogram(corpus: str, title: str, values: Mapping[str, Sequence[float]]) -> Any:
    """Shares of rows by value, in bins that are the same in every split."""
    figure, axes = _empty(f"{corpus}: {title}")
    bins = bin_edges(np.concatenate([np.asarray(part) for part in values.values()]))
    for number, (split, part) in enumerate(values.items()):
        if not part:
            continue
        shares = np.histogram(part, bins)[0] / len(part)
        style = number % len(COLORS)
        axes.stairs(
            shares,
            bins,
            color=COLORS[style],
            linestyle=LINES[style],
            label=f"{split} ({len(part)})",
        )
    axes.set_xlabel(title)
    axes.set_ylabel("share of rows")
    axes.legend()
    return figure


def bin_edges(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """About forty bins; of whole numbers each bin holds equally many, lest some look empty.

    >>> bin_edges([1, 2, 4])
    array([0.5, 1.5, 2.5, 3.5, 4.5])
    """
    numbers = np.asarray(values, dtype=np.float64)
    if (numbers != np.round(numbers)).any():
        return np.histogram_bin_edges(numbers, bins=_BINS)
    low, high = numbers.min() - 0.5, numbers.max() + 0.5
    step = np.ceil((high - low) / _BINS)
    return np.arange(low, high + step, step)


def _empty(title: str, width: float = 5.0) -> tuple[Any, Any]:
    figure = importlib.import_module("matplotlib.figure").Figure((width, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
