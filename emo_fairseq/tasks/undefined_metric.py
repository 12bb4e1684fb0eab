"""Why the metric that chooses the checkpoint is undefined on a split."""

from typing import Any

import numpy as np

from emo_fairseq.data.annotations import truth_array
from emo_fairseq.types import LabeledTarget

_RECALL = "recall_"
_CORRELATIONS = ("ccc", "pearson")  # undefined where truth or prediction is constant


def undefined_because(task: Any, metric: str, split: str) -> str:
    """Why a metric cannot be defined on a split, by its truth alone; empty where it can be.

    Args:
        task: an :class:`emo_fairseq.tasks.emotion_prediction.EmotionPredictionTask`.
        metric: as ``--best-checkpoint-metric`` names it.
        split: of its data.
    """
    name, _, case = metric.partition("@")
    of = LabeledTarget(task.target, task.labels) if not case else task.auxiliary.get(case)
    if of is None:  # of the rows that have some modalities
        return ""
    part = task.source.split(split)
    fold = f", fold {task.cfg.fold}" if task.cfg.fold else ""
    where = f"{split} of {task.source.folder}{fold}"
    truth = truth_array(part, of.target, of.labels)
    if of.target.has_labels:
        label = name.removeprefix(_RECALL)
        if name == label or label not in of.labels or (truth == of.labels.index(label)).any():
            return ""
        return f"no row of {where} is {label}"
    return _of_numbers(name, truth, of.target.columns, where)


def _of_numbers(name: str, truth: np.ndarray, axes: tuple[str, ...], where: str) -> str:
    figure, _, axis = name.partition("_")
    chosen = [axis] if axis in axes else list(axes)
    values = {name: column[~np.isnan(column)] for name, column in zip(axes, truth.T, strict=True)}
    if not any(map(len, values.values())):
        return ""  # no row has the target at all, which is refused when the split is loaded
    measured = [name for name in chosen if len(values[name])]
    if not measured:
        return f"no row of {where} has {' or '.join(chosen)}"
    constant = [name for name in measured if np.ptp(values[name]) == 0]
    if figure not in _CORRELATIONS or not constant:
        return ""
    first = constant[0]
    n_rows = len(values[first])
    return f"{first} is {values[first][0]:g} in all {n_rows} rows of {where} that have it"


def describe_undefined(task: Any, metric: str, split: str) -> str:
    """The same of a metric that *was* undefined, for which the predictions may be the cause."""
    if why := undefined_because(task, metric, split):
        return why
    if metric.startswith(_CORRELATIONS):
        return "the model predicts the same value for every row"
    return "it has no row to be measured on, or the model's answers are no numbers"
