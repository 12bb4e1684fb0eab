"""Reliability diagram: accuracy against confidence."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from emo_fairseq.evaluation.statistics import LabelPredictions
from emo_fairseq.evaluation.tables import Table, format_number
from emo_fairseq.metrics.calibration import N_BINS, bin_rows, confidences
from emo_fairseq.metrics.votes import VOTE_BINS, vote_rows
from emo_fairseq.report.plots.drawing import (
    BLUE,
    FAINT,
    INK,
    PAPER,
    RED,
    MaybePlot,
    NotDrawn,
    Plot,
)
from emo_fairseq.report.scored_split import ScoredSplit


def plots(scored: ScoredSplit) -> Iterator[MaybePlot]:
    """One diagram; none for numbers, or without probabilities."""
    system = scored.predictions
    if not isinstance(system, LabelPredictions):
        yield NotDrawn("reliability diagram", "numbers were predicted, without probabilities")
        return
    if system.probability is None or np.isnan(system.probability).any():
        yield NotDrawn("reliability diagram", "some probabilities are not defined")
        return
    if system.has_truth.any():
        yield _of_labels(scored, system, system.probability)
    else:
        yield NotDrawn("reliability diagram", "no utterance has a majority label")
    if system.votes is not None:
        yield _of_votes(scored, vote_rows(system.votes, system.probability)[VOTE_BINS])


def _of_labels(scored: ScoredSplit, system: LabelPredictions, probability: np.ndarray) -> Plot:
    """Return the diagram of the utterances that have a true label, at least one."""
    per_label, known = system.per_label, system.has_truth
    probability = probability[known]
    of = confidences(system.truth[known], system.prediction[known], probability, per_label)
    bins = bin_rows(of).sum(axis=0)  # (15, 3)
    ece, brier, nll = (format_number(scored.metrics[name]) for name in ("ece", "brier", "nll"))
    outcome = "answers that are yes" if per_label else "predictions that are right"
    return Plot(
        "reliability",
        "Reliability",
        f"In {N_BINS} bins of equal width, each closed on the right: the share of {outcome} "
        "(bars) and the mean confidence (dots). On the diagonal both are the same. ECE = Σ n_b/n · "
        f"|share − confidence| = {ece} (Guo et al. 2017); Brier score {brier}; log loss {nll} "
        "nats. Below, how many there are in each bin.",
        f"Reliability diagram in {N_BINS} bins, expected calibration error {ece}. "
        + _describe(bins),
        lambda figure: _draw(figure, bins, outcome),
        (4.8, 4.2),
        _table(bins),
    )


def _of_votes(scored: ScoredSplit, rows: np.ndarray) -> Plot:
    """Return the diagram with shares of votes in place of right and wrong, from (N, 15, 3) rows."""
    bins = rows.sum(axis=0)
    ece, divergence = (format_number(scored.metrics[key]) for key in ("votes_ece", "votes_jsd"))
    return Plot(
        "reliability_votes",
        "Agreement of annotators",
        f"In {N_BINS} bins of equal width: the mean share of the votes for the predicted label "
        "(bars) and the mean confidence (dots), of all utterances with votes. "
        f"Calibration error {ece}; Jensen-Shannon divergence between probabilities and votes "
        f"{divergence} nats.",
        f"Diagram of votes in {N_BINS} bins, expected calibration error {ece}.",
        lambda figure: _draw(figure, bins, "votes"),
        (4.8, 4.2),
        _table(bins),
    )


def _draw(figure: Any, bins: np.ndarray, outcome: str) -> None:
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    n, confidences, outcomes = bins[bins[:, 0] > 0].T
    width = 1.0 / N_BINS
    left = np.flatnonzero(bins[:, 0] > 0) * width
    above.bar(
        left,
        outcomes / n,
        width,
        align="edge",
        color=BLUE,
        edgecolor=PAPER,
        linewidth=0.8,
        label=f"share of {outcome}",
    )
    above.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1.0)
    above.plot(
        left + width / 2,
        confidences / n,
        color=RED,
        marker="o",
        markersize=5,
        linestyle="",
        label="mean confidence",
    )
    above.set_ylim(0.0, 1.0)
    above.set_ylabel("share, confidence")
    figure.legend(loc="outside upper left", ncols=1)
    below.bar(left, n, width, align="edge", color=FAINT, edgecolor=INK, linewidth=0.5)
    below.set_ylabel("n")
    below.set_xlabel("confidence")
    below.set_xlim(0.0, 1.0)


def _describe(bins: np.ndarray) -> str:
    n, confidences, outcomes = bins[bins[:, 0] > 0].sum(axis=0)
    above = "more" if outcomes > confidences else "less"
    return (
        f"Overall it is right {above} often than its confidence: {outcomes / n:.2f} against a mean "
        f"of {confidences / n:.2f}."
    )


def _table(bins: np.ndarray) -> Table:
    rows = []
    for number, (n, confidence, outcome) in enumerate(bins):
        limits = f"{number / N_BINS:.3f} to {(number + 1) / N_BINS:.3f}"
        means = [f"{confidence / n:.3f}", f"{outcome / n:.3f}"] if n else ["–", "–"]
        rows.append([limits, f"{n:.0f}", *means])
    return Table(["confidence", "n", "mean confidence", "share right"], rows)
