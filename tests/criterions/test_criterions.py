"""What all criterions share: sums over utterances, which targets they serve, what they log."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from codes import raises
from criterion_cases import (
    LABELS,
    class_batch,
    classification,
    logged,
    regression,
    run,
    task_of,
    value_batch,
)

from emo_fairseq.criterions.registered import (
    EmotionClassificationConfig,
    EmotionClassificationCriterion,
    EmotionPredictionCriterion,
    EmotionRegressionConfig,
    EmotionRegressionCriterion,
)
from emo_fairseq.targets import TARGETS

ADDITIVE = {
    "cross_entropy": (classification, class_batch, {}),
    "weighted": (classification, class_batch, {"class_weighting": "inverse_frequency"}),
    "focal": (classification, class_batch, {"focal_gamma": 2.0}),
    "smoothed": (classification, class_batch, {"label_smoothing": 0.1}),
    "mse": (regression, value_batch, {}),
    "mixture": (regression, value_batch, {"regression_loss": "0.5*mse+2*l1"}),
}


@pytest.mark.parametrize("name", ADDITIVE)
def test_the_loss_of_a_batch_is_the_sum_over_its_parts(name: str) -> None:
    build, make_batch, options = ADDITIVE[name]
    criterion = build(**options)
    logits, target = make_batch()
    loss, sample_size, _ = run(criterion, logits, target)
    parts = [run(criterion, logits[part], target[part]) for part in ([0], [1, 2, 3], range(4, 10))]
    torch.testing.assert_close(loss, torch.stack([part[0] for part in parts]).sum())
    assert float(sample_size) == pytest.approx(sum(float(part[1]) for part in parts))


@pytest.mark.parametrize(("build", "target"), [(classification, "vad"), (regression, "emotion")])
def test_a_target_of_another_kind_is_refused(build: Callable[..., Any], target: str) -> None:
    with raises("criterion-unfit"):
        build(target)


@pytest.mark.parametrize(
    ("target", "criterion", "loss"),
    [
        ("emotion", EmotionClassificationCriterion, None),
        ("sentiment", EmotionClassificationCriterion, None),
        ("binary_emotion", EmotionClassificationCriterion, None),
        ("sentiment_score", EmotionRegressionCriterion, "l1"),
        ("vad", EmotionRegressionCriterion, "mse"),
    ],
)
def test_the_seeds_criterion_picks_by_target(target: str, criterion: type, loss: Any) -> None:
    picked: Any = EmotionPredictionCriterion.build_criterion(None, task_of(target))
    assert type(picked) is criterion
    if loss is not None:
        assert picked.primary.mixture == {loss: 1.0}


def test_every_target_has_a_criterion() -> None:
    for name in TARGETS:
        EmotionPredictionCriterion.build_criterion(None, task_of(name))


def test_the_logged_loss_is_the_mean_over_all_utterances_and_not_over_batches() -> None:
    logits, target = class_batch()
    criterion = classification()
    outputs = [run(criterion, logits[p], target[p])[2] for p in (slice(0, 1), slice(1, 10))]
    expected = float(F.cross_entropy(logits, target))
    assert logged(criterion, outputs) == pytest.approx(expected, abs=1e-4)


def test_outputs_can_be_summed_unless_they_hold_predictions() -> None:
    """fairseq's fast reduction sums every entry over ranks; predictions would not survive it."""
    assert classification().logging_outputs_can_be_summed()
    _, _, output = run(classification(), *class_batch())
    assert "predictions" not in output
    for value in output.values():
        assert torch.is_tensor(value) or isinstance(value, int)


def test_the_loss_that_is_logged_holds_no_graph() -> None:
    logits, target = class_batch()
    loss, _, output = run(classification(), logits.requires_grad_(), target)
    assert loss.requires_grad
    assert not any(torch.is_tensor(value) and value.requires_grad for value in output.values())


def test_half_precision_is_computed_in_full() -> None:
    logits, target = class_batch()
    loss, _, _ = run(classification(), logits.half(), target)
    assert loss.dtype == torch.float32
    expected = F.cross_entropy(logits.half().float(), target, reduction="sum")
    torch.testing.assert_close(loss, expected)


def test_prediction_rows_of_labels() -> None:
    criterion = EmotionClassificationCriterion(
        EmotionClassificationConfig(), task_of("emotion", save_predictions="p.tsv")
    ).eval()
    logits, target = (
        torch.tensor([[0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]),
        torch.tensor([1, 0]),
    )
    first, second = run(criterion, logits, target)[2]["predictions"]
    assert list(first) == [
        "id",
        "split",
        "truth",
        "prediction",
        *(f"probability_{k}" for k in LABELS),
    ]
    assert [first[k] for k in ("id", "split", "truth", "prediction")] == [
        "utt0",
        "test",
        "sad",
        "sad",
    ]
    assert [second[k] for k in ("id", "truth", "prediction")] == ["utt1", "neutral", "happy"]
    probabilities = [first[f"probability_{k}"] for k in LABELS]
    assert probabilities == pytest.approx(logits[0].softmax(dim=0).tolist())


def test_prediction_rows_of_yes_no_questions() -> None:
    criterion = EmotionClassificationCriterion(
        EmotionClassificationConfig(), task_of("binary_emotion", save_predictions="p.tsv")
    ).eval()
    logits = torch.tensor([[0.0, -1.0, 0.0, 2.0, 0.0, 1.0, 5.0, 1.0]])
    (row,) = run(criterion, logits, torch.tensor([2]))[2]["predictions"]
    assert (row["truth"], row["prediction"]) == ("angry", "sad")
    expected = torch.sigmoid(torch.tensor([-1.0, 2.0, 1.0, -4.0])).tolist()
    assert [row[f"probability_{k}"] for k in LABELS] == pytest.approx(expected)


def test_prediction_rows_of_numbers() -> None:
    criterion = EmotionRegressionCriterion(
        EmotionRegressionConfig(), task_of("vad", save_predictions="p.tsv")
    ).eval()
    truth = torch.tensor([[0.5, math.nan, 0.25]])
    (row,) = run(criterion, torch.tensor([[0.1, 0.2, 0.3]]), truth)[2]["predictions"]
    assert row["truth_valence"] == 0.5
    assert math.isnan(row["truth_arousal"])
    assert row["prediction_dominance"] == pytest.approx(0.3)


def test_no_rows_while_training() -> None:
    criterion = EmotionClassificationCriterion(
        EmotionClassificationConfig(), task_of("emotion", save_predictions="p.tsv")
    ).train()
    assert "predictions" not in run(criterion, *class_batch())[2]
