"""Explain why the metric that selects the checkpoint is undefined on a split."""

import numpy as np

from emo_fairseq.data.annotations import truth_array
from emo_fairseq.data.data_dir import DataDir
from emo_fairseq.evaluation.names import RECALL
from emo_fairseq.targets import LabeledTarget, TargetKind
from emo_fairseq.task_state import TaskState

_CORRELATIONS = ("ccc", "pearson")  # undefined where truth or prediction is constant


def undefined_because(state: TaskState, data: DataDir, metric: str, split: str) -> str:
    """Return why the truth of a split leaves a metric undefined; empty if it does not."""
    name, _, case = metric.partition("@")
    of = state.auxiliary.get(case) if case else LabeledTarget(state.target, state.labels)
    if of is None:  # of the rows that have some modalities
        return ""
    fold = f", fold {data.cfg.fold}" if data.cfg.fold else ""
    where = f"{split} of {data.folder}{fold}"
    truth = truth_array(data.split(split), of.target, of.labels)
    if of.target.kind is TargetKind.DISTRIBUTION:
        truth = truth[:, 0]  # the majority labels
    if of.target.has_labels:
        label = name.removeprefix(RECALL)
        if name == label or label not in of.labels or (truth == of.labels.index(label)).any():
            return ""
        return f"no row of {where} is {label}"
    return _of_numbers(name, truth, of.target.columns, where)


def _of_numbers(name: str, truth: np.ndarray, axes: tuple[str, ...], where: str) -> str:
    metric, _, axis = name.partition("_")
    chosen = [axis] if axis in axes else list(axes)
    values = {name: column[~np.isnan(column)] for name, column in zip(axes, truth.T, strict=True)}
    if not any(map(len, values.values())):
        return ""  # no row has the target at all, which is refused when the split is loaded
    measured = [name for name in chosen if len(values[name])]
    if not measured:
        return f"no row of {where} has {' or '.join(chosen)}"
    constant = [name for name in measured if np.ptp(values[name]) == 0]
    if metric not in _CORRELATIONS or not constant:
        return ""
    first = constant[0]
    n_rows = len(values[first])
    return f"{first} is {values[first][0]:g} in all {n_rows} rows of {where} that have it"


def describe_undefined(state: TaskState, data: DataDir, metric: str, split: str) -> str:
    """Return why a metric was undefined in a validation, by the truth or by the predictions."""
    if why := undefined_because(state, data, metric, split):
        return why
    if metric.startswith(_CORRELATIONS):
        return "the model predicts the same value for every row"
    return "it has no row to be measured on, or the outputs of the model are no numbers"
