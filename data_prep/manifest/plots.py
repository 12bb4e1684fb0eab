"""Plots of a data dir by split: label shares, and histograms of seconds, words and VAD.

Colors are Okabe and Ito's, which color-blind readers distinguish; hatches and line styles repeat
them in black and white. The same data give the same SVG files, byte for byte.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.errors import CodedError
from data_prep.files.replacing import replacing
from data_prep.manifest.columns import Kind, names_of
from data_prep.manifest.leaks import Splits
from data_prep.manifest.records import Corpus, Utterance
from data_prep.manifest.table import count_values

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
