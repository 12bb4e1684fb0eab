"""From a head's outputs to predicted labels, probabilities and values; scoring and inference."""

from typing import NamedTuple

import numpy as np

from emo_fairseq.targets import Target, TargetKind


class Decoded(NamedTuple):
    """Predictions of a batch.

    Attributes:
        scores: (B, K) float32, the probability of each label; or (B, A) float32, the value on each
            axis, as the head gives it: nothing is clipped.
        label_ids: (B,) int64, the predicted labels; None where numbers are predicted.
    """

    scores: np.ndarray
    label_ids: np.ndarray | None = None


def decode(target: Target, logits: np.ndarray) -> Decoded:
    """Decode the outputs of a head.

    Of one label among K, and of a distribution over K, the probabilities are a softmax. Of K yes/no
    questions each probability is its own question's, so that they do not add up to 1, and the
    predicted label is the one with the largest log-odds.

    >>> from emo_fairseq.targets import TARGETS
    >>> decoded = decode(TARGETS["emotion"], np.array([[0.0, 2.0, 0.0, 0.0]]))
    >>> decoded.label_ids.tolist(), [round(x, 2) for x in decoded.scores[0].tolist()]
    ([1], [0.1, 0.71, 0.1, 0.1])
    >>> decode(TARGETS["binary_emotion"], np.array([[0.0, -1.0, 0.0, 1.0]])).label_ids.tolist()
    [1]
    >>> decode(TARGETS["vad"], np.array([[0.5, 0.25, 1.5]])).scores.tolist()
    [[0.5, 0.25, 1.5]]

    Args:
        target: what the head predicts.
        logits: (B, ``target.n_outputs(K)``), in any floating-point type.
    """
    full = logits.astype(np.float32)
    if target.kind in (TargetKind.CATEGORICAL, TargetKind.DISTRIBUTION):
        return Decoded(_softmax(full), logits.argmax(axis=1))
    if target.kind is TargetKind.BINARY_PER_LABEL:
        wide = logits.astype(np.float64)
        log_odds = wide[:, 1::2] - wide[:, ::2]
        pairs = full.reshape(len(full), -1, 2)  # (B, K, (no, yes))
        return Decoded(_softmax(pairs)[:, :, 1], log_odds.argmax(axis=1))
    return Decoded(full)


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities
