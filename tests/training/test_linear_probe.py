"""The linear models of --probe, beside scikit-learn's own on the same vectors."""

import logging

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emo_fairseq.training.linear_probe import (
    LinearLayer,
    Standardization,
    solve_labels,
    solve_numbers,
    solve_questions,
)

N, D = 120, 6
STRENGTH = 0.01


@pytest.fixture
def vectors() -> np.ndarray:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(N, D)) * [1.0, 100.0, 0.01, 1.0, 1.0, 1.0] + [0, 50, 1, 0, 0, 7]
    values[:, 5] = 7.0  # constant
    return values


def labels(vectors: np.ndarray, n_labels: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    scores = StandardScaler().fit_transform(vectors) @ rng.normal(size=(D, n_labels))
    return (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)


def folded(vectors: np.ndarray, layer_of: object) -> LinearLayer:
    """The layer of raw vectors."""
    present = np.ones(vectors.shape, dtype=bool)
    standardization = Standardization.fit(vectors, present)
    return standardization.fold(layer_of(standardization.apply(vectors, present)))


@pytest.mark.parametrize("n_labels", [2, 3, 5])
def test_labels_are_those_of_scikit_learn(vectors: np.ndarray, n_labels: int) -> None:
    truth = labels(vectors, n_labels)
    weights = np.linspace(0.5, 2.0, n_labels)[truth]
    layer = folded(vectors, lambda x: solve_labels(x, truth, n_labels, STRENGTH, weights))
    model = LogisticRegression(C=1 / (STRENGTH * weights.sum()), tol=1e-5, max_iter=1000)
    pipeline = make_pipeline(StandardScaler(), model)
    pipeline.fit(vectors, truth, logisticregression__sample_weight=weights)
    logits = layer(vectors)
    assert (logits.argmax(axis=1) == pipeline.predict(vectors)).all()
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(vectors), atol=1e-6)
    np.testing.assert_allclose(layer.weight[:, 5], 0.0, atol=1e-12)  # of the constant


def test_a_label_without_rows_is_never_predicted(vectors: np.ndarray) -> None:
    truth = 2 * labels(vectors, 2)  # 0 and 2 of three
    logits = folded(vectors, lambda x: solve_labels(x, truth, 3, STRENGTH))(vectors)
    assert not (logits.argmax(axis=1) == 1).any()
    single = folded(vectors, lambda x: solve_labels(x, np.ones(N, dtype=int), 3, STRENGTH))
    assert (single(vectors).argmax(axis=1) == 1).all()


def test_questions_are_binary_regressions(vectors: np.ndarray) -> None:
    truth = labels(vectors, 3)
    pairs = folded(vectors, lambda x: solve_questions(x, truth, 3, STRENGTH))(vectors)
    for label in range(3):
        model = LogisticRegression(C=1 / (STRENGTH * N), tol=1e-5)
        pipeline = make_pipeline(StandardScaler(), model).fit(vectors, truth == label)
        margin = pairs[:, 2 * label + 1] - pairs[:, 2 * label]
        np.testing.assert_allclose(margin, pipeline.decision_function(vectors), atol=1e-4)


def test_numbers_are_ridge_regressions_over_the_rows_with_truth(vectors: np.ndarray) -> None:
    truth = np.stack([vectors[:, 0] + 0.3, vectors[:, 1] / 100, np.zeros(N)], axis=1)
    truth += np.random.default_rng(3).normal(size=truth.shape)
    truth[::3, 1] = np.nan
    truth[:, 2] = np.nan
    values = folded(vectors, lambda x: solve_numbers(x, truth, STRENGTH))(vectors)
    scaler = StandardScaler().fit(vectors)
    for axis in (0, 1):
        known = ~np.isnan(truth[:, axis])
        model = Ridge(alpha=STRENGTH * known.sum())
        model.fit(scaler.transform(vectors[known]), truth[known, axis])
        np.testing.assert_allclose(
            values[:, axis], model.predict(scaler.transform(vectors)), atol=1e-9
        )
    assert (values[:, 2] == 0.0).all()


def test_more_strength_means_smaller_weights(vectors: np.ndarray) -> None:
    truth = labels(vectors, 3)
    present = np.ones(vectors.shape, dtype=bool)
    standard = Standardization.fit(vectors, present).apply(vectors, present)
    norms = [
        np.linalg.norm(solve_labels(standard, truth, 3, strength).weight)
        for strength in (1e-3, 1e-1, 10.0)
    ]
    assert norms[0] > 2 * norms[1] > 4 * norms[2]


def test_what_a_row_lacks_is_the_mean(vectors: np.ndarray) -> None:
    present = np.ones(vectors.shape, dtype=bool)
    present[:40, 2:] = False
    without = vectors.copy()
    without[:40, 2:] = 1e9
    standardization = Standardization.fit(without, present)
    np.testing.assert_allclose(standardization.mean[2:], vectors[40:, 2:].mean(axis=0))
    np.testing.assert_allclose(standardization.mean[:2], vectors[:, :2].mean(axis=0))
    assert (standardization.apply(without, present)[:40, 2:] == 0.0).all()


def test_what_varies_by_rounding_alone_is_constant(vectors: np.ndarray) -> None:
    vectors[:, 5] += np.random.default_rng(4).uniform(-1e-7, 1e-7, N)
    present = np.ones(vectors.shape, dtype=bool)
    standardization = Standardization.fit(vectors, present)
    assert (standardization.apply(vectors, present)[:, 5] == 0.0).all()


def test_a_solution_that_has_not_converged_is_warned_of(
    vectors: np.ndarray, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emo_fairseq.training.linear_probe._MAX_ITERATIONS", 1)
    with caplog.at_level(logging.WARNING):
        solve_labels(vectors, labels(vectors, 3), 3, STRENGTH)
    assert "not converged in 1 iterations at strength 0.01" in caplog.text
