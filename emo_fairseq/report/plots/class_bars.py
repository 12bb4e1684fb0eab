"""Recall, precision and F1 of each label, with their intervals."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emo_fairseq.evaluation.bootstrap import Interval
from emo_fairseq.evaluation.names import OF_EACH_LABEL, display_name
from emo_fairseq.evaluation.statistics import LabelPredictions
from emo_fairseq.evaluation.tables import UNDEFINED, format_number
from emo_fairseq.report.plots.drawing import (
    BLUE,
    GREEN,
    HATCHES,
    INK,
    ORANGE,
    PAPER,
    MaybePlot,
    NotDrawn,
    Plot,
)
from emo_fairseq.report.scored_split import (
    UTTERANCES,
    ScoredSplit,
)

_SHOWN = dict(zip(OF_EACH_LABEL, (BLUE, ORANGE, GREEN), strict=True))


def plots(scored: ScoredSplit) -> Iterator[MaybePlot]:
    """Bars of every label; none for numbers."""
    system = scored.predictions
    if not isinstance(system, LabelPredictions):
        yield NotDrawn("bars of each class", "numbers were predicted, not labels")
        return
    intervals = scored.intervals[UTTERANCES]
    yield Plot(
        "classes",
        "Each label",
        "Bars are the metrics, lines their 95 % bootstrap intervals over utterances. A label that "
        "is never true has no recall.",
        "Bars of recall, precision and F1. "
        + "; ".join(
            f"{name}: "
            + ", ".join(
                f"{display_name(x)} {format_number(scored.metrics[f'{x}_{name}'], 2)}"
                for x in _SHOWN
            )
            for name in system.names
        ),
        lambda figure: _draw(figure, scored.metrics, intervals, system.names),
        (4.8, max(2.8, 1.2 + 0.55 * len(system.names))),
    )


def _draw(
    figure: Any,
    metrics: Mapping[str, float],
    intervals: Mapping[str, Interval],
    names: Sequence[str],
) -> None:
    axes = figure.add_subplot()
    positions = np.arange(len(names))
    height = 0.8 / len(_SHOWN)
    for order, (name, color) in enumerate(_SHOWN.items()):
        values = np.array([metrics[f"{name}_{label}"] for label in names])
        ends = np.array([intervals[f"{name}_{label}"] for label in names])  # (K, 2)
        at = positions + (order - 1) * height
        axes.barh(
            at,
            values,
            height,
            color=color,
            hatch=HATCHES[order],
            edgecolor=PAPER,
            linewidth=0.5,
            label=display_name(name),
        )
        for position, value in zip(at, values, strict=True):
            if not value > 0.0:  # a bar of 0 and none look the same
                text = "0" if value == 0.0 else UNDEFINED
                axes.text(0.01, position, text, va="center", fontsize=7)
        known = ~np.isnan(ends).any(axis=1)
        axes.hlines(at[known], *ends[known].T, color=INK, linewidth=1.2)
    axes.set_yticks(positions, names)
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.0)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower center", ncols=len(_SHOWN))
