"""From sums of statistics to the figures in the log.

fairseq keeps one sum a statistic over the batches of an epoch (all-reduced over ranks) and derives
each figure from the sums whenever it prints, so a figure is the same at any batch size and on any
number of ranks. No figure is rounded.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fairseq.logging import metrics as fairseq_metrics
from torch import Tensor

from emo_fairseq import metrics
from emo_fairseq.criterions.scoring import (
    BINARY_CONFUSIONS,
    CMU_PREFIX,
    CONFUSION,
    MEAN,
    MOMENTS,
    N_ROWS,
    SPREAD,
    of_case,
    split_case,
)

Figures = Mapping[str, float]


def log_metrics(
    logging_outputs: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    auxiliary_labels: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Log the sums of all statistics, and every figure that derives from them.

    Args:
        logging_outputs: what the criterion returned for some batches, of one or all ranks.
        labels: names of the classes, or of the axes.
        auxiliary_labels: the same of each auxiliary target, whose name stands for the case.
    """
    sums = _sum_statistics(logging_outputs)
    for name, value in sums.items():
        fairseq_metrics.log_scalar_sum(name, value)
    for case in dict.fromkeys(split_case(name)[1] for name in sums):
        of_this = {name: sums[name] for name in sums if split_case(name)[1] == case}
        _log_figures(of_this, case, auxiliary_labels.get(case, labels))


def figure_names(
    statistics: Mapping[str, Tensor],
    labels: Sequence[str],
    auxiliary_labels: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[str]:
    """What :func:`log_metrics` would log of such statistics, whatever their values are."""
    with fairseq_metrics.aggregate(new_root=True) as logged:
        log_metrics([statistics], labels, auxiliary_labels)
    return [name for name in logged if not name.startswith("_")]


def _log_figures(sums: Mapping[str, Tensor], case: str, labels: Sequence[str]) -> None:
    """Log what derives from the sums over the rows of a case, or over all rows."""
    for needed, derive in _DERIVATIONS:
        names = [name for name in sums if name.startswith(needed)]
        if not names:
            continue
        # The names of the figures follow from any sums; their values from the sums so far.
        for figure in derive(_without_case(names, sums), labels):
            if not (case and figure.startswith(_TOO_MANY)):
                reader = _reader(figure, names, derive, labels)
                fairseq_metrics.log_derived(of_case(figure, case), reader)


def _without_case(names: Iterable[str], sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {split_case(name)[0]: sums[name] for name in names}


def _sum_statistics(logging_outputs: Iterable[Mapping[str, Any]]) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    for output in logging_outputs:
        for name, value in output.items():
            if name.startswith("_"):
                sums[name] = sums[name] + value if name in sums else value
    return sums


def _reader(
    figure: str,
    names: Sequence[str],
    derive: Callable[[Mapping[str, Tensor], Sequence[str]], Figures],
    labels: Sequence[str],
) -> Callable[[Any], float]:
    return lambda meters: derive(
        _without_case(names, {name: meters[name].sum for name in names}), labels
    )[figure]


def _confusion_figures(sums: Mapping[str, Tensor], labels: Sequence[str]) -> Figures:
    return metrics.label_metrics(sums[CONFUSION], labels)


def _binary_figures(sums: Mapping[str, Tensor], labels: Sequence[str]) -> Figures:
    return metrics.binary_metrics(sums[BINARY_CONFUSIONS], labels)


def _moment_figures(sums: Mapping[str, Tensor], axes: Sequence[str]) -> Figures:
    return metrics.number_metrics(sums[MOMENTS], axes)


def _cmu_figures(sums: Mapping[str, Tensor], labels: Sequence[str]) -> Figures:
    return metrics.cmu_metrics({name.removeprefix(CMU_PREFIX): sums[name] for name in sums})


def _row_figures(sums: Mapping[str, Tensor], labels: Sequence[str]) -> Figures:
    return {"n": float(sums[N_ROWS])}


def _mean_figures(sums: Mapping[str, Tensor], labels: Sequence[str]) -> Figures:
    return {
        name.removeprefix(MEAN): float(total / count) if count else math.nan
        for name, (total, count) in sums.items()
    }


def _spread_figures(sums: Mapping[str, Tensor], labels: Sequence[str]) -> Figures:
    return {name.removeprefix(SPREAD): _deviation(*values) for name, values in sums.items()}


def _deviation(n: Tensor, total: Tensor, squares: Tensor) -> float:
    if not n:
        return math.nan
    return math.sqrt(max(0.0, float(squares / n - (total / n) ** 2)))


_TOO_MANY = "recall_"  # for each case one for each label

_DERIVATIONS: Sequence[tuple[str, Callable[[Mapping[str, Tensor], Sequence[str]], Figures]]] = (
    (CONFUSION, _confusion_figures),
    (BINARY_CONFUSIONS, _binary_figures),
    (MOMENTS, _moment_figures),
    (CMU_PREFIX, _cmu_figures),
    (N_ROWS, _row_figures),
    (MEAN, _mean_figures),
    (SPREAD, _spread_figures),
)
