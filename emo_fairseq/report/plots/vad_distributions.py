"""How the predicted numbers are spread beside the true ones: each axis, and each pair of axes."""

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import gaussian_kde

from emo_fairseq.evaluation.statistics import NumberPredictions
from emo_fairseq.report.plots.drawing import (
    BLUE,
    GRAY,
    RED,
    MaybePlot,
    NotDrawn,
    Plot,
)
from emo_fairseq.report.scored_split import ScoredSplit

_N_BINS = 30
_GRID = 60
_SHARES = (0.9, 0.5)  # of the utterances, inside the outer and the inner line


def plots(scored: ScoredSplit) -> Iterator[MaybePlot]:
    """A histogram an axis and a map of each pair; none for labels."""
    system = scored.predictions
    if not isinstance(system, NumberPredictions):
        yield NotDrawn("predicted and true VAD", "labels were predicted, not numbers")
        return
    both = np.stack([system.truth, system.prediction])  # (2, N, A)
    both = both[:, ~np.isnan(both).any(axis=(0, 2))]
    if not both.shape[1]:
        yield NotDrawn("predicted and true values", "no utterance has all truths and predictions")
        return
    names = [name.replace("_", " ") for name in system.names]
    for index, name in enumerate(names):
        values = both[:, :, index]
        yield Plot(
            f"distribution_{system.names[index]}",
            f"{name.capitalize()}: distribution",
            f"Share of the {both.shape[1]} utterances by value. A system that hedges is narrower "
            "than the truth.",
            f"Histograms of {name}. Standard deviation {values[0].std():.3f} in the truth, "
            f"{values[1].std():.3f} in the predictions.",
            partial(_draw_axis, values=values, name=name),
            (4.8, 3.2),
        )
    for first, second in combinations(range(len(names)), 2):
        pair = both[:, :, [first, second]]
        title = f"{names[first].capitalize()} and {names[second]}"
        yield Plot(
            f"distribution_{system.names[first]}_{system.names[second]}",
            title,
            "The inner line encloses half of the utterances, the outer one nine tenths "
            "(of a Gaussian kernel estimate). Dots are the truth.",
            f"Map of {names[first]} and {names[second]}. Their correlation is "
            f"{_correlation(pair[0])} in the truth, {_correlation(pair[1])} in the predictions.",
            partial(_draw_pair, pair=pair, names=(names[first], names[second])),
            (4.4, 4.2),
        )


def _draw_axis(figure: Any, values: np.ndarray, name: str) -> None:
    axes = figure.add_subplot()
    edges = np.histogram_bin_edges(values, bins=_N_BINS)
    shares = [np.histogram(row, edges)[0] / len(row) for row in values]
    axes.stairs(shares[0], edges, fill=True, color=BLUE, alpha=0.35, label="truth")
    axes.stairs(shares[0], edges, color=BLUE)
    axes.stairs(shares[1], edges, color=RED, linestyle="--", linewidth=1.6, label="prediction")
    axes.set_xlabel(name)
    axes.set_ylabel("share of utterances")
    figure.legend(loc="outside upper left", ncols=2)


def _draw_pair(figure: Any, pair: np.ndarray, names: tuple[str, str]) -> None:
    axes = figure.add_subplot()
    axes.scatter(*pair[0].T, s=5, color=GRAY, alpha=0.6, linewidths=0, rasterized=True)
    low, high = pair.min(axis=(0, 1)), pair.max(axis=(0, 1))
    for values, color, line, name in zip(
        pair, (BLUE, RED), ("-", "--"), ("truth", "prediction"), strict=True
    ):
        axes.plot([], [], color=color, linestyle=line, label=name)
        _outline(axes, values, (low, high), color, line)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    figure.legend(loc="outside upper left", ncols=2)


def _outline(
    axes: Any, values: np.ndarray, limits: tuple[np.ndarray, np.ndarray], color: str, line: str
) -> None:
    """Lines round the densest regions that hold each share; of a degenerate cloud, its mean."""
    try:
        density = gaussian_kde(values.T)
    except (np.linalg.LinAlgError, ValueError):  # all on one line, or too few
        axes.plot(*values.mean(axis=0), color=color, marker="+", markersize=12)
        return
    levels = np.unique(np.quantile(density(values.T), [1.0 - share for share in _SHARES]))
    x, y = (np.linspace(a, b, _GRID) for a, b in zip(*limits, strict=True))
    grid = np.stack(np.meshgrid(x, y))  # (2, 60, 60)
    heights = density(grid.reshape(2, -1)).reshape(_GRID, _GRID)
    axes.contour(x, y, heights, levels=levels, colors=color, linestyles=line, linewidths=1.5)


def _correlation(values: np.ndarray) -> str:
    if len(values) < 2 or min(np.ptp(values, axis=0)) == 0:
        return "undefined"
    return f"{np.corrcoef(values.T)[0, 1]:.2f}"
