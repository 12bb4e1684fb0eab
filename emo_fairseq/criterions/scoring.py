"""From logits to summable statistics and to rows of the predictions file, by kind of target.

The statistics are tensors that add up over batches and ranks; :mod:`.metric_logging` derives the
metrics from their sums. Their names begin with an underscore, which keeps them off the log line.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from emo_fairseq import metrics
from emo_fairseq.decoding import decode
from emo_fairseq.evaluation.names import SENTIMENT_SCORE
from emo_fairseq.evaluation.predictions import (
    PREDICTION_OF,
    PROBABILITY,
    TRUTH_OF,
    Row,
)
from emo_fairseq.types import (
    Target,
    TargetKind,
)

CONFUSION = "_confusion"
BINARY_CONFUSIONS = "_binary_confusions"
MOMENTS = "_moments"
CMU_PREFIX = "_cmu_"
N_ROWS = "_n"
MEAN = "_mean_"
SPREAD = "_spread_"
_CASE = "@"


def of_case(name: str, case: str) -> str:
    """What a statistic or figure is called that is of the rows of one case alone."""
    return f"{name}{_CASE}{case}" if case else name


def split_case(name: str) -> tuple[str, str]:
    """The inverse of :func:`of_case`: the name, and the case or an empty string."""
    name, _, case = name.partition(_CASE)
    return name, case


def mean_of(name: str, total: Tensor | float, count: Tensor | float) -> dict[str, Tensor]:
    """The statistic behind a mean that is logged under `name`: a total and what it is over."""
    return {MEAN + name: _numbers(total, count)}


def spread_of(name: str, values: Tensor, counted: Tensor) -> dict[str, Tensor]:
    """The statistic behind a population standard deviation that is logged under `name`.

    Args:
        name: of the figure.
        values: (n,), of this batch and rank.
        counted: (n,) bool, the values that it is of.
    """
    values = torch.where(counted, values.detach().double(), 0.0)
    return {SPREAD + name: _numbers(counted.sum(), values.sum(), values.square().sum())}


def _numbers(*values: Tensor | float) -> Tensor:
    tensors = [torch.as_tensor(value, dtype=torch.float64).detach() for value in values]
    device = next((x.device for x in tensors if x.device.type != "cpu"), torch.device("cpu"))
    return torch.stack([x.to(device) for x in tensors])


class Scorer(Protocol):
    """One form of target."""

    def statistics(self, target: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """Summable tensors of a batch."""

    def prediction_rows(self, target: Tensor, logits: Tensor) -> Iterator[Row]:
        """One row an utterance: truth, prediction and scores."""


class _Labels:
    def __init__(self, target: Target, labels: Sequence[str]) -> None:
        self.target = target
        self.labels = labels

    def statistics(self, target: Tensor, logits: Tensor) -> dict[str, Tensor]:
        prediction = decode(self.target, logits).label_ids
        assert prediction is not None
        counts = metrics.confusion(target, prediction, len(self.labels))
        return {CONFUSION: _nan_if_undefined(counts, logits)}

    def prediction_rows(self, target: Tensor, logits: Tensor) -> Iterator[Row]:
        scores, prediction = decode(self.target, logits)
        assert prediction is not None
        rows = zip(target.tolist(), prediction.tolist(), scores.tolist(), strict=True)
        for truth, predicted, row_scores in rows:
            yield {
                "truth": self.labels[truth],
                "prediction": self.labels[predicted],
                **{PROBABILITY + k: p for k, p in zip(self.labels, row_scores, strict=True)},
            }


class _BinaryPerLabel(_Labels):
    def statistics(self, target: Tensor, logits: Tensor) -> dict[str, Tensor]:
        answers = {BINARY_CONFUSIONS: metrics.binary_confusions(target, logits)}
        return super().statistics(target, logits) | answers


class _Continuous:
    def __init__(self, target: Target, labels: Sequence[str]) -> None:
        self.target = target
        self.axes = target.columns
        self.has_cmu_metrics = target.name == SENTIMENT_SCORE

    def statistics(self, target: Tensor, logits: Tensor) -> dict[str, Tensor]:
        statistics = {MOMENTS: metrics.moments(target, logits)}
        if self.has_cmu_metrics:
            counts = metrics.cmu_statistics(target[:, 0], logits[:, 0])
            statistics |= {CMU_PREFIX + name: value for name, value in counts.items()}
        return statistics

    def prediction_rows(self, target: Tensor, logits: Tensor) -> Iterator[Row]:
        scores, _ = decode(self.target, logits)
        for truth, values in zip(target.tolist(), scores.tolist(), strict=True):
            yield {
                **{TRUTH_OF + axis: x for axis, x in zip(self.axes, truth, strict=True)},
                **{PREDICTION_OF + axis: x for axis, x in zip(self.axes, values, strict=True)},
            }


def _nan_if_undefined(counts: Tensor, logits: Tensor) -> Tensor:
    """A NaN has no largest logit, though argmax names one: then no count means anything."""
    return counts.masked_fill(logits.isnan().any(), float("nan"))


SCORERS: Mapping[TargetKind, Callable[[Target, Sequence[str]], Scorer]] = {
    TargetKind.CATEGORICAL: _Labels,
    TargetKind.BINARY_PER_LABEL: _BinaryPerLabel,
    TargetKind.CONTINUOUS: _Continuous,
}
