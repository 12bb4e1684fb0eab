"""UAR by how many turns came before: of the speaker, and in the dialogue."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from emo_fairseq.evaluation.dialogues import BINS, EARLIER, POSITION, DialogueScores, bin_name
from emo_fairseq.evaluation.tables import format_number
from emo_fairseq.report.plots.drawing import BLUE, MARKERS, RED, MaybePlot, Plot
from emo_fairseq.report.scored_split import ScoredSplit

_SHOWN = {EARLIER: ("of the speaker", BLUE), POSITION: ("of the dialogue", RED)}
_APART = 0.12  # of the two points of a bin, in bins


def plots(scored: ScoredSplit) -> Iterator[MaybePlot]:
    """Points with intervals; nothing where there are no dialogues."""
    scores = scored.dialogues
    if scores is None:
        return
    yield Plot(
        "dialogues",
        "Memory",
        "UAR by the number of turns that came before in the dialogue: those of the same speaker, "
        "and all. Lines are 95 % bootstrap intervals over dialogues.",
        "; ".join(_described(scores, name) for name in _SHOWN),
        lambda figure: _draw(figure, scores),
        (4.8, 3.2),
    )


def _described(scores: DialogueScores, name: str) -> str:
    values = ", ".join(
        f"{bin_name(*of)} {format_number(scores.estimates[f'uar_{name}_{of[0]}'].value, 2)}"
        for of in BINS
    )
    return f"UAR by earlier turns {_SHOWN[name][0]}: {values}"


def _draw(figure: Any, scores: DialogueScores) -> None:
    axes = figure.add_subplot()
    positions = np.arange(len(BINS))
    for order, (name, (label, color)) in enumerate(_SHOWN.items()):
        estimates = np.array(
            [scores.estimates[f"uar_{name}_{first}"] for first, _ in BINS]
        )  # (B, 3)
        at = positions + (order - 0.5) * _APART
        axes.plot(at, estimates[:, 0], MARKERS[order], color=color, label=label)
        known = ~np.isnan(estimates).any(axis=1)
        axes.vlines(at[known], *estimates[known, 1:].T, color=color, linewidth=1.2)
    axes.set_xticks(positions, [bin_name(*of) for of in BINS])
    axes.set_xlabel("earlier turns")
    axes.set_ylabel("UAR")
    axes.set_ylim(0.0, 1.0)
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside lower center", ncols=len(_SHOWN))
