"""Which label was taken for which: counts, and shares of each true label."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from emo_fairseq import metrics
from emo_fairseq.evaluation.statistics import LabelPredictions
from emo_fairseq.evaluation.tables import Table
from emo_fairseq.report.plots.drawing import (
    PAPER,
    SCALE,
    MaybePlot,
    NotDrawn,
    Plot,
)
from emo_fairseq.report.scored_split import ScoredSplit

_MOST_WRITTEN = 14  # labels, whose cells hold their numbers
_BRIGHT = 0.55  # share of the scale from which text on cividis is dark


def plots(scored: ScoredSplit) -> Iterator[MaybePlot]:
    """Two matrices; none for numbers."""
    system = scored.predictions
    if not isinstance(system, LabelPredictions):
        yield NotDrawn("confusion matrix", "numbers were predicted, not labels")
        return
    known = system.has_truth
    truth, prediction = system.truth[known], system.prediction[known]
    counts = metrics.confusion(truth, prediction, len(system.names))
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(axis=1, keepdims=True)  # NaN for a label that is never true
    size = (max(4.4, 1.9 + 0.46 * len(system.names)), max(3.6, 1.3 + 0.42 * len(system.names)))
    table = Table(
        ["truth \\ predicted", *system.names],
        [
            [name] + [f"{x:.0f}" for x in row]
            for name, row in zip(system.names, counts, strict=True)
        ],
    )
    yield Plot(
        "confusion_counts",
        "Confusions, counted",
        "Rows are the truth, columns the prediction; the diagonal is right.",
        f"Confusion matrix of counts. {_describe(counts, system.names)}",
        lambda figure: _draw(figure, counts, system.names, lambda x: f"{x:.0f}"),
        size,
        table,
    )
    yield Plot(
        "confusion_shares",
        "Confusions, as shares of the truth",
        "Each row adds up to 1, so that the diagonal is the recall of each label. A dash: that "
        "label is never true.",
        f"Confusion matrix, each row divided by its sum. {_describe_recalls(shares, system.names)}",
        lambda figure: _draw(figure, shares, system.names, lambda x: f"{x:.2f}", highest=1.0),
        size,
    )


def _draw(
    figure: Any, values: np.ndarray, names: Sequence[str], format_cell: Any, highest: float = 0.0
) -> None:
    axes = figure.add_subplot()
    highest = highest or max(1.0, float(np.nanmax(values)))
    mesh = axes.pcolormesh(
        values, cmap=SCALE, vmin=0.0, vmax=highest, edgecolors=PAPER, linewidth=1.0
    )
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    positions = np.arange(len(names)) + 0.5
    axes.set_xticks(positions, names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(positions, names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    figure.colorbar(mesh, ax=axes, shrink=0.8).outline.set_visible(False)
    if len(names) > _MOST_WRITTEN:
        return
    for (row, column), value in np.ndenumerate(values):
        text = "–" if np.isnan(value) else format_cell(value)
        dark = np.isnan(value) or value / highest > _BRIGHT
        color = "#7f7f7f" if np.isnan(value) else "black" if dark else "white"
        position = (column + 0.5, row + 0.5)
        axes.text(*position, text, ha="center", va="center", color=color, fontsize=9)


def _describe(counts: np.ndarray, names: Sequence[str]) -> str:
    right, wrong = counts.trace(), counts - np.diag(counts.diagonal())
    text = f"{right:.0f} of {counts.sum():.0f} are right."
    if wrong.any():
        truth, given = divmod(int(wrong.argmax()), len(names))
        text += (
            f" The most frequent confusion is {names[truth]} taken for {names[given]}, "
            f"{wrong.max():.0f} times."
        )
    return text


def _describe_recalls(shares: np.ndarray, names: Sequence[str]) -> str:
    pairs = zip(names, shares.diagonal(), strict=True)
    return "Right of each: " + ", ".join(
        f"{name} {'never true' if np.isnan(x) else f'{x:.2f}'}" for name, x in pairs
    )
