"""Every figure of a kind of target by name, from summed statistics, for the log and the report.

CMU's figures and the yes/no ones of IEMOCAP are :func:`emo_fairseq.metrics.cmu_metrics` and
:func:`emo_fairseq.metrics.binary_metrics`; they name theirs already.
"""

import math
from collections.abc import Iterable, Sequence

from torch import Tensor

from emo_fairseq.metrics.classification import CONFUSION_METRICS, recall_per_class
from emo_fairseq.metrics.regression import MOMENT_METRICS

#: How the names of figures begin that are better the smaller they are; all others, the larger.
_ERRORS = ("loss", "mae", "rmse")
#: By how the names of figures begin; all others are shares.
_BOUNDS = {
    **dict.fromkeys((*_ERRORS, "mse", "nll"), (0.0, math.inf)),
    **dict.fromkeys(("ccc", "pearson", "corr"), (-1.0, 1.0)),
    "brier": (0.0, 2.0),
}


def is_better_larger(figure: str) -> bool:
    """Whether more of a figure is better: false of ``loss``, MAE and RMSE, of whatever rows."""
    return not figure.startswith(_ERRORS)


def bounds_of(figure: str) -> tuple[float, float]:
    """The smallest and the largest value that a figure of this name can have.

    >>> bounds_of("uar"), bounds_of("ccc_valence"), bounds_of("mae")
    ((0.0, 1.0), (-1.0, 1.0), (0.0, inf))
    """
    return next((ends for name, ends in _BOUNDS.items() if figure.startswith(name)), (0.0, 1.0))


def confusion_figures(counts: Tensor, labels: Sequence[str]) -> dict[str, float]:
    """WA, UAR, weighted and macro F1, and ``recall_<label>`` of each class.

    Args:
        counts: (C, C), summed :func:`emo_fairseq.metrics.confusion`.
        labels: the C names.
    """
    recalls = zip(labels, recall_per_class(counts), strict=True)
    return {
        **{name: metric(counts) for name, metric in CONFUSION_METRICS.items()},
        **{f"recall_{label}": recall for label, recall in recalls},
    }


def moment_figures(sums: Iterable[Tensor], axes: Sequence[str]) -> dict[str, float]:
    """CCC, Pearson, MAE and RMSE, and of several axes each one's as ``<figure>_<axis>``.

    The figure of several axes is the mean over those that were measured; one whose figure is
    undefined makes it NaN.

    Args:
        sums: (A, 8), summed :func:`emo_fairseq.metrics.moments`.
        axes: the A names.
    """
    of_axis = list(sums)
    figures = {}
    for name, metric in MOMENT_METRICS.items():
        values = [metric(axis_sums) for axis_sums in of_axis]
        measured = [x for x, n in zip(values, of_axis, strict=True) if n[0] > 0]
        figures[name] = sum(measured) / len(measured) if measured else math.nan
        if len(axes) > 1:
            figures |= {f"{name}_{axis}": x for axis, x in zip(axes, values, strict=True)}
    return figures
