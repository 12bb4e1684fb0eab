"""The figures of a system, and of the constant one beside it."""

import math

from emo_fairseq.report.statistics import Figures, statistics_of
from emo_fairseq.report.system import Labels, Rows, System, system_of

OF_MAJORITY = "_majority"
OF_CONSTANT = "_constant"
OF_LABELS = {"uar": "UAR", "wa": "WA", "weighted_f1": "weighted F1", "macro_f1": "macro F1"}
_OF_NUMBERS = {"ccc": "CCC", "pearson": "Pearson", "mae": "MAE", "rmse": "RMSE"}
_OF_CMU = {
    "acc2_has0": "Acc2, has 0",
    "acc2_non0": "Acc2, non-0",
    "f1_has0": "F1, has 0",
    "f1_non0": "F1, non-0",
    "acc7": "Acc7",
    "mae": "MAE",
    "corr": "Corr",
}


def figures_of(rows: Rows) -> Figures:
    """All figures of the system whose predictions these are; see :func:`measure`.

    Args:
        rows: what :func:`emo_fairseq.evaluation.predictions.read` returns, at least one.
    """
    return measure(system_of(rows))


def measure(system: System) -> Figures:
    """All figures by name; NaN where undefined.

    For labels UAR, WA, weighted and macro F1, recall, precision and F1 of each class, ECE, Brier
    and log loss, and of always giving the most frequent class those that end in ``_majority``. For
    numbers CCC, Pearson, MAE and RMSE of each axis and their means, and those of always giving the
    mean truth that end in ``_constant``. Yes/no answers and CMU scores have their published sets.
    """
    figures = statistics_of(system).figures()
    return figures | {name + suffix_of(system): x for name, x in baseline(system).items()}


def suffix_of(system: System) -> str:
    """What the baseline's figures end in."""
    return OF_MAJORITY if isinstance(system, Labels) else OF_CONSTANT


def baseline(system: System) -> Figures:
    """The headline figures of labels, all figures of numbers, for the constant system."""
    figures = statistics_of(system.constant()).figures()
    if isinstance(system, Labels):
        # Of a majority class there are no probabilities, so no calibration.
        return {name: figures[name] for name in headlines(system)}
    return figures


def headlines(system: System) -> dict[str, str]:
    """The figures that stand first, and how they are written."""
    if isinstance(system, Labels):
        return OF_LABELS
    return _OF_CMU if system.is_cmu else _OF_NUMBERS


def without_nan(figures: Figures) -> dict[str, float | None]:
    """JSON knows no NaN: a figure that is not defined becomes null."""
    return {name: x if math.isfinite(x) else None for name, x in figures.items()}
