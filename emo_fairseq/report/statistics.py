"""The statistics of each utterance, which add up, and all figures that follow from their sum."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from emo_fairseq import metrics
from emo_fairseq.metrics.derivations import confusion_figures, moment_figures
from emo_fairseq.report import calibration
from emo_fairseq.report.system import Labels, Numbers, System

Figures = dict[str, float]


class Statistics(NamedTuple):
    """Summable rows, and what derives from their sum.

    Attributes:
        rows: (N, D) float64.
        derive: (D,) -> figures by name.
    """

    rows: Tensor
    derive: Callable[[Tensor], Figures]

    def figures(self) -> Figures:
        """Of all utterances."""
        return self.derive(self.rows.sum(dim=0))


def statistics_of(system: System) -> Statistics:
    """Of a system's labels or numbers."""
    return _of_labels(system) if isinstance(system, Labels) else _of_numbers(system)


def _of_labels(system: Labels) -> Statistics:
    n_labels = len(system.names)
    asks_each = system.asks_each
    parts = {
        "confusion": metrics.confusion_rows(system.truth, system.prediction, n_labels),
        "bins": calibration.bin_rows(calibration.judge(system)),
        "brier": calibration.brier_rows(system),
        "nll": calibration.log_loss_rows(system),
    }
    if asks_each:
        said_yes, is_so = system.probability > 0.5, one_hot(system.truth, n_labels)
        pairs = [
            metrics.confusion_rows(is_so[:, k], said_yes[:, k].long(), 2) for k in range(n_labels)
        ]
        parts["binary"] = torch.stack(pairs, dim=1)  # (N, K, 2, 2)

    def derive(sums: Mapping[str, Tensor]) -> Figures:
        counts = sums["confusion"]
        n = counts.sum()
        figures = confusion_figures(counts, system.names)
        for name, metric in _PER_CLASS.items():
            values = zip(system.names, metric(counts), strict=True)
            figures |= {f"{name}_{label}": value for label, value in values}
        if asks_each:
            figures |= metrics.binary_metrics(sums["binary"], system.names)
        figures["ece"] = calibration.calibration_error(sums["bins"])
        return figures | {x: calibration.mean_over(sums[x], n) for x in ("brier", "nll")}

    return _packed(parts, derive)


_PER_CLASS = {"precision": metrics.precision_per_class, "f1": metrics.f1_per_class}


def _of_numbers(system: Numbers) -> Statistics:
    shape = system.truth.shape  # (N, A)
    cells = [values.reshape(1, -1) for values in (system.truth, system.prediction)]
    parts = {"moments": metrics.moments(*cells).reshape(*shape, -1)}  # (N, A, 8)
    if system.is_cmu:
        rows = zip(system.truth, system.prediction, strict=True)
        counted = [metrics.cmu_statistics(*row) for row in rows]  # each of one utterance
        parts |= {f"cmu_{k}": torch.stack([row[k] for row in counted]) for k in counted[0]}

    def derive(sums: Mapping[str, Tensor]) -> Figures:
        figures = moment_figures(sums["moments"], system.names)
        cmu = {k.removeprefix("cmu_"): v for k, v in sums.items() if k.startswith("cmu_")}
        return figures | (metrics.cmu_metrics(cmu) if cmu else {})

    return _packed(parts, derive)


def _packed(
    parts: Mapping[str, Tensor], derive: Callable[[Mapping[str, Tensor]], Figures]
) -> Statistics:
    """Lay named statistics side by side, so that one resample serves them all."""
    rows = torch.cat([part.reshape(len(part), -1) for part in parts.values()], dim=1)
    shapes = {name: part.shape[1:] for name, part in parts.items()}
    sizes = [math.prod(shape) for shape in shapes.values()]

    def from_sums(sums: Tensor) -> Figures:
        pieces = zip(shapes.items(), sums.split(sizes), strict=True)
        return derive({name: piece.reshape(shape) for (name, shape), piece in pieces})

    return Statistics(rows, from_sums)
