"""Accuracy, or absolute error, against the distance to the prototype of the class."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from emo_fairseq.evaluation.statistics import LabelPredictions
from emo_fairseq.evaluation.tables import Table, format_interval, format_number
from emo_fairseq.report.difficulty import N_BINS, Bin, by_difficulty, rank_correlation
from emo_fairseq.report.drawing import BLUE, FAINT, INK
from emo_fairseq.report.part import Part
from emo_fairseq.report.plots.plot import Found, NotDrawn, Plot

_WHAT = "difficulty against accuracy"


def plots(part: Part) -> Iterator[Found]:
    """One curve, if the data dir has prototypes and VAD."""
    if not part.facts.is_given:
        yield NotDrawn(_WHAT, "no --data: no prototypes")
        return
    if part.facts.prototypes is None:
        yield NotDrawn(_WHAT, part.facts.no_prototypes)
        return
    difficulty = part.facts.difficulty()
    figure, is_share, what = _figure_of(part)
    bins = by_difficulty(difficulty, figure, is_share)
    if len(bins) < 2:
        yield NotDrawn(_WHAT, "no two utterances with a label, VAD and different difficulties")
        return
    rho = format_number(rank_correlation(difficulty, figure))
    easiest, hardest = (format_number(of_bin.figure) for of_bin in (bins[0], bins[-1]))
    n = sum(found.n for found in bins)
    ends = "Wilson's" if is_share else "Student's"
    yield Plot(
        "difficulty",
        f"Difficulty against {what}",
        f"Difficulty is the distance of an utterance's annotated VAD to the prototype of its class "
        f"(train split). {n} utterances in {len(bins)} bins of equal number where difficulties "
        f"differ; lines are {ends} 95 % intervals. Spearman's ρ over utterances: {rho}.",
        f"Curve of {what} in {len(bins)} bins of difficulty: {easiest} for the "
        f"easiest, {hardest} for the hardest, Spearman's rho {rho}.",
        lambda drawn: _draw(drawn, bins, what, is_share),
        table=_table(bins, what),
    )


def _figure_of(part: Part) -> tuple[np.ndarray, bool, str]:
    """(N,) of each utterance, whether it is 0 or 1, and what it is called."""
    system = part.system
    if isinstance(system, LabelPredictions):
        return (system.truth == system.prediction).double().numpy(), True, "accuracy"
    error = (system.truth - system.prediction).abs().nanmean(dim=1).numpy()
    return error, False, "absolute error"


def _draw(figure: Any, bins: Sequence[Bin], what: str, is_share: bool) -> None:
    axes = figure.add_subplot()
    middle = [(found.easiest + found.hardest) / 2 for found in bins]
    values = [found.figure for found in bins]
    axes.hlines(values, *zip(*[found[1:3] for found in bins], strict=True), color=FAINT, lw=3)
    axes.vlines(middle, *zip(*[found[4:] for found in bins], strict=True), color=INK, lw=1)
    axes.plot(middle, values, color=BLUE, marker="o", markersize=4)
    axes.set_xlabel("difficulty: distance to the prototype")
    axes.set_ylabel(what)
    if is_share:
        axes.set_ylim(0.0, 1.02)


def _table(bins: Sequence[Bin], what: str) -> Table:
    rows = [
        [
            format_interval((b.easiest, b.hardest)),
            f"{b.n}",
            format_number(b.figure),
            format_interval((b.low, b.high)),
        ]
        for b in bins
    ]
    assert len(rows) <= N_BINS
    return Table(["difficulty", "n", what, "95 % interval"], rows)
