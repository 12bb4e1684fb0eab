"""Losses on classes against slow references, their identities and their degenerate cases."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from emo_fairseq.losses import (
    CLASS_WEIGHTINGS,
    binary_pairs,
    class_weights_from_counts,
    class_weights_from_difficulty,
    cross_entropy,
    focal,
)

N_ROWS, N_CLASSES = 12, 4
Loss = Callable[..., Tensor]
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 0.0], dtype=torch.float64)
NAN = math.nan

CLASS_LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "weighted": partial(cross_entropy, class_weights=WEIGHTS),
    "smoothed": partial(cross_entropy, class_weights=WEIGHTS, label_smoothing=0.2),
    "focal": partial(focal, gamma=2.0, class_weights=WEIGHTS),
    "focal_below_1": partial(focal, gamma=0.5),
    "pairs": binary_pairs,
    "pairs_smoothed": partial(binary_pairs, row_loss=partial(cross_entropy, label_smoothing=0.1)),
    "pairs_focal": partial(binary_pairs, row_loss=partial(focal, gamma=2.0)),
}
every_class_loss = pytest.mark.parametrize("loss", CLASS_LOSSES.values(), ids=CLASS_LOSSES)


def random_logits(columns: int = N_CLASSES, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3.0 * torch.randn(N_ROWS, columns, generator=generator, dtype=torch.float64)
    return logits, torch.arange(N_ROWS) % N_CLASSES


def columns_of(name: str) -> int:
    return 2 * N_CLASSES if name.startswith("pairs") else N_CLASSES


def probabilities(row: list[float]) -> list[float]:
    exponentials = [math.exp(logit) for logit in row]
    return [exponential / sum(exponentials) for exponential in exponentials]


def reference_cross_entropy(
    logits: Tensor, target: Tensor, weights: list[float], smoothing: float
) -> list[float]:
    losses = []
    for row, true in zip(logits.tolist(), target.tolist(), strict=True):
        loss = 0.0
        for k, p in enumerate(probabilities(row)):
            share = smoothing / len(row) + (1.0 - smoothing if k == true else 0.0)
            loss += share * weights[k] * -math.log(p)
        losses.append(loss)
    return losses


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_is_the_formula_and_torch(weights: Tensor | None, smoothing: float) -> None:
    logits, target = random_logits()
    loss = cross_entropy(logits, target, weights, smoothing)
    listed = [1.0] * N_CLASSES if weights is None else weights.tolist()
    assert loss.tolist() == pytest.approx(
        reference_cross_entropy(logits, target, listed, smoothing), abs=1e-12
    )
    of_torch = F.cross_entropy(logits, target, weights, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(loss, of_torch)


def test_cross_entropy_by_hand() -> None:
    probability = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    loss = cross_entropy(probability.log(), torch.tensor([1]))
    assert loss.item() == pytest.approx(-math.log(0.2))


def test_cross_entropy_of_a_class_masked_out_by_minus_infinity() -> None:
    logits = torch.tensor([[0.0, 0.0, -math.inf]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([0]))
    loss.sum().backward()
    assert loss.item() == pytest.approx(math.log(2.0))
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_is_the_formula(gamma: float) -> None:
    logits, target = random_logits()
    expected = []
    for row, true in zip(logits.tolist(), target.tolist(), strict=True):
        p = probabilities(row)[true]
        expected.append(WEIGHTS[true].item() * (1.0 - p) ** gamma * -math.log(p))
    assert focal(logits, target, gamma, WEIGHTS).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_focal_without_gamma_is_cross_entropy(weights: Tensor | None) -> None:
    logits, target = random_logits()
    torch.testing.assert_close(
        focal(logits, target, 0.0, weights), cross_entropy(logits, target, weights)
    )


def test_focal_has_the_right_sign() -> None:
    """Positive, falling as the true class gains, and below cross entropy."""
    logits = torch.zeros(50, 2)
    logits[:, 0] = torch.linspace(-5.0, 5.0, 50)
    target = torch.zeros(50, dtype=torch.long)
    loss = focal(logits, target, gamma=2.0)
    assert (loss > 0).all()
    assert (loss.diff() < 0).all()
    assert (loss < cross_entropy(logits, target)).all()


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_focal_gradient_is_finite_where_a_probability_rounds_to_1_or_0(
    gamma: float, dtype: torch.dtype
) -> None:
    logits = torch.tensor([[1e4, 0.0], [0.0, 1e4], [40.0, 0.0]], dtype=dtype, requires_grad=True)
    loss = focal(logits, torch.tensor([0, 0, 0]), gamma)
    loss.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert loss[0] == 0.0
    assert logits.grad[0].abs().max() == 0.0
    assert loss[1].item() == pytest.approx(1e4)
    assert logits.grad[1].tolist() == [-1.0, 1.0]


def test_binary_pairs_is_the_formula() -> None:
    logits, target = random_logits(columns_of("pairs"))
    expected = []
    for row, true in zip(logits.tolist(), target.tolist(), strict=True):
        loss = 0.0
        for k in range(N_CLASSES):
            no, yes = probabilities(row[2 * k : 2 * k + 2])
            loss -= math.log(yes if k == true else no)
        expected.append(loss)
    assert binary_pairs(logits, target).tolist() == pytest.approx(expected, abs=1e-12)


def test_binary_pairs_is_logistic_loss_on_the_log_odds() -> None:
    logits, target = random_logits(columns_of("pairs"))
    log_odds = logits[:, 1::2] - logits[:, ::2]  # (B, K)
    answers = F.one_hot(target, N_CLASSES).double()
    expected = F.binary_cross_entropy_with_logits(log_odds, answers, reduction="none").sum(dim=1)
    torch.testing.assert_close(binary_pairs(logits, target), expected)


def test_binary_pairs_takes_another_row_loss() -> None:
    logits, target = random_logits(columns_of("pairs"))
    same = binary_pairs(logits, target, partial(focal, gamma=0.0))
    torch.testing.assert_close(same, binary_pairs(logits, target))
    weights = torch.tensor([1.0, 3.0])
    weighted = binary_pairs(logits, target, partial(cross_entropy, class_weights=weights))
    yes_part = binary_pairs(logits, target, partial(cross_entropy, class_weights=weights - 1.0))
    torch.testing.assert_close(weighted, binary_pairs(logits, target) + yes_part)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_class_loss_of_a_batch_is_that_of_its_parts_in_any_order(name: str) -> None:
    loss = CLASS_LOSSES[name]
    logits, target = random_logits(columns_of(name))
    whole = loss(logits, target)
    assert whole.shape == (N_ROWS,)
    for cut in (0, 1, 5):
        parts = [loss(logits[:cut], target[:cut]), loss(logits[cut:], target[cut:])]
        torch.testing.assert_close(torch.cat(parts), whole)
    order = torch.randperm(N_ROWS, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(loss(logits[order], target[order]), whole[order])


def test_class_losses_do_not_depend_on_the_order_of_the_classes() -> None:
    logits, target = random_logits()
    order = torch.tensor([2, 0, 3, 1])  # new class j is old class order[j]
    renamed = order.argsort()[target]
    for loss in (cross_entropy, focal):
        kwargs = {"gamma": 1.5} if loss is focal else {"label_smoothing": 0.1}
        torch.testing.assert_close(
            loss(logits[:, order], renamed, class_weights=WEIGHTS[order], **kwargs),
            loss(logits, target, class_weights=WEIGHTS, **kwargs),
        )


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_class_loss_gradients(name: str) -> None:
    logits, target = random_logits(columns_of(name))
    logits = logits[:N_CLASSES].requires_grad_()  # one row a class
    target = target[:N_CLASSES]
    assert torch.autograd.gradcheck(lambda x: CLASS_LOSSES[name](x, target), logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_class_loss_of_half_precision_is_that_of_its_float32(name: str, dtype: torch.dtype) -> None:
    logits, target = random_logits(columns_of(name))
    half = (1000.0 * logits).to(dtype).requires_grad_()  # exp() of these overflows float16
    loss = CLASS_LOSSES[name](half, target)
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    torch.testing.assert_close(loss, CLASS_LOSSES[name](half.detach().float(), target))
    assert half.grad is not None
    assert half.grad.isfinite().all()


@pytest.mark.parametrize("name", CLASS_LOSSES)
@pytest.mark.parametrize("wrong", [-100, -1, N_CLASSES])
def test_class_loss_refuses_a_target_out_of_range(name: str, wrong: int) -> None:
    logits, target = random_logits(columns_of(name))
    target[3] = wrong
    with pytest.raises(RuntimeError):
        CLASS_LOSSES[name](logits, target)


@every_class_loss
def test_class_loss_refuses_shapes_that_do_not_fit(loss: Loss) -> None:
    with pytest.raises(ValueError, match=r"expected logits \(B"):
        loss(torch.zeros(3, 4), torch.zeros(3, 1, dtype=torch.long))
    with pytest.raises(ValueError, match=r"expected logits \(B"):
        loss(torch.zeros(4), torch.zeros(4, dtype=torch.long))


def test_class_losses_refuse_parameters_without_meaning() -> None:
    logits, target = random_logits()
    with pytest.raises(ValueError, match=r"smoothing 1\.5"):
        cross_entropy(logits, target, label_smoothing=1.5)
    with pytest.raises(ValueError, match="gamma -2"):
        focal(logits, target, gamma=-2.0)
    with pytest.raises(ValueError, match="class weights"):
        cross_entropy(logits, target, class_weights=torch.ones(3))
    with pytest.raises(ValueError, match="pair"):
        binary_pairs(logits[:, :3], target)


@pytest.mark.parametrize("scheme", CLASS_WEIGHTINGS)
@settings(max_examples=50, deadline=None, derandomize=True)
@given(counts=st.lists(st.integers(0, 5000), min_size=1, max_size=8).filter(any))
def test_class_weights_have_mean_1_over_the_classes_present(scheme: str, counts: list[int]) -> None:
    weights = class_weights_from_counts(torch.tensor(counts), scheme)
    present = torch.tensor(counts) > 0
    assert weights.dtype == torch.float32
    assert weights.isfinite().all()
    assert weights[present].mean().item() == pytest.approx(1.0, rel=1e-6)
    assert (weights[~present] == (1.0 if scheme == "none" else 0.0)).all()


def test_class_weights_by_hand() -> None:
    counts = torch.tensor([1, 2, 0, 4])
    inverse = class_weights_from_counts(counts, "inverse_frequency")
    assert inverse.tolist() == pytest.approx([12 / 7, 6 / 7, 0.0, 3 / 7])
    effective = class_weights_from_counts(counts, "effective_number", beta=0.5)
    raw = [0.5 / 0.5, 0.5 / 0.75, 0.5 / 0.9375]  # (1 - beta) / (1 - beta^n)
    expected = [3 * weight / sum(raw) for weight in raw]
    assert effective[[0, 1, 3]].tolist() == pytest.approx(expected)
    assert class_weights_from_counts(counts, "none").tolist() == [1.0] * 4


def test_effective_number_runs_from_equal_weights_to_inverse_frequency() -> None:
    counts = torch.tensor([3, 50, 0, 700])
    weights = partial(class_weights_from_counts, counts, "effective_number")
    assert weights(beta=0.0).tolist() == [1.0, 1.0, 0.0, 1.0]
    inverse = class_weights_from_counts(counts, "inverse_frequency")
    torch.testing.assert_close(weights(beta=1 - 1e-9), inverse, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("counts", "scheme", "beta", "message"),
    [
        ([1.0, 2.0], "inverse", 0.9, "unknown class weighting 'inverse'; choose one of none"),
        ([1.0, 2.0], "effective_number", 1.0, "beta 1.0"),
        ([0.0, 0.0], "inverse_frequency", 0.9, "not all 0"),
        ([1.0, -2.0], "inverse_frequency", 0.9, "0 or more"),
        ([1.0, NAN], "none", 0.9, "0 or more"),
        ([1.0, math.inf], "none", 0.9, "0 or more"),
    ],
)
def test_class_weights_refuse(counts: list[float], scheme: str, beta: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_weights_from_counts(torch.tensor(counts), scheme, beta)


def test_difficulty_weights_by_hand() -> None:
    """N = 8, three classes present; the NaN reads as (0.2 + 0.6) / 2."""
    counts = torch.tensor([1, 3, 0, 4])
    weights = class_weights_from_difficulty(counts, torch.tensor([0.2, 0.6, 9.0, NAN]))
    raw = [8 / 1 / 3 + 0.75 * 0.2, 8 / 3 / 3 + 0.75 * 0.6, 8 / 4 / 3 + 0.75 * 0.4]
    expected = [3 * weight / sum(raw) for weight in raw]
    assert weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx([expected[0], expected[1], 0.0, expected[2]])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5000), st.one_of(st.just(NAN), st.floats(0.0, 2.0))),
        min_size=1,
        max_size=8,
    ).filter(lambda rows: any(n > 0 and not math.isnan(d) for n, d in rows))
)
def test_difficulty_weights_are_the_formula(rows: list[tuple[int, float]]) -> None:
    """Against a loop over the classes; they sum to the number of classes present."""
    present = [(n, d) for n, d in rows if n > 0]
    known = [d for _, d in present if not math.isnan(d)]
    raw = []
    for n, difficulty in rows:
        frequency = n / sum(count for count, _ in rows)
        filled = sum(known) / len(known) if math.isnan(difficulty) else difficulty
        raw.append(1.0 / frequency / len(present) + 0.75 * filled if n > 0 else 0.0)
    expected = [len(present) * weight / sum(raw) for weight in raw]
    counts, difficulties = zip(*rows, strict=True)
    weights = class_weights_from_difficulty(torch.tensor(counts), torch.tensor(difficulties))
    assert weights.tolist() == pytest.approx(expected, rel=1e-5)
    assert weights.sum().item() == pytest.approx(len(present), rel=1e-6)


def test_difficulty_weights_without_difficulty_are_inverse_frequency() -> None:
    counts = torch.tensor([3, 50, 0, 700])
    torch.testing.assert_close(
        class_weights_from_difficulty(counts, torch.zeros(4)),
        class_weights_from_counts(counts, "inverse_frequency"),
    )


def test_difficulty_weights_of_balanced_classes_order_them_by_difficulty() -> None:
    weights = class_weights_from_difficulty(torch.full((3,), 20), torch.tensor([0.0, 0.4, 0.8]))
    assert weights.tolist() == pytest.approx([1.0 / 1.3, 1.0, 1.6 / 1.3])


def test_a_class_without_utterances_changes_no_difficulty_weight() -> None:
    counts, difficulty = torch.tensor([5, 0, 20]), torch.tensor([0.3, NAN, 0.1])
    weights = class_weights_from_difficulty(counts, difficulty)
    without = class_weights_from_difficulty(counts[[0, 2]], difficulty[[0, 2]])
    assert weights.tolist() == [without[0].item(), 0.0, without[1].item()]


@pytest.mark.parametrize(
    ("counts", "difficulty", "message"),
    [
        ([1.0, 2.0], [0.1, -0.5], r"0 or more and not all NaN, got \[.*-0\.5"),
        ([1.0, 2.0], [0.1, math.inf], "inf"),
        ([1.0, 0.0], [NAN, 0.3], r"not all NaN, got \[nan\]"),
        ([0.0, 0.0], [0.1, 0.1], "class counts must be"),
        ([1.0, -2.0], [0.1, 0.1], "class counts must be"),
        ([1.0, 2.0], [0.1], r"one shape \(K,\), got \(2,\) and \(1,\)"),
    ],
)
def test_difficulty_weights_refuse(
    counts: list[float], difficulty: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        class_weights_from_difficulty(torch.tensor(counts), torch.tensor(difficulty))
