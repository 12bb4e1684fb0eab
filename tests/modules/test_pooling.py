"""Pooling over the frames that are not padding."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from emo_fairseq.modules.pooling import (
    POOLING_WEIGHTS,
    POOLINGS,
    Pooling,
    masked_mean,
    masked_softmax,
)

LENGTHS = (5, 1, 3)
C = 4
every_pooling = pytest.mark.parametrize("kind", POOLINGS)


def slow(pooling: nn.Module, kind: str, frames: Tensor) -> Tensor:
    """One utterance without padding, (T, C), in plain loops."""
    columns = range(frames.size(1))
    means = [sum(float(f[c]) for f in frames) / len(frames) for c in columns]
    if kind == "first":
        return frames[0]
    if kind == "mean":
        return torch.tensor(means, dtype=frames.dtype)
    squares = [[(float(f[c]) - means[c]) ** 2 for f in frames] for c in columns]
    statistics = means + [math.sqrt(sum(column) / len(frames)) for column in squares]
    if kind == "mean_std":
        return torch.tensor(statistics, dtype=frames.dtype)
    widen, _, narrow = pooling.scorer
    context = statistics if kind == "channel_statistics" else []
    scores = [
        narrow.weight
        @ torch.tanh(widen.weight @ frames.new_tensor([*frame, *context]) + widen.bias)
        for frame in frames.tolist()
    ]  # of a channel, or of all
    averages, deviations = [], []
    for c in columns:
        exponentials = [math.exp(score[c if len(score) > 1 else 0]) for score in scores]
        weights = [x / sum(exponentials) for x in exponentials]
        average = sum(w * float(f[c]) for w, f in zip(weights, frames, strict=True))
        squared = [w * (float(f[c]) - average) ** 2 for w, f in zip(weights, frames, strict=True)]
        averages.append(average)
        deviations.append(math.sqrt(sum(squared)))
    values = averages if kind == "attention" else averages + deviations
    return torch.tensor(values, dtype=frames.dtype)


WEIGHTED = ("attention", "attentive_statistics", "channel_statistics")
WITH_DEVIATIONS = ("mean_std", "attentive_statistics", "channel_statistics")


def build(kind: str) -> Pooling:
    return POOLINGS[kind](C).double()


@every_pooling
@torch.no_grad()
def test_pooling_equals_loops(kind: str, random_mask: Callable[..., Tensor]) -> None:
    pooling = build(kind)
    features = torch.randn(3, 5, C, dtype=torch.float64)
    pooled = pooling(features, random_mask(LENGTHS))
    assert pooled.shape == (3, pooling.output_dim)
    for row, length in enumerate(LENGTHS):
        expected = slow(pooling, kind, features[row, :length])
        torch.testing.assert_close(pooled[row], expected, atol=1e-12, rtol=0)


@every_pooling
def test_padding_has_no_influence_and_no_gradient(
    kind: str, random_mask: Callable[..., Tensor]
) -> None:
    pooling = build(kind)
    mask = random_mask(LENGTHS)
    features = torch.randn(3, 5, C, dtype=torch.float64, requires_grad=True)
    pooled = pooling(features, mask)
    for content in (1e4 * torch.randn_like(features), torch.full_like(features, math.nan)):
        noisy = torch.where(mask[..., None], content, features)
        assert torch.equal(pooling(noisy, mask), pooled)
    wider = nn.functional.pad(features, (0, 0, 0, 3), value=7.0)
    torch.testing.assert_close(pooling(wider, random_mask(LENGTHS, 8)), pooled, atol=1e-12, rtol=0)
    pooled.square().sum().backward()
    assert features.grad is not None
    assert features.grad[mask].eq(0).all()
    assert features.grad[~mask].ne(0).any()


@every_pooling
def test_a_row_of_nothing_but_padding_is_finite_and_has_no_gradient(kind: str) -> None:
    pooling = build(kind)
    features = torch.randn(2, 3, C, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True] * 3, [False] * 3])
    attention: dict[str, Tensor] = {}
    pooled = pooling(features, mask, attention)
    assert pooled.isfinite().all()
    pooled.square().sum().backward()
    for gradient in (features.grad, *(p.grad for p in pooling.parameters())):
        assert gradient is not None
        assert gradient.isfinite().all()
    assert features.grad is not None
    assert features.grad[0].eq(0).all()
    for weights in attention.values():
        assert weights[0].eq(0).all()


@pytest.mark.parametrize("kind", ["attentive_statistics", "channel_statistics"])
def test_equal_weights_are_those_of_mean_std(kind: str, random_mask: Callable[..., Tensor]) -> None:
    pooling = build(kind)
    nn.init.zeros_(pooling.scorer[-1].weight)
    features, mask = torch.randn(3, 5, C, dtype=torch.float64), random_mask(LENGTHS)
    torch.testing.assert_close(pooling(features, mask), build("mean_std")(features, mask))


@every_pooling
def test_gradients_are_right(kind: str, random_mask: Callable[..., Tensor]) -> None:
    pooling = build(kind)
    features = torch.randn(2, 3, C, dtype=torch.float64, requires_grad=True)
    mask = random_mask((3, 2))
    assert torch.autograd.gradcheck(lambda x: pooling(x, mask), (features,))


@every_pooling
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_type_is_kept(
    kind: str, dtype: torch.dtype, random_mask: Callable[..., Tensor]
) -> None:
    features = torch.randn(3, 5, C, dtype=torch.float64)
    mask = random_mask(LENGTHS)
    torch.manual_seed(1)
    pooling = POOLINGS[kind](C).to(dtype)
    pooled = pooling(features.to(dtype), mask)
    assert pooled.dtype == dtype
    expected = pooling.double()(features.to(dtype).double(), mask)
    torch.testing.assert_close(pooled.double(), expected, atol=2e-2, rtol=1e-2)


@every_pooling
def test_autocast(kind: str, random_mask: Callable[..., Tensor]) -> None:
    pooling, features, mask = POOLINGS[kind](C), torch.randn(3, 5, C), random_mask(LENGTHS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = pooling(features, mask)
    torch.testing.assert_close(pooled.float(), pooling(features, mask), atol=3e-2, rtol=0)


def test_halves_do_not_overflow() -> None:
    """A sum of 1,000 frames of 500 is beyond float16, and so is the square of 500."""
    features = torch.full((1, 1000, 2), 500.0, dtype=torch.float16)
    features[0, ::2] = -500
    mask = torch.zeros(1, 1000, dtype=torch.bool)
    assert POOLINGS["mean_std"](2)(features, mask).tolist() == [[0.0, 0.0, 500.0, 500.0]]
    assert masked_mean(features.abs(), mask).tolist() == [[500.0, 500.0]]


@pytest.mark.parametrize("kind", WITH_DEVIATIONS)
@pytest.mark.parametrize("frames", [[[0.1, 7.3]], [[0.1, 7.3]] * 3], ids=["one", "equal"])
def test_frames_that_do_not_vary_have_deviation_and_gradient_zero(
    frames: Sequence[Sequence[float]], kind: str
) -> None:
    features = torch.tensor([frames], requires_grad=True)
    pooled = POOLINGS[kind](2)(features, torch.zeros(1, len(frames), dtype=torch.bool))
    torch.testing.assert_close(pooled, torch.tensor([[0.1, 7.3, 0.0, 0.0]]))
    pooled[:, 2:].sum().backward()
    assert features.grad is not None
    assert features.grad.eq(0).all()


@pytest.mark.parametrize("kind", WEIGHTED)
def test_attention_weights_are_told(kind: str, random_mask: Callable[..., Tensor]) -> None:
    pooling = POOLINGS[kind](C)
    features, mask = torch.randn(3, 5, C), random_mask(LENGTHS)
    attention: dict[str, Tensor] = {}
    assert torch.equal(pooling(features, mask, attention), pooling(features, mask))
    weights = attention[POOLING_WEIGHTS]
    assert not weights.requires_grad
    assert weights[mask].eq(0).all()
    assert weights[~mask].gt(0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))
    if kind != "channel_statistics":  # whose weights are those of a channel
        means = (weights[..., None] * features).sum(dim=1)
        torch.testing.assert_close(means, pooling(features, mask)[:, :C])


def test_others_have_no_weights_to_tell(random_mask: Callable[..., Tensor]) -> None:
    for kind in set(POOLINGS) - set(WEIGHTED):
        attention: dict[str, Tensor] = {}
        POOLINGS[kind](C)(torch.randn(3, 5, C), random_mask(LENGTHS), attention)
        assert not attention


def test_masked_mean_of_nothing_is_zero() -> None:
    features = torch.randn(2, 3, 4, requires_grad=True)
    mask = torch.tensor([[True] * 3, [False] * 3])
    pooled = masked_mean(features, mask)
    pooled.sum().backward()
    assert pooled[0].eq(0).all()
    assert features.grad is not None
    torch.testing.assert_close(features.grad[1], torch.full((3, 4), 1 / 3))


def test_masked_softmax_of_nothing_is_zero() -> None:
    scores = torch.tensor([[0.0, 1.0, 9.0], [1.0, 2.0, 3.0]], requires_grad=True)
    weights = masked_softmax(scores, torch.tensor([[False, False, True], [True] * 3]), dim=1)
    part = 1 / (1 + math.e)
    torch.testing.assert_close(weights, torch.tensor([[part, 1 - part, 0.0], [0.0, 0.0, 0.0]]))
    weights[:, 1].sum().backward()
    assert scores.grad is not None
    torch.testing.assert_close(
        scores.grad, torch.tensor([[-part * (1 - part), part * (1 - part), 0.0], [0.0] * 3])
    )


@pytest.mark.parametrize("kind", WITH_DEVIATIONS)
@torch.no_grad()
def test_statistics_are_not_rounded_under_autocast(
    kind: str, random_mask: Callable[..., Tensor]
) -> None:
    pooling = POOLINGS[kind](C)
    if kind != "mean_std":
        nn.init.zeros_(pooling.scorer[-1].weight)  # whose scores autocast rounds
    features, mask = 100 + torch.randn(3, 5, C), random_mask(LENGTHS)
    expected = pooling(features, mask)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(pooling(features, mask), expected)
