"""Loss and metrics by epoch, in training and validation."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from emo_fairseq.evaluation.names import display_name, is_larger_better
from emo_fairseq.evaluation.tables import format_number
from emo_fairseq.evaluation.training_log import Epoch
from emo_fairseq.report.plots.drawing import (
    BLUE,
    RED,
    MaybePlot,
    NotDrawn,
    Plot,
)

# Those of them that the log has, the loss first.
_CURVES = ("loss", "uar", "wa", "weighted_f1", "ccc", "acc2_has0", "corr", "rmse", "mae")


def plots(epochs: Sequence[Epoch]) -> Iterator[MaybePlot]:
    """One figure for each of the loss and the metrics."""
    if not epochs:
        yield NotDrawn("loss and metric curves", "no --log")
        yield NotDrawn("training_log.csv", "no --log")
        return
    for name in _CURVES:
        curves, title = _curves(epochs, name), _capitalized(display_name(name))
        if curves:
            yield Plot(
                f"training_{name}",
                title,
                "By epoch, as fairseq logged it." + _best(curves, name),
                f"{title} by epoch. " + _describe(curves),
                partial(_draw, curves=curves, title=title),
            )


Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]  # split -> epochs, values


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]


def _curves(epochs: Sequence[Epoch], name: str) -> Curves:
    curves = {}
    for split in ("training", "validation"):
        logged = [
            (epoch.train if split == "training" else epoch.valid).get(name) for epoch in epochs
        ]
        pairs = [(e.number, x) for e, x in zip(epochs, logged, strict=True) if x is not None]
        values = np.array(pairs, dtype=np.float64).reshape(-1, 2)
        if not np.isnan(values[:, 1]).all():
            curves[split] = (values[:, 0], values[:, 1])
    return curves


def _draw(figure: Any, curves: Curves, title: str) -> None:
    axes = figure.add_subplot()
    styles = {"training": (BLUE, "--", "o"), "validation": (RED, "-", "s")}
    for split, (numbers, values) in curves.items():
        color, line, marker = styles[split]
        size = 4 if len(numbers) < 40 else 0
        axes.plot(
            numbers,
            values,
            color=color,
            linestyle=line,
            marker=marker,
            markersize=size,
            label=split,
        )
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(title)
    figure.legend(loc="outside upper left", ncols=2)


def _best(curves: Curves, name: str) -> str:
    if "validation" not in curves:
        return ""
    numbers, values = curves["validation"]
    best = np.nanargmax(values) if is_larger_better(name) else np.nanargmin(values)
    return f" Best in validation: {format_number(values[best])}, epoch {numbers[best]:.0f}."


def _describe(curves: Curves) -> str:
    return " ".join(
        f"In {split} from {format_number(values[0])} in epoch {numbers[0]:.0f} "
        f"to {format_number(values[-1])} in epoch {numbers[-1]:.0f}."
        for split, (numbers, values) in curves.items()
    )
