"""From logits to summable statistics and to rows of the predictions file.

The statistics are tensors that add up over batches and ranks; :mod:`.metric_logging` derives the
metrics from their sums. Their names begin with an underscore, which keeps them off the log line.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from emo_fairseq import metrics
from emo_fairseq.decoding import decode
from emo_fairseq.evaluation.names import SENTIMENT_SCORE
from emo_fairseq.evaluation.predictions import Row, label_row, number_row
from emo_fairseq.targets import Target, TargetKind

CONFUSION = "_confusion"
BINARY_CONFUSIONS = "_binary_confusions"
MOMENTS = "_moments"
CMU_PREFIX = "_cmu_"
N_ROWS = "_n"
N_AGREED = "_agreed"
VOTES_PREFIX = "_of_"
MEAN = "_mean_"
SPREAD = "_spread_"
_CASE = "@"


def of_case(name: str, case: str) -> str:
    """Return the name of a statistic or metric of the rows of one case alone.

    >>> of_case("uar", "text"), of_case("uar", "")
    ('uar@text', 'uar')
    """
    return f"{name}{_CASE}{case}" if case else name


def split_case(name: str) -> tuple[str, str]:
    """Return the inverse of :func:`of_case`: the name, and the case or an empty string."""
    name, _, case = name.partition(_CASE)
    return name, case


def mean_of(name: str, total: Tensor | float, count: Tensor | float) -> dict[str, Tensor]:
    """Return the statistic behind a mean that is logged under `name`.

    Args:
        name: of the mean.
        total: of this batch and rank.
        count: what the total is divided by.
    """
    return {MEAN + name: _stack(total, count)}


def spread_of(name: str, values: Tensor, counted: Tensor) -> dict[str, Tensor]:
    """Return the statistic behind a population standard deviation that is logged under `name`.

    Args:
        name: of the standard deviation.
        values: (n,), of this batch and rank.
        counted: (n,) bool, the values that it is of.
    """
    values = torch.where(counted, values.detach().double(), 0.0)
    return {SPREAD + name: _stack(counted.sum(), values.sum(), values.square().sum())}


def _stack(*values: Tensor | float) -> Tensor:
    tensors = [torch.as_tensor(value, dtype=torch.float64).detach() for value in values]
    device = next((x.device for x in tensors if x.device.type != "cpu"), torch.device("cpu"))
    return torch.stack([x.to(device) for x in tensors])


class Scorer:
    """Compares the outputs of a head with the truth.

    Args:
        target: what the head predicts.
        labels: names of the K labels, or of the A axes.
    """

    def __init__(self, target: Target, labels: Sequence[str]) -> None:
        self.target, self.labels = target, labels

    def statistics(
        self, truth: Tensor, logits: Tensor, counted: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return summable statistics of a batch, float64; the host does not wait for them.

        Args:
            truth: (B,) label ids; (B, A) numbers, NaN = missing; or of a distribution (B, K + 1),
                see :mod:`emo_fairseq.metrics.votes`.
            logits: (B, n), the head's outputs.
            counted: (B,) bool, the rows whose label ids are known; None = all.
        """
        if self.target.is_none:
            return {}
        if self.target.kind is TargetKind.DISTRIBUTION:
            return self._of_votes(truth, logits)
        if not self.target.has_labels:
            return self._of_numbers(truth, logits)
        statistics = self._confusion(truth, logits, counted)
        if self.target.kind is TargetKind.BINARY_PER_LABEL:
            statistics[BINARY_CONFUSIONS] = metrics.binary_confusions(truth, logits, counted)
        return statistics

    def _confusion(
        self, truth: Tensor, logits: Tensor, counted: Tensor | None
    ) -> dict[str, Tensor]:
        is_binary = self.target.kind is TargetKind.BINARY_PER_LABEL
        prediction = (metrics.log_odds(logits) if is_binary else logits).argmax(dim=1)
        counts = metrics.confusion(truth, prediction, len(self.labels), counted)
        # A NaN has no largest logit, though argmax names one: then no count means anything.
        is_undefined = logits.isnan().any(dim=1)
        if counted is not None:
            is_undefined = is_undefined & counted
        return {CONFUSION: counts.masked_fill(is_undefined.any(), torch.nan)}

    def _of_votes(self, truth: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """Return confusions of the rows with a majority label, and how close all are to the votes.

        The number of the former is a statistic of its own, so that it is stated beside the metrics.
        """
        majority, probability = metrics.majority_ids(truth), logits.float().softmax(dim=1)
        agreed = majority >= 0
        of_rows = metrics.vote_rows(metrics.shares(truth).double(), probability.double())
        return {
            **self._confusion(majority, logits, agreed),
            N_AGREED: agreed.sum().double(),
            **{VOTES_PREFIX + name: rows.sum(dim=0) for name, rows in of_rows.items()},
        }

    def _of_numbers(self, truth: Tensor, values: Tensor) -> dict[str, Tensor]:
        statistics = {MOMENTS: metrics.moments(truth, values)}
        if self.target.name == SENTIMENT_SCORE:
            counts = metrics.cmu_statistics(truth[:, 0], values[:, 0])
            statistics |= {CMU_PREFIX + name: value for name, value in counts.items()}
        return statistics

    def prediction_rows(self, truth: Tensor, logits: Tensor) -> Iterator[Row]:
        """Yield truth, prediction and scores of each utterance, by column.

        Args:
            truth: as of :meth:`statistics`.
            logits: (B, n), the head's outputs.
        """
        scores, label_ids = decode(self.target, logits.detach().float().cpu().numpy())
        if label_ids is None:
            for true, values in zip(truth.tolist(), scores.tolist(), strict=True):
                yield number_row(self.target.columns, true, values)
            return
        votes: list[list[float]] | list[None] = [None] * len(truth)
        if self.target.kind is TargetKind.DISTRIBUTION:
            truth, votes = metrics.majority_ids(truth), metrics.shares(truth).tolist()
        rows = zip(truth.tolist(), label_ids.tolist(), scores.tolist(), votes, strict=True)
        for true, predicted, probabilities, of_votes in rows:
            yield label_row(self.labels, true, predicted, probabilities, of_votes)
