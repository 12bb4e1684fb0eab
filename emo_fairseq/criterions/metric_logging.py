"""From sums of statistics to the metrics in the log.

fairseq keeps one sum a statistic over the batches of an epoch (all-reduced over ranks) and derives
each metric from the sums whenever it prints, so a metric is the same at any batch size and on any
number of ranks. No metric is rounded.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from fairseq.logging import metrics as fairseq_metrics
from torch import Tensor

from emo_fairseq import metrics
from emo_fairseq.criterions.scoring import (
    BINARY_CONFUSIONS,
    CMU_PREFIX,
    CONFUSION,
    MEAN,
    MOMENTS,
    N_AGREED,
    N_ROWS,
    SPREAD,
    VOTES_PREFIX,
    of_case,
    split_case,
)
from emo_fairseq.evaluation.names import RECALL
from emo_fairseq.metrics.arrays import on_host

Metrics = Mapping[str, float]
Sums = Mapping[str, np.ndarray]  # by the name of the statistic
Derive = Callable[[Sums, Sequence[str]], Metrics]  # of labels or axes with these names


def log_metrics(
    logging_outputs: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    auxiliary_labels: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Log the sums of all statistics, and every metric that derives from them.

    Args:
        logging_outputs: what the criterion returned for some batches, of one or all ranks.
        labels: names of the classes, or of the axes.
        auxiliary_labels: the same of each auxiliary target, whose name takes the place of the case.
    """
    sums = _sum_statistics(logging_outputs)
    for name, value in sums.items():
        fairseq_metrics.log_scalar_sum(name, value)
    for case in dict.fromkeys(split_case(name)[1] for name in sums):
        of_rows = {name: sums[name] for name in sums if split_case(name)[1] == case}
        _log_derived(of_rows, case, auxiliary_labels.get(case, labels))


def metric_names(
    statistics: Mapping[str, Tensor],
    labels: Sequence[str],
    auxiliary_labels: Mapping[str, Sequence[str]],
) -> list[str]:
    """Return the names that :func:`log_metrics` logs of such statistics, whatever their values."""
    with fairseq_metrics.aggregate(new_root=True) as logged:
        log_metrics([statistics], labels, auxiliary_labels)
    return [name for name in logged if not name.startswith("_")]


def metric_values(
    logging_outputs: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    auxiliary_labels: Mapping[str, Sequence[str]],
) -> dict[str, float]:
    """Return the metrics that :func:`log_metrics` logs, by name, and log nothing."""
    with fairseq_metrics.aggregate(new_root=True) as logged:
        log_metrics(logging_outputs, labels, auxiliary_labels)
    return dict(logged.get_smoothed_values())


def _sum_statistics(logging_outputs: Iterable[Mapping[str, Any]]) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    for output in logging_outputs:
        for name, value in output.items():
            if name.startswith("_"):
                sums[name] = sums[name] + value if name in sums else value
    return sums


def _log_derived(sums: Mapping[str, Tensor], case: str, labels: Sequence[str]) -> None:
    """Log the metrics that derive from the sums over the rows of a case, or over all rows."""
    for prefix, derive in _DERIVATIONS:
        names = [name for name in sums if name.startswith(prefix)]
        if not names:
            continue
        # The names of the metrics follow from any sums; their values from the sums so far.
        read = _reader(names, derive, labels)
        for metric in derive(_on_host(names, sums), labels):
            if not (case and metric.startswith(RECALL)):  # which would be too many
                fairseq_metrics.log_derived(of_case(metric, case), partial(_read_one, metric, read))


def _read_one(metric: str, read: Callable[[Any], Metrics], meters: Mapping[str, Any]) -> float:
    return read(meters)[metric]


def _reader(
    names: Sequence[str], derive: Derive, labels: Sequence[str]
) -> Callable[[Any], Metrics]:
    """Return the function by which fairseq computes metrics from its meters.

    fairseq reads one metric after another: they are computed once for all of them.
    """
    last: tuple[list[Any], Metrics] = [], {}

    def read(meters: Mapping[str, Any]) -> Metrics:
        nonlocal last
        sums = {name: meters[name].sum for name in names}
        # A meter never changes its sum in place: an update replaces it.
        if not last[0] or any(a is not b for a, b in zip(sums.values(), last[0], strict=True)):
            last = list(sums.values()), derive(_on_host(names, sums), labels)
        return last[1]

    return read


def _on_host(names: Iterable[str], sums: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Return sums by the names of their statistics, without the case."""
    return {split_case(name)[0]: on_host(sums[name]) for name in names}


def _without(prefix: str, sums: Sums) -> Sums:
    return {name.removeprefix(prefix): value for name, value in sums.items()}


def _means(sums: Sums, labels: Sequence[str]) -> Metrics:
    means = _without(MEAN, sums).items()
    return {name: float(total / count) if count else math.nan for name, (total, count) in means}


def _deviations(sums: Sums, labels: Sequence[str]) -> Metrics:
    return {name: _deviation(*values) for name, values in _without(SPREAD, sums).items()}


def _deviation(n: float, total: float, squares: float) -> float:
    if not n:
        return math.nan
    return math.sqrt(max(0.0, float(squares / n - (total / n) ** 2)))


# How the names of statistics begin, and what derives from them.
_DERIVATIONS: Sequence[tuple[str, Derive]] = (
    (CONFUSION, lambda sums, labels: metrics.label_metrics(sums[CONFUSION], labels)),
    (
        BINARY_CONFUSIONS,
        lambda sums, labels: metrics.binary_metrics(sums[BINARY_CONFUSIONS], labels),
    ),
    (MOMENTS, lambda sums, axes: metrics.number_metrics(sums[MOMENTS], axes)),
    (CMU_PREFIX, lambda sums, labels: metrics.cmu_metrics(_without(CMU_PREFIX, sums))),
    (N_AGREED, lambda sums, labels: {"n_agreed": float(sums[N_AGREED])}),
    (VOTES_PREFIX, lambda sums, labels: metrics.vote_metrics(_without(VOTES_PREFIX, sums))),
    (N_ROWS, lambda sums, labels: {"n": float(sums[N_ROWS])}),
    (MEAN, _means),
    (SPREAD, _deviations),
)
