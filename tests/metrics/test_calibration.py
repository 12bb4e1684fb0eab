"""Calibration by hand, and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss

from emo_fairseq.evaluation.statistics import LabelPredictions
from emo_fairseq.metrics import calibration
from emo_fairseq.metrics.calibration import Confidence


def labels(probability: list[list[float]], truth: list[int]) -> LabelPredictions:
    scores = np.array(probability)
    names = ("a", "b", "c")[: scores.shape[1]]
    ids = tuple(str(number) for number in range(len(truth)))
    return LabelPredictions(ids, names, np.array(truth), scores.argmax(axis=1), scores)


def confidences_of(system: LabelPredictions) -> Confidence:
    assert system.probability is not None
    return calibration.confidences(
        system.truth, system.prediction, system.probability, system.per_label
    )


def test_the_error_by_hand() -> None:
    # Confidences .91 .93 | .55 | .60 in the bins (.867, .933], (.533, .6], of which .6 is the end.
    system = labels([[0.91, 0.09], [0.07, 0.93], [0.55, 0.45], [0.6, 0.4]], [0, 0, 0, 1])
    bins = calibration.bin_rows(confidences_of(system)).sum(axis=0)
    assert np.flatnonzero(bins[:, 0]).tolist() == [8, 13]
    assert bins[8].tolist() == pytest.approx([2.0, 1.15, 1.0])
    assert bins[13].tolist() == pytest.approx([2.0, 1.84, 1.0])
    expected = (abs(1.0 - 1.15) + abs(1.0 - 1.84)) / 4
    assert calibration.calibration_error(bins) == pytest.approx(expected)


def test_bins_are_closed_on_the_right_and_hold_the_ends() -> None:
    edges = [0.0, 1 / 15, 1 / 15 + 1e-9, 0.2, 1.0]
    confidence = torch.tensor(edges, dtype=torch.float64)[:, None]
    rows = calibration.bin_rows(Confidence(confidence, torch.ones_like(confidence)))
    assert rows[:, :, 0].argmax(dim=1).tolist() == [0, 0, 1, 2, 14]


def test_a_certain_and_right_system_has_no_error() -> None:
    figures = labels([[1.0, 0.0], [0.0, 1.0]], [0, 1]).statistics().metrics()
    assert [figures[name] for name in ("ece", "brier", "nll")] == [0.0, 0.0, 0.0]


def test_brier_and_log_loss_are_those_of_scikit_learn() -> None:
    draw = torch.Generator().manual_seed(0)
    scores = torch.rand(50, 3, generator=draw, dtype=torch.float64).softmax(dim=1)
    truth = torch.randint(3, (50,), generator=draw)
    figures = labels(scores.tolist(), truth.tolist()).statistics().metrics()
    assert figures["nll"] == pytest.approx(log_loss(truth, scores, labels=[0, 1, 2]))
    expected = brier_score_loss(truth, scores, labels=[0, 1, 2], scale_by_half=False)
    assert figures["brier"] == pytest.approx(expected)


def test_yes_no_answers_are_of_one_by_one() -> None:
    system = labels([[0.9, 0.3, 0.2], [0.4, 0.8, 0.1]], [0, 1])
    assert system.per_label
    of = confidences_of(system)
    assert of.confidence.shape == (2, 3)
    assert of.outcome.tolist() == [[1, 0, 0], [0, 1, 0]]
    squares = [0.01 + 0.09 + 0.04, 0.16 + 0.04 + 0.01]
    assert system.statistics().metrics()["brier"] == pytest.approx(sum(squares) / 6)


def test_a_truth_of_no_probability_has_no_finite_loss() -> None:
    figures = labels([[1.0, 0.0]], [1]).statistics().metrics()
    assert figures["nll"] != figures["nll"]
    assert figures["brier"] == 2.0
