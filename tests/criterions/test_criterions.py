"""The criterions: what is summed, what it is divided by, and which options are refused."""

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fairseq.logging import metrics as fairseq_metrics
from torch import Tensor

from emo_fairseq.criterions.emotion_classification import (
    EmotionClassificationConfig,
    EmotionClassificationCriterion,
)
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.emotion_prediction_cri import EmotionPredictionCriterion
from emo_fairseq.criterions.emotion_regression import (
    EmotionRegressionConfig,
    EmotionRegressionCriterion,
    parse_mixture,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.models.roberta_emo import EmotionOutput
from emo_fairseq.targets import TARGETS

LABELS = ["neutral", "sad", "angry", "happy"]
COUNTS = [40, 10, 5, 20]
N_ROWS = 10


def task_of(target: str, save_predictions: str | None = None) -> Any:
    chosen = TARGETS[target]
    labels = LABELS if chosen.has_labels else list(chosen.columns)
    return SimpleNamespace(
        target=chosen,
        labels=labels,
        class_counts=COUNTS,
        n_outputs=chosen.n_outputs(len(labels)),
        target_dictionary=None,
        cfg=SimpleNamespace(save_predictions=save_predictions),
    )


def classification(target: str = "emotion", **options: Any) -> EmotionCriterion:
    return EmotionClassificationCriterion(EmotionClassificationConfig(**options), task_of(target))


def regression(target: str = "vad", **options: Any) -> EmotionCriterion:
    return EmotionRegressionCriterion(EmotionRegressionConfig(**options), task_of(target))


def sample_of(target: Tensor) -> dict[str, Any]:
    return {
        "net_input": {},
        "target": target,
        "nsentences": len(target),
        "ntokens": len(target),
        "utterance_id": [f"utt{row}" for row in range(len(target))],
        "split": "test",
    }


def run(criterion: EmotionCriterion, logits: Tensor, target: Tensor) -> Any:
    """What the trainer calls: loss, sample size and logging output of a model's logits."""
    return criterion(lambda: EmotionOutput(logits, logits), sample_of(target))


def class_batch(columns: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2.0 * torch.randn(N_ROWS, columns, generator=generator)
    return logits, torch.randint(0, 4, (N_ROWS,), generator=generator)


def value_batch(columns: int = 3, missing: bool = True) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(N_ROWS, columns, generator=generator)
    truth = torch.rand(N_ROWS, columns, generator=generator)
    if missing:
        truth[2, 0] = truth[4, :] = math.nan
    return values, truth


def logged(criterion: EmotionCriterion, outputs: Sequence[dict[str, Any]]) -> float:
    with fairseq_metrics.aggregate(new_root=True) as figures:
        type(criterion).reduce_metrics(outputs)
    return figures.get_smoothed_values()["loss"]


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


# -- classification --------------------------------------------------------------------------------


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
    expected = torch.nn.CrossEntropyLoss(weights)(logits, target) / math.log(2)
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
    with pytest.raises(UsageError, match="--focal-gamma and --label-smoothing cannot be combined"):
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
    message = r"an option of the loss is out of range: |--class-weighting effective_number: beta"
    with pytest.raises(UsageError, match=message):
        classification(**options)


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
    with pytest.raises(UsageError, match="--class-weighting weighs labels against each other"):
        classification("binary_emotion", class_weighting="inverse_frequency")


def test_the_logged_loss_is_in_bits() -> None:
    logits, target = torch.zeros(6, 4), torch.arange(6) % 4
    _, _, output = run(classification(), logits, target)
    assert logged(classification(), [output]) == pytest.approx(2.0)  # one of four: two bits


# -- regression ------------------------------------------------------------------------------------


def test_squared_and_absolute_error() -> None:
    values, truth = value_batch(missing=False)
    for name, reference in (("mse", F.mse_loss), ("l1", F.l1_loss)):
        loss, sample_size, _ = run(regression(regression_loss=name), values, truth)
        torch.testing.assert_close(loss / sample_size, reference(values, truth))


def test_the_ccc_loss_is_what_one_minus_ccc_is() -> None:
    values, truth = value_batch(missing=False)
    loss, sample_size, _ = run(regression(regression_loss="ccc"), values, truth)
    x, y = values.double(), truth.double()
    covariance = ((x - x.mean(0)) * (y - y.mean(0))).mean(0)
    spread = x.var(0, correction=0) + y.var(0, correction=0) + (x.mean(0) - y.mean(0)) ** 2
    expected = (1 - 2 * covariance / spread).mean()
    torch.testing.assert_close((loss / sample_size).double(), expected, atol=1e-6, rtol=0)


def test_a_mixture_is_the_weighted_sum() -> None:
    values, truth = value_batch()
    mixed, _, _ = run(regression(regression_loss="0.25*mse + 0.75*ccc"), values, truth)
    alone = [run(regression(regression_loss=n), values, truth)[0] for n in ("mse", "ccc")]
    torch.testing.assert_close(mixed, 0.25 * alone[0] + 0.75 * alone[1])


def test_axes_are_weighted() -> None:
    values, truth = value_batch(missing=False)
    loss, sample_size, _ = run(regression(axis_weights=[1.0, 0.0, 3.0]), values, truth)
    per_axis = (values - truth).square().mean(dim=0)
    torch.testing.assert_close(loss / sample_size, (per_axis[0] + 3 * per_axis[2]) / 4)


@pytest.mark.parametrize("name", ["mse", "l1", "ccc", "mse+l1+ccc"])
def test_a_missing_axis_adds_nothing_and_pulls_nothing(name: str) -> None:
    values, truth = value_batch()
    values.requires_grad_()
    loss, sample_size, _ = run(regression(regression_loss=name), values, truth)
    loss.backward()
    assert sample_size == N_ROWS
    assert loss.isfinite()
    assert values.grad is not None
    missing = truth.isnan()
    assert values.grad[missing].eq(0).all()
    assert values.grad[~missing].ne(0).any()


def test_a_batch_without_any_truth_has_loss_0() -> None:
    values = torch.rand(3, 3, requires_grad=True)
    loss, _, output = run(
        regression(regression_loss="mse+ccc"), values, torch.full((3, 3), math.nan)
    )
    loss.backward()
    assert loss == 0
    assert output["_moments"].eq(0).all()


@pytest.mark.parametrize(
    ("text", "mixture"),
    [
        ("mse", {"mse": 1.0}),
        ("0.5*mse+0.5*ccc", {"mse": 0.5, "ccc": 0.5}),
        (" 2 * l1 + ccc ", {"l1": 2.0, "ccc": 1.0}),
        ("1e-2*ccc", {"ccc": 0.01}),
    ],
)
def test_mixtures_are_parsed(text: str, mixture: dict[str, float]) -> None:
    assert parse_mixture(text) == mixture


@pytest.mark.parametrize(
    "text",
    ["", "mae", "mse+mse", "0*mse", "-1*mse", "x*mse", "mse*0.5", "mse+", "nan*mse", "inf*ccc"],
)
def test_mixtures_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--regression-loss"):
        regression(regression_loss=text)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "--axis-weights has 1 numbers, but --target vad has the axes valence, arousal"),
        ([1.0, -1.0, 1.0], "out of range: axis weights must be 0 or more"),
        ([0.0, 0.0, 0.0], "out of range: axis weights must be 0 or more"),
    ],
)
def test_axis_weights_that_do_not_fit_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        regression(axis_weights=weights)


def test_the_logged_loss_is_not_divided_for_numbers() -> None:
    values, truth = torch.zeros(5, 3), torch.full((5, 3), 2.0)
    _, _, output = run(regression(), values, truth)
    assert logged(regression(), [output]) == pytest.approx(4.0)


# -- which serves what -----------------------------------------------------------------------------


@pytest.mark.parametrize(("build", "target"), [(classification, "vad"), (regression, "emotion")])
def test_a_target_of_another_kind_is_refused(build: Callable[..., Any], target: str) -> None:
    with pytest.raises(UsageError, match=f"--target {target} is .*emotion_prediction_cri picks"):
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
        assert picked.mixture == {loss: 1.0}


def test_every_target_has_a_criterion() -> None:
    for name in TARGETS:
        EmotionPredictionCriterion.build_criterion(None, task_of(name))


# -- the logging output ----------------------------------------------------------------------------


def test_the_logged_loss_is_the_mean_over_all_utterances_and_not_over_batches() -> None:
    logits, target = class_batch()
    criterion = classification()
    outputs = [run(criterion, logits[p], target[p])[2] for p in (slice(0, 1), slice(1, 10))]
    expected = float(F.cross_entropy(logits, target)) / math.log(2)
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
