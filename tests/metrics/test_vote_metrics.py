"""Metrics of votes against SciPy, in parts of any size, and where they are not defined."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from emo_fairseq import evaluation
from emo_fairseq.metrics import majority_ids, shares, vote_metrics, vote_rows

N_ROWS, LABELS = 41, ("happy", "neutral", "sad")


def drawn() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    votes = draw.multinomial(5, draw.dirichlet([0.5, 1.0, 2.0], N_ROWS)) / 5
    return votes, draw.dirichlet([1.0, 1.0, 1.0], N_ROWS)


def metrics_of(votes: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    rows = vote_rows(torch.from_numpy(votes), torch.from_numpy(probability))
    return vote_metrics({name: of.sum(dim=0) for name, of in rows.items()})


def test_divergences_are_scipys() -> None:
    votes, probability = drawn()
    found = metrics_of(votes, probability)
    distances = jensenshannon(votes, probability, axis=1)  # a distance: its square is summed up
    assert found["votes_jsd"] == pytest.approx(float(np.mean(distances**2)))
    assert found["votes_kl"] == pytest.approx(float(np.mean(entropy(votes, probability, axis=1))))
    cross = entropy(votes, axis=1) + entropy(votes, probability, axis=1)
    assert found["votes_ce"] == pytest.approx(float(np.mean(cross)))


def test_calibration_is_the_slow_one() -> None:
    votes, probability = drawn()
    bins: dict[int, list[tuple[float, float]]] = {}
    for q, p in zip(votes, probability, strict=True):
        predicted = int(p.argmax())
        bins.setdefault(math.ceil(p[predicted] * 15) - 1, []).append((q[predicted], p[predicted]))
    gaps = [abs(sum(q for q, _ in of) - sum(p for _, p in of)) for of in bins.values()]
    assert metrics_of(votes, probability)["votes_ece"] == pytest.approx(sum(gaps) / N_ROWS)


def test_parts_of_any_size_have_the_metrics_of_the_whole() -> None:
    votes, probability = drawn()
    whole = metrics_of(votes, probability)
    for size in (1, 6):
        sums: dict[str, torch.Tensor] = {}
        for start in range(0, N_ROWS, size):
            part = slice(start, start + size)
            rows = vote_rows(torch.from_numpy(votes[part]), torch.from_numpy(probability[part]))
            for name, of in rows.items():
                sums[name] = sums.get(name, 0.0) + of.sum(dim=0)
        assert vote_metrics(sums) == pytest.approx(whole, abs=1e-12)


def test_a_perfect_prediction_has_no_divergence() -> None:
    votes, _ = drawn()
    found = metrics_of(votes, votes)
    assert found["votes_ce"] == pytest.approx(float(np.mean(entropy(votes, axis=1))))
    assert [found[key] for key in ("votes_kl", "votes_jsd", "votes_ece")] == pytest.approx([0] * 3)


def test_an_infinite_cross_entropy_and_no_rows_are_undefined() -> None:
    infinite = metrics_of(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    assert math.isnan(infinite["votes_ce"])
    assert infinite["votes_jsd"] == pytest.approx(float(jensenshannon([0.5, 0.5], [1.0, 0.0]) ** 2))
    assert all(map(math.isnan, metrics_of(np.zeros((0, 3)), np.zeros((0, 3))).values()))


def test_the_truth_of_a_distribution_is_taken_apart() -> None:
    truth = torch.tensor([[-1.0, 0.5, 0.5], [1.0, 0.25, 0.75]], dtype=torch.float64)
    assert majority_ids(truth).tolist() == [-1, 1]
    assert shares(truth).tolist() == [[0.5, 0.5], [0.25, 0.75]]


def test_lists_have_the_same_metrics() -> None:
    votes, probability = drawn()
    expected = metrics_of(votes, probability)
    counts = [
        {label: 5 * share for label, share in zip(LABELS, row, strict=True) if share}
        for row in votes.tolist()
    ]
    rows = [dict(zip(LABELS, row, strict=True)) for row in probability.tolist()]
    for key, value in expected.items():
        assert getattr(evaluation, key)(counts, rows) == pytest.approx(value), key


@pytest.mark.parametrize("votes", [{}, {"sad": 0}, {"sad": -1, "happy": 2}, {"angry": 1}])
def test_what_are_no_votes_is_refused(votes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="row 0"):
        evaluation.votes_jsd([votes], [{"happy": 0.5, "sad": 0.5}])
