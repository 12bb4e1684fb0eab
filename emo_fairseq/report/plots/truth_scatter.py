"""Each axis: what was predicted against what is true."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from emo_fairseq.evaluation.statistics import NumberPredictions
from emo_fairseq.evaluation.tables import format_interval, format_number
from emo_fairseq.report.plots.drawing import (
    BLUE,
    INK,
    MaybePlot,
    NotDrawn,
    Plot,
)
from emo_fairseq.report.scored_split import (
    UTTERANCES,
    ScoredSplit,
)


def plots(scored: ScoredSplit) -> Iterator[MaybePlot]:
    """One figure an axis; none for labels."""
    system = scored.predictions
    if not isinstance(system, NumberPredictions):
        yield NotDrawn("scatter of truth against prediction", "labels were predicted, not numbers")
        return
    for index, axis in enumerate(system.names):
        pairs = np.stack([system.truth[:, index], system.prediction[:, index]], axis=1)
        pairs = pairs[~np.isnan(pairs).any(axis=1)]
        if not len(pairs):
            yield NotDrawn(f"scatter of {axis}", "no utterance has both a truth and a prediction")
            continue
        key = f"ccc_{axis}" if len(system.names) > 1 else "ccc"
        ccc = format_number(scored.metrics[key])
        interval = format_interval(scored.intervals[UTTERANCES][key])
        name = axis.replace("_", " ")
        yield Plot(
            f"scatter_{axis}",
            f"{name.capitalize()}: truth and prediction",
            f"{len(pairs)} utterances; on the dashed line both are the same. CCC {ccc} "
            f"(95 % interval {interval}).",
            f"Scatter of predicted against true {name}, CCC {ccc}. "
            f"Truth: {_spread(pairs[:, 0])}; prediction: {_spread(pairs[:, 1])}.",
            partial(_draw, pairs=pairs, name=name, ccc=ccc),
            (4.4, 4.2),
        )


def _draw(figure: Any, pairs: np.ndarray, name: str, ccc: str) -> None:
    axes = figure.add_subplot()
    alpha = min(0.8, max(0.3, 200 / len(pairs)))
    axes.scatter(*pairs.T, s=12, color=BLUE, alpha=alpha, linewidths=0, rasterized=True)
    low, high = pairs.min(), pairs.max()
    margin = 0.04 * (high - low) or 0.5
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color=INK, linestyle="--", linewidth=1.0)
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.set_aspect("equal")
    axes.set_xlabel(f"true {name}")
    axes.set_ylabel(f"predicted {name}")
    axes.set_title(f"CCC {ccc}")


def _spread(values: np.ndarray) -> str:
    return f"mean {values.mean():.2f}, standard deviation {values.std():.2f}"
