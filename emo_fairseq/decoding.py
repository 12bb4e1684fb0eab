"""From a head's outputs to predicted labels, probabilities and values; scoring and inference."""

from typing import NamedTuple

from torch import Tensor

from emo_fairseq.metrics import log_odds
from emo_fairseq.types import Target, TargetKind


class Decoded(NamedTuple):
    """Predictions of a batch.

    Attributes:
        scores: (B, K) float32, the probability of each label; or (B, A) float32, the value on each
            axis, as the head gives it: nothing is clipped.
        label_ids: (B,) int64, the predicted labels; None where numbers are predicted.
    """

    scores: Tensor
    label_ids: Tensor | None = None


def decode(target: Target, logits: Tensor) -> Decoded:
    """Decode the outputs of a head.

    Of one label among K, and of a distribution over K, the probabilities are a softmax. Of K yes/no
    questions each probability is its own question's, so that they do not add up to 1, and the
    predicted label is the one with the largest log-odds.

    >>> import torch
    >>> from emo_fairseq.types import TARGETS
    >>> decoded = decode(TARGETS["emotion"], torch.tensor([[0.0, 2.0, 0.0, 0.0]]))
    >>> decoded.label_ids.tolist(), [round(x, 2) for x in decoded.scores[0].tolist()]
    ([1], [0.1, 0.71, 0.1, 0.1])
    >>> decode(TARGETS["binary_emotion"], torch.tensor([[0.0, -1.0, 0.0, 1.0]])).label_ids.tolist()
    [1]
    >>> decode(TARGETS["vad"], torch.tensor([[0.5, 0.25, 1.5]])).scores.tolist()
    [[0.5, 0.25, 1.5]]

    Args:
        target: what the head predicts.
        logits: (B, ``target.n_outputs(K)``), in any floating-point type.
    """
    full = logits.float()
    if target.kind in (TargetKind.CATEGORICAL, TargetKind.DISTRIBUTION):
        return Decoded(full.softmax(dim=1), logits.argmax(dim=1))
    if target.kind is TargetKind.BINARY_PER_LABEL:
        pairs = full.unflatten(1, (-1, 2))  # (B, K, (no, yes))
        return Decoded(pairs.softmax(dim=2)[:, :, 1], log_odds(logits).argmax(dim=1))
    return Decoded(full)
