"""How close predicted probabilities are to the votes of annotators.

The truth of a distribution over K labels is one array of K + 1 columns, float64: the id of the
majority label, -1 without one, and then the K shares of the votes. :func:`majority_ids` and
:func:`shares` take it apart.

Statistics are computed per utterance and summed over utterances, as all others.
"""

from collections.abc import Mapping

import numpy as np

from emo_fairseq.metrics.arrays import Array, Sums, int64, namespace, on_host
from emo_fairseq.metrics.calibration import (
    Confidence,
    bin_rows,
    calibration_error,
    chosen,
    mean_over,
)

VOTES, VOTE_BINS = "votes", "vote_bins"


def majority_ids(truth: Array) -> Array:
    """Return the ids of the majority labels, (N, K + 1) -> (N,) int64; -1 without a majority."""
    return int64(truth[:, 0])


def shares(truth: Array) -> Array:
    """Return the shares of the votes, (N, K + 1) -> (N, K)."""
    return truth[:, 1:]


def vote_rows(votes: Array, probability: Array) -> dict[str, Array]:
    """Return the statistics of each utterance, by name, that :func:`vote_metrics` needs the sum of.

    With shares q and probabilities p: the cross-entropy ``-sum over k of q_k log p_k``; the entropy
    of q, which is its smallest value; and the Jensen-Shannon divergence ``(KL(q || m) + KL(p ||
    m)) / 2`` with ``m = (p + q) / 2`` (Lin 1991), all in nats. The calibration compares the
    probability of the predicted label with its share of the votes, in place of right or wrong.

    Args:
        votes: (N, K) float64, shares that add up to 1.
        probability: (N, K) float64.

    Returns:
        ``votes``: (N, 4), 1 and the three; ``vote_bins``: (N, 15, 3), see
        :func:`emo_fairseq.metrics.calibration.bin_rows`.

    >>> rows = vote_rows(np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]]))
    >>> [round(x, 4) for x in rows["votes"][0].tolist()]
    [1.0, 0.6931, 0.6931, 0.0]
    """
    entropy = -_x_log_y(votes, votes).sum(1)
    cross_entropy = -_x_log_y(votes, probability).sum(1)  # infinite where p is 0, q is not
    middle = 0.5 * (votes + probability)
    divergence = 0.5 * (_divergence(votes, middle) + _divergence(probability, middle))
    predicted, xp = probability.argmax(1), namespace(probability)
    of_predicted = Confidence(
        chosen(probability, predicted)[:, None], chosen(votes, predicted)[:, None]
    )
    one = xp.ones_like(entropy)
    return {
        VOTES: xp.stack([one, cross_entropy, entropy, divergence], 1),
        VOTE_BINS: bin_rows(of_predicted),
    }


def _divergence(p: Array, q: Array) -> Array:
    """Return the Kullback-Leibler divergence of each row; q is above 0 where p is."""
    return (_x_log_y(p, p) - _x_log_y(p, q)).sum(1)


def _x_log_y(x: Array, y: Array) -> Array:
    """Return x ln y, which is 0 where x is 0, whatever y."""
    xp = namespace(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        return xp.where(x == 0, 0.0, x * xp.log(y))


def vote_metrics(sums: Mapping[str, Sums]) -> dict[str, float]:
    """Return the metrics from sums of :func:`vote_rows` over utterances.

    ``votes_ce`` cross-entropy, ``votes_kl`` what of it a perfect prediction would not have,
    ``votes_jsd`` Jensen-Shannon divergence, and ``votes_ece`` calibration error; NaN without rows.
    """
    n, cross_entropy, entropy, divergence = on_host(sums[VOTES])
    return {
        "votes_ce": mean_over(cross_entropy, n),
        "votes_kl": mean_over(cross_entropy - entropy, n),
        "votes_jsd": mean_over(divergence, n),
        "votes_ece": calibration_error(sums[VOTE_BINS]),
    }
