"""Criterion `emotion_classification`: torch's cross-entropy and its weighted and focal forms."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from codes import raises
from criterion_cases import (
    COUNTS,
    N_ROWS,
    class_batch,
    classification,
    logged,
    run,
)

from emo_fairseq.errors import UsageError


def test_plain_cross_entropy() -> None:
    logits, target = class_batch()
    loss, sample_size, _ = run(classification(), logits, target)
    assert sample_size == N_ROWS
    torch.testing.assert_close(loss / sample_size, F.cross_entropy(logits, target))


def test_the_weighted_mean_is_torchs() -> None:
    logits, target = class_batch()
    criterion = classification(class_weighting="inverse_frequency")
    loss, sample_size, _ = run(criterion, logits, target)
    weights = torch.tensor([1.0 / count for count in COUNTS])
    expected = torch.nn.CrossEntropyLoss(weights)(logits, target)
    torch.testing.assert_close(loss / sample_size, expected)


def test_the_weighted_mean_over_several_batches_is_torchs() -> None:
    """Gradients are accumulated and divided by the sum of sample sizes: --update-freq, ranks."""
    logits, target = class_batch()
    criterion = classification(class_weighting="effective_number", effective_number_beta=0.9)
    outputs = [run(criterion, logits[i : i + 3], target[i : i + 3])[2] for i in (0, 3, 6, 9)]
    weights = torch.tensor([0.1 / (1 - 0.9**count) for count in COUNTS])
    expected = torch.nn.CrossEntropyLoss(weights)(logits, target)
    assert logged(criterion, outputs) == pytest.approx(float(expected), abs=1e-4)


def test_label_smoothing_is_torchs() -> None:
    logits, target = class_batch()
    loss, sample_size, _ = run(classification(label_smoothing=0.2), logits, target)
    expected = F.cross_entropy(logits, target, label_smoothing=0.2)
    torch.testing.assert_close(loss / sample_size, expected)


def test_the_focal_loss_looks_away_from_easy_utterances() -> None:
    logits, target = (
        torch.tensor([[4.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]),
        torch.tensor([0, 0]),
    )
    p = logits.softmax(dim=1)[:, 0]
    expected = (-((1 - p) ** 3) * p.log()).sum()
    loss, _, _ = run(classification(focal_gamma=3.0), logits, target)
    torch.testing.assert_close(loss, expected)
    assert loss > 0


def test_focal_and_smoothing_exclude_each_other() -> None:
    with raises("options-conflict"):
        classification(focal_gamma=2.0, label_smoothing=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {"label_smoothing": 1.5},
        {"label_smoothing": -0.1},
        {"focal_gamma": -1.0},
        {"class_weighting": "effective_number", "effective_number_beta": 1.0},
    ],
)
def test_options_out_of_range_are_refused_at_setup(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        classification(**options)
    assert error.value.code in ("option-out-of-range", "class-weights-undefined")


def test_yes_no_questions_are_summed_over_the_labels() -> None:
    logits, target = class_batch(columns=8)
    loss, sample_size, _ = run(classification("binary_emotion"), logits, target)
    expected = sum(
        F.cross_entropy(logits[:, 2 * k : 2 * k + 2], (target == k).long(), reduction="sum")
        for k in range(4)
    )
    assert sample_size == N_ROWS
    torch.testing.assert_close(loss, expected)


def test_yes_no_questions_take_no_weights_between_labels() -> None:
    with raises("class-weighting-unsupported"):
        classification("binary_emotion", class_weighting="inverse_frequency")


def test_the_logged_loss_is_in_nats() -> None:
    logits, target = torch.zeros(6, 4), torch.arange(6) % 4
    _, _, output = run(classification(), logits, target)
    assert logged(classification(), [output]) == pytest.approx(math.log(4), abs=5e-5)  # one of four
