"""Recall, precision and F1 of each label, with their intervals."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emo_fairseq.evaluation.bootstrap import Interval
from emo_fairseq.evaluation.statistics import LabelPredictions
from emo_fairseq.evaluation.tables import UNDEFINED, Table, format_interval, format_number
from emo_fairseq.report.drawing import BLUE, GREEN, HATCHES, INK, ORANGE, PAPER
from emo_fairseq.report.part import UTTERANCES, Part
from emo_fairseq.report.plots.plot import Found, NotDrawn, Plot

_SHOWN = {"recall": BLUE, "precision": ORANGE, "f1": GREEN}
_WORDS = {"recall": "recall", "precision": "precision", "f1": "F1"}


def plots(part: Part) -> Iterator[Found]:
    """Bars of every label; none for numbers."""
    system = part.system
    if not isinstance(system, LabelPredictions):
        yield NotDrawn("bars of each class", "numbers were predicted, not labels")
        return
    drawn = part.intervals[UTTERANCES]
    yield Plot(
        "classes",
        "Each label",
        "Bars are the figures, lines their 95 % bootstrap intervals over utterances. A label that "
        "is never true has no recall.",
        "Bars of recall, precision and F1. "
        + "; ".join(
            f"{name}: "
            + ", ".join(
                f"{_WORDS[x]} {format_number(part.figures[f'{x}_{name}'], 2)}" for x in _SHOWN
            )
            for name in system.names
        ),
        lambda figure: _draw(figure, part.figures, drawn, system.names),
        (4.8, max(2.8, 1.2 + 0.55 * len(system.names))),
        _table(part, system),
    )


def _draw(
    figure: Any,
    figures: Mapping[str, float],
    drawn: Mapping[str, Interval],
    names: Sequence[str],
) -> None:
    axes = figure.add_subplot()
    places = np.arange(len(names))
    height = 0.8 / len(_SHOWN)
    for order, (name, color) in enumerate(_SHOWN.items()):
        values = np.array([figures[f"{name}_{label}"] for label in names])
        ends = np.array([drawn[f"{name}_{label}"] for label in names])  # (K, 2)
        at = places + (order - 1) * height
        axes.barh(
            *(at, values, height),
            color=color,
            hatch=HATCHES[order],
            edgecolor=PAPER,
            linewidth=0.5,
            label=_WORDS[name],
        )
        for place, value in zip(at, values, strict=True):
            if not value > 0.0:  # a bar of 0 and none look the same
                text = "0" if value == 0.0 else UNDEFINED
                axes.text(0.01, place, text, va="center", fontsize=7)
        known = ~np.isnan(ends).any(axis=1)
        axes.hlines(at[known], *ends[known].T, color=INK, linewidth=1.2)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.0)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower center", ncols=len(_SHOWN))


def _table(part: Part, system: LabelPredictions) -> Table:
    rows = []
    for label, name in enumerate(system.names):
        cells = [name, f"{int((system.truth == label).sum())}"]
        for shown in _SHOWN:
            key = f"{shown}_{name}"
            cells += [
                format_number(part.figures[key]),
                format_interval(part.intervals[UTTERANCES][key]),
            ]
        rows.append(cells)
    heads = [x for shown in _SHOWN for x in (_WORDS[shown], "95 % interval")]
    return Table(["label", "true", *heads], rows)
