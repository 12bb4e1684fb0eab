"""The contrastive loss against a double loop over anchors and positives, and its weightings."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from emo_fairseq.losses import WEIGHTINGS, contrastive_weights, supervised_contrastive

NAN = math.nan
ALPHA, BETA, THRESHOLD = 1.3, 0.8, 0.9
N_ROWS, N_BATCH, DIM = 16, 11, 5  # the last 5 rows are a queue

# What the table says of one difficulty: the weight of an anchor, that of a positive.
REFERENCE: dict[str, Callable[[float], tuple[float, float]]] = {
    "supervised": lambda d: (1.0, 1.0),
    "v1": lambda d: (math.exp(-ALPHA * d), 1.0),
    "v2": lambda d: (math.exp(-BETA * d), math.exp(-BETA * d)),
    "v2_original": lambda d: (1.0, math.exp(-BETA * d)),
    "v3": lambda d: (1.0 if d < THRESHOLD else 0.1, 1.0),
}
every_weighting = pytest.mark.parametrize("weighting", REFERENCE)


class Scene(NamedTuple):
    embeddings: Tensor  # (16, 5)
    labels: Tensor  # (16,)
    difficulty: Tensor  # (16,)


def scene(dtype: torch.dtype = torch.float64) -> Scene:
    """Lone anchors, unknown classes, unknown difficulties, and rows that are no anchors."""
    generator = torch.Generator().manual_seed(0)
    embeddings = 3.0 * torch.randn(N_ROWS, DIM, generator=generator, dtype=torch.float64)
    # Class 7 occurs once, class 5 only beside the queue, class 4 only in the queue.
    labels = torch.tensor([0, 1, -1, 0, 7, 1, 0, 5, -1, 1, 0, 4, 5, -1, 0, 4])
    difficulty = 2.0 * torch.rand(N_ROWS, generator=generator, dtype=torch.float64)
    difficulty[[2, 3, 5, 12]] = NAN
    return Scene(embeddings.to(dtype), labels, difficulty)


def reference(
    embeddings: Tensor,
    labels: Tensor,
    temperature: float = 0.07,
    anchor_weights: list[float] | None = None,
    pair_weights: list[float] | None = None,
    anchors: range | None = None,
) -> Tensor:
    """The formula, term by term; NaN in a weight is the mean of the others that it is read with."""
    ids = labels.tolist()
    rows = [i for i, label in enumerate(ids) if label >= 0]
    positives = {i: [p for p in rows if p != i and ids[p] == ids[i]] for i in rows}
    used = [i for i in rows if positives[i] and (anchors is None or i in anchors)]
    u = filled(anchor_weights or [1.0] * len(ids), used)
    w = filled(pair_weights or [1.0] * len(ids), sorted({p for i in used for p in positives[i]}))
    z = [embedding / embedding.norm() for embedding in embeddings]
    numerator = embeddings.new_zeros(())
    for i in used:
        others = torch.stack([torch.exp(z[i] @ z[a] / temperature) for a in rows if a != i])
        terms = [w[p] * (others.sum().log() - z[i] @ z[p] / temperature) for p in positives[i]]
        numerator = numerator + u[i] * sum(terms) / sum(w[p] for p in positives[i])
    return numerator / sum(u[i] for i in used)


def filled(weights: list[float], used: list[int]) -> list[float]:
    measured = [weights[i] for i in used if not math.isnan(weights[i])]
    mean = sum(measured) / len(measured) if measured else 1.0
    return [mean if math.isnan(weight) else weight for weight in weights]


def weights_of(weighting: str, difficulty: Tensor) -> tuple[Tensor | None, Tensor | None]:
    return contrastive_weights(weighting, difficulty, ALPHA, BETA, THRESHOLD)


def reference_weights(weighting: str, difficulty: Tensor) -> tuple[list[float], list[float]]:
    pairs = [(NAN, NAN) if math.isnan(d) else REFERENCE[weighting](d) for d in difficulty.tolist()]
    return [anchor for anchor, _ in pairs], [pair for _, pair in pairs]


def with_gradient(loss: Callable[[Tensor], Tensor], embeddings: Tensor) -> tuple[Tensor, Tensor]:
    leaf = embeddings.detach().clone().requires_grad_()
    value = loss(leaf)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


@every_weighting
@pytest.mark.parametrize("anchors", [None, range(N_BATCH)], ids=["all anchors", "queue"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_loss_and_gradient_are_the_double_loop(
    weighting: str, anchors: range | None, dtype: torch.dtype
) -> None:
    embeddings, labels, difficulty = scene()
    expected, expected_gradient = with_gradient(
        lambda x: reference(
            x, labels, 0.07, *reference_weights(weighting, difficulty), anchors=anchors
        ),
        embeddings,
    )
    rows = None if anchors is None else slice(anchors.start, anchors.stop)
    loss, gradient = with_gradient(
        lambda x: (
            supervised_contrastive(
                x, labels, 0.07, *weights_of(weighting, difficulty), anchors=rows
            ).loss
        ),
        embeddings.to(dtype),
    )
    assert loss.dtype == gradient.dtype == dtype
    torch.testing.assert_close(loss, expected.to(dtype))
    torch.testing.assert_close(gradient, expected_gradient.to(dtype), atol=1e-6, rtol=1e-5)


def test_weights_are_those_of_the_table() -> None:
    difficulty = torch.tensor([0.0, THRESHOLD, 1.5, NAN], dtype=torch.float64)
    for weighting in REFERENCE:
        found = weights_of(weighting, difficulty)
        for weights, expected in zip(found, reference_weights(weighting, difficulty), strict=True):
            if weights is None:
                assert expected[:3] == [1.0, 1.0, 1.0]
            else:
                assert weights[:3].tolist() == pytest.approx(expected[:3])
                assert weights[3].isnan()


def test_weightings_differ() -> None:
    embeddings, labels, difficulty = scene()
    losses = [
        supervised_contrastive(embeddings, labels, 0.07, *weights_of(name, difficulty)).loss.item()
        for name in WEIGHTINGS
    ]
    assert list(WEIGHTINGS) == list(REFERENCE)
    assert len({round(loss, 4) for loss in losses}) == len(WEIGHTINGS)


def test_loss_by_hand() -> None:
    # Cosines 1 between the first two, 0 and 1 with the third; the fourth is lone, and a negative.
    embeddings = torch.tensor([[2.0, 0.0], [0.5, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    labels = torch.tensor([3, 3, 3, 8])
    near = math.log(math.e + 1.0 + math.exp(-1.0))  # of the first and of the second anchor
    far = math.log(3.0)  # of the third: every cosine is 0
    found = supervised_contrastive(embeddings, labels, 1.0)
    assert (found.n_anchors, found.n_lone) == (4, 1)
    assert found.loss.item() == pytest.approx((2 * (near - 0.5) + far) / 3)
    anchor_weights = torch.tensor([1.0, 0.0, 3.0, 5.0])
    pair_weights = torch.tensor([1.0, 3.0, 1.0, 9.0])
    weighted = supervised_contrastive(embeddings, labels, 1.0, anchor_weights, pair_weights)
    assert weighted.loss.item() == pytest.approx(((near - 0.75) + 3 * far) / 4)
    assert (weighted.n_anchors, weighted.n_lone) == (4, 1)


def test_counts_are_of_anchors_of_known_class() -> None:
    embeddings, labels, _ = scene()
    found = supervised_contrastive(embeddings, labels)
    assert (found.n_anchors, found.n_lone) == (13, 1)
    for own in (None, slice(3, 5)):
        found = supervised_contrastive(embeddings, labels, anchors=slice(0, N_BATCH), own=own)
        assert (found.n_anchors, found.n_lone) == (9, 1)


@every_weighting
@pytest.mark.parametrize("cuts", [(0, 4, 8, N_BATCH), (0, 0, 2, 5, N_BATCH)])
def test_parts_of_several_ranks_add_up_to_the_whole(weighting: str, cuts: tuple[int, ...]) -> None:
    embeddings, labels, difficulty = scene()
    anchors = slice(0, N_BATCH)
    weights = weights_of(weighting, difficulty)

    def part(own: slice | None) -> tuple[Tensor, Tensor]:
        return with_gradient(
            lambda x: (
                supervised_contrastive(x, labels, 0.07, *weights, anchors=anchors, own=own).loss
            ),
            embeddings,
        )

    whole, whole_gradient = part(None)
    parts = [part(slice(*bounds)) for bounds in pairwise(cuts)]
    torch.testing.assert_close(sum(loss for loss, _ in parts), whole)
    torch.testing.assert_close(sum(gradient for _, gradient in parts), whole_gradient)
    assert all(loss < whole for loss, _ in parts)


def test_rows_are_slices_masks_or_indices() -> None:
    embeddings, labels, _ = scene()
    mask = torch.arange(N_ROWS) < N_BATCH
    losses = {
        supervised_contrastive(embeddings, labels, anchors=anchors, own=own).loss.item()
        for anchors in (slice(0, N_BATCH), mask, mask.nonzero().squeeze(1))
        for own in (slice(3, 10), torch.arange(3, 10))
    }
    assert len(losses) == 1


@pytest.mark.parametrize(
    ("weighting", "settings"),
    [
        ("v1", {"alpha": 0.0}),
        ("v2", {"beta": 0.0}),
        ("v2_original", {"beta": 0.0}),
        ("v3", {"threshold": math.inf}),
    ],
)
def test_weightings_without_effect_are_supervised(
    weighting: str, settings: dict[str, float]
) -> None:
    embeddings, labels, difficulty = scene()
    supervised = with_gradient(lambda x: supervised_contrastive(x, labels).loss, embeddings)
    given = {"alpha": ALPHA, "beta": BETA, "threshold": THRESHOLD, **settings}
    weights = contrastive_weights(weighting, difficulty, **given)
    same = with_gradient(
        lambda x: supervised_contrastive(x, labels, 0.07, *weights).loss, embeddings
    )
    torch.testing.assert_close(same, supervised, atol=1e-12, rtol=0.0)


def test_unknown_weight_is_the_mean_of_the_anchors_that_have_a_positive() -> None:
    embeddings = torch.randn(7, DIM, generator=torch.Generator().manual_seed(4))
    labels = torch.tensor([0, 0, 0, 1, -1, 1, 0])  # the last two are no anchors
    weights = torch.tensor([NAN, 1.0, 4.0, 7.0, 100.0, 100.0, 100.0])
    anchors = slice(0, 5)
    missing = supervised_contrastive(embeddings, labels, 0.07, weights, anchors=anchors).loss
    weights[0] = 4.0
    known = supervised_contrastive(embeddings, labels, 0.07, weights, anchors=anchors).loss
    assert missing.item() == pytest.approx(known.item())
    weights[0] = 4.5
    other = supervised_contrastive(embeddings, labels, 0.07, weights, anchors=anchors).loss
    assert missing.item() != pytest.approx(other.item())


def test_all_difficulties_unknown_is_supervised() -> None:
    embeddings, labels, _ = scene()
    unknown = torch.full((N_ROWS,), NAN)
    weighted = supervised_contrastive(embeddings, labels, 0.07, unknown, unknown)
    torch.testing.assert_close(weighted.loss, supervised_contrastive(embeddings, labels).loss)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_loss_is_that_of_pytorch_metric_learning(temperature: float, dtype: torch.dtype) -> None:
    library = pytest.importorskip("pytorch_metric_learning.losses")
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.randn(40, 24, generator=generator, dtype=dtype)
    labels = torch.arange(40) % 4  # nobody lone
    peer = library.SupConLoss(temperature)
    ours = with_gradient(lambda x: supervised_contrastive(x, labels, temperature).loss, embeddings)
    theirs = with_gradient(lambda x: peer(x, labels), embeddings)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


@every_weighting
@pytest.mark.parametrize("block", [3, None])
def test_contrastive_gradients(weighting: str, block: int | None) -> None:
    embeddings, labels, difficulty = scene()
    weights = weights_of(weighting, difficulty)

    def loss(x: Tensor) -> Tensor:
        return supervised_contrastive(
            x, labels, 0.3, *weights, anchors=slice(0, N_BATCH), own=slice(1, 10), block=block
        ).loss

    assert torch.autograd.gradcheck(loss, embeddings.requires_grad_())


@pytest.mark.parametrize("block", [1, 2, 3, 7, 15, 1000])
@pytest.mark.parametrize("anchors", [None, slice(0, N_BATCH)], ids=["all anchors", "queue"])
def test_loss_does_not_depend_on_the_block(block: int, anchors: slice | None) -> None:
    embeddings, labels, difficulty = scene()
    weights = weights_of("v2", difficulty)

    def of_block(rows: int | None) -> tuple[Tensor, Tensor]:
        return with_gradient(
            lambda x: (
                supervised_contrastive(x, labels, 0.07, *weights, anchors=anchors, block=rows).loss
            ),
            embeddings,
        )

    torch.testing.assert_close(of_block(block), of_block(None))


class Recorder(TorchDispatchMode):
    """What is computed under it: names of operations, and the elements of the largest result."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.names.add(func.__name__)
        made = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self.largest = max([self.largest, *made])
        return out


def test_no_matrix_of_all_pairs_is_made() -> None:
    n_rows, dim, block = 512, 2, 8
    embeddings, labels = torch.randn(n_rows, dim, requires_grad=True), torch.arange(n_rows) % 3
    with Recorder() as recorder:
        supervised_contrastive(embeddings, labels, block=block).loss.backward()
    assert recorder.largest == 3 * block * n_rows  # the three buffers are one tensor


def test_gradient_is_not_computed_where_none_is_wanted() -> None:
    embeddings, labels, difficulty = scene(torch.float32)
    weights = [weight for weight in weights_of("v2", difficulty) if weight is not None]
    with Recorder() as recorder:
        wanted = supervised_contrastive(embeddings.requires_grad_(), labels, 0.07, *weights).loss
    assert wanted.requires_grad
    assert "addmm_.default" in recorder.names
    for frozen, wants in ((embeddings, False), (embeddings.detach(), True)):
        with Recorder() as recorder, torch.set_grad_enabled(wants):
            learned = [weight.clone().requires_grad_() for weight in weights]
            without = supervised_contrastive(frozen, labels, 0.07, *learned).loss
        assert not without.requires_grad
        assert without.item() == wanted.item()
        assert "addmm_.default" not in recorder.names


def test_loss_ignores_the_order_of_rows() -> None:
    embeddings, labels, difficulty = scene()
    anchor_weights, pair_weights = weights_of("v2", difficulty)
    assert anchor_weights is not None
    assert pair_weights is not None
    order = torch.randperm(N_ROWS, generator=torch.Generator().manual_seed(2))

    def loss(x: Tensor, rows: Tensor) -> Tensor:
        return supervised_contrastive(
            x, labels[rows], 0.07, anchor_weights[rows], pair_weights[rows]
        ).loss

    whole, gradient = with_gradient(lambda x: loss(x, torch.arange(N_ROWS)), embeddings)
    moved, moved_gradient = with_gradient(lambda x: loss(x, order), embeddings[order])
    torch.testing.assert_close(moved, whole)
    torch.testing.assert_close(moved_gradient, gradient[order])


def test_loss_ignores_the_length_of_embeddings() -> None:
    embeddings, labels, _ = scene()
    lengths = torch.logspace(-9, 9, N_ROWS, dtype=torch.float64).unsqueeze(1)
    loss, gradient = with_gradient(lambda x: supervised_contrastive(x, labels).loss, embeddings)
    other, other_gradient = with_gradient(
        lambda x: supervised_contrastive(x, labels).loss, embeddings * lengths
    )
    torch.testing.assert_close(other, loss)
    torch.testing.assert_close(other_gradient * lengths, gradient)
    along = (gradient * embeddings).sum(dim=1)
    torch.testing.assert_close(along, torch.zeros(N_ROWS, dtype=torch.float64))


def test_loss_ignores_the_scale_of_weights() -> None:
    embeddings, labels, difficulty = scene()
    anchor_weights, pair_weights = weights_of("v2", difficulty)
    assert anchor_weights is not None
    assert pair_weights is not None
    loss = supervised_contrastive(embeddings, labels, 0.07, anchor_weights, pair_weights).loss
    for scale in (1e-290, 1e290):
        scaled = supervised_contrastive(
            embeddings, labels, 0.07, anchor_weights * scale, pair_weights * scale
        ).loss
        torch.testing.assert_close(scaled, loss)


def test_rows_of_unknown_class_are_as_if_they_were_not_there() -> None:
    embeddings, labels, difficulty = scene()
    weights = [tensor for tensor in weights_of("v2", difficulty) if tensor is not None]
    known = labels >= 0
    garbage = embeddings.masked_fill(~known.unsqueeze(1), NAN)
    loss, gradient = with_gradient(
        lambda x: supervised_contrastive(x, labels, 0.07, *weights).loss, garbage
    )
    alone, alone_gradient = with_gradient(
        lambda x: (
            supervised_contrastive(
                x, labels[known], 0.07, *(tensor[known] for tensor in weights)
            ).loss
        ),
        embeddings[known],
    )
    torch.testing.assert_close(loss, alone)
    torch.testing.assert_close(gradient[known], alone_gradient)
    assert (gradient[~known] == 0.0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_loss_of_half_precision_is_that_of_its_float32(dtype: torch.dtype, autocast: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(60) % 5
    embeddings = (20.0 * torch.randn(60, 32, generator=generator)).to(dtype)
    scale = 2.0**16  # as under fp16 training, where the gradient without it is mostly 0
    expected, expected_gradient = with_gradient(
        lambda x: supervised_contrastive(x, labels).loss * scale, embeddings.float()
    )
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss, gradient = with_gradient(
            lambda x: supervised_contrastive(x, labels).loss * scale, embeddings
        )
    assert loss.dtype == torch.float32
    assert gradient.dtype == dtype
    torch.testing.assert_close(loss, expected, atol=0.0, rtol=1e-6)
    torch.testing.assert_close(gradient, expected_gradient.to(dtype), atol=1e-5, rtol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_loss_under_autocast_is_that_without(dtype: torch.dtype) -> None:
    embeddings, labels, _ = scene(dtype)
    loss, gradient = with_gradient(lambda x: supervised_contrastive(x, labels).loss, embeddings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        same = with_gradient(lambda x: supervised_contrastive(x, labels).loss, embeddings)
    assert same[0] == loss
    assert torch.equal(same[1], gradient)


@pytest.mark.parametrize("temperature", [0.0015, 0.005, 0.01, 0.014, 0.015, 0.1, 10.0])
def test_loss_at_any_temperature_is_finite_and_the_double_loop(temperature: float) -> None:
    embeddings, labels, _ = scene(torch.float32)
    expected, expected_gradient = with_gradient(
        lambda x: reference(x, labels, temperature), embeddings.double()
    )
    loss, gradient = with_gradient(
        lambda x: supervised_contrastive(x, labels, temperature).loss, embeddings
    )
    torch.testing.assert_close(loss, expected.float(), atol=1e-6, rtol=1e-5)
    scale = expected_gradient.abs().max().item()
    torch.testing.assert_close(gradient, expected_gradient.float(), atol=1e-5 * scale, rtol=1e-5)


LONELY: dict[str, tuple[list[int], slice | None]] = {
    # name: labels, anchors
    "one row": ([0], None),
    "no rows": ([], None),
    "every class once": ([0, 1, 2, 3], None),
    "classes unknown": ([-1, -1, -1], None),
    "one class known": ([-1, 4, -1], None),
    "positives only in the queue": ([0, 1, 2, 2], slice(0, 2)),
    "no anchors": ([0, 0, 0], slice(0, 0)),
}


@pytest.mark.parametrize(("ids", "anchors"), LONELY.values(), ids=LONELY)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_without_a_positive_is_a_zero_with_a_gradient(
    ids: list[int], anchors: slice | None, weighted: bool
) -> None:
    labels = torch.tensor(ids, dtype=torch.int64)
    embeddings = torch.randn(len(ids), DIM)
    embeddings[1:2] = NAN  # compared with nothing
    embeddings.requires_grad_()
    weights = torch.rand(len(ids)) if weighted else None
    found = supervised_contrastive(embeddings, labels, 0.07, weights, weights, anchors=anchors)
    found.loss.backward()
    assert found.loss.item() == 0.0
    assert embeddings.grad is not None
    assert (embeddings.grad == 0.0).all()
    assert found.n_lone == found.n_anchors == int((labels[anchors or slice(None)] >= 0).sum())


def test_loss_of_one_class_alone_is_not_0() -> None:
    embeddings, _, _ = scene()
    labels = torch.zeros(N_ROWS, dtype=torch.int64)
    loss = supervised_contrastive(embeddings, labels).loss
    torch.testing.assert_close(loss, reference(embeddings, labels))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_embedding_of_zeros_is_similar_to_none(dtype: torch.dtype) -> None:
    embeddings, labels, _ = scene()
    embeddings[0] = 0.0
    loss, gradient = with_gradient(
        lambda x: supervised_contrastive(x, labels, 0.5).loss, embeddings.to(dtype)
    )
    assert gradient.isfinite().all()
    assert (gradient[0] == 0.0).all()
    assert (gradient[[1, 3]] != 0.0).all()
    orthogonal = torch.cat([embeddings, torch.zeros(N_ROWS, 1)], dim=1)
    orthogonal[0, -1] = 1.0
    expected = reference(orthogonal, labels, 0.5).to(loss.dtype)
    tolerance = 1e-3 if dtype == torch.float16 else 1e-6
    torch.testing.assert_close(loss, expected, atol=tolerance, rtol=0.0)


@pytest.mark.parametrize("value", [NAN, math.inf, 1e30], ids=["nan", "inf", "length overflows"])
@pytest.mark.parametrize("row", [0, 4, 11], ids=["anchor", "lone anchor", "queue"])
def test_embedding_that_is_not_finite_shows(value: float, row: int) -> None:
    embeddings, labels, _ = scene(torch.float32)
    embeddings[row, 1] = value
    loss, gradient = with_gradient(
        lambda x: supervised_contrastive(x, labels, anchors=slice(0, N_BATCH)).loss, embeddings
    )
    assert loss.isnan()
    assert gradient[1].isnan().all()


def test_pair_weights_of_any_size_keep_their_ratios() -> None:
    embeddings, _, _ = scene()
    labels = torch.zeros(N_ROWS, dtype=torch.int64)
    labels[8:] = 1
    weights = torch.full((N_ROWS,), 1e-25, dtype=torch.float64)
    weights[0] = 1.0  # its own positives are all tiny
    weights[1] = 3e-25
    weights[8:] = torch.linspace(1e-200, 5e-200, 8, dtype=torch.float64)
    expected, expected_gradient = with_gradient(
        lambda x: reference(x, labels, pair_weights=weights.tolist()), embeddings
    )
    for dtype in (torch.float64, torch.float32):
        loss, gradient = with_gradient(
            lambda x: supervised_contrastive(x, labels, pair_weights=weights).loss,
            embeddings.to(dtype),
        )
        torch.testing.assert_close(loss, expected.to(dtype))
        torch.testing.assert_close(gradient, expected_gradient.to(dtype), atol=1e-5, rtol=1e-5)


def test_positives_that_all_weigh_nothing_weigh_the_same() -> None:
    embeddings, labels, _ = scene()
    weights = torch.ones(N_ROWS)
    weights[(labels == 0) | (labels == 4)] = 0.0
    expected = supervised_contrastive(embeddings, labels).loss
    for anchor_weights in (None, torch.zeros(N_ROWS)):
        found = supervised_contrastive(embeddings, labels, 0.07, anchor_weights, weights)
        torch.testing.assert_close(found.loss, expected)
    weights = torch.zeros(N_ROWS)
    weights[0] = 1.0  # the one positive of class 0 that counts; its own positives weigh the same
    loss, gradient = with_gradient(
        lambda x: supervised_contrastive(x, labels, pair_weights=weights).loss, embeddings.float()
    )
    tiny = weights.double().clamp_min(1e-20).tolist()
    torch.testing.assert_close(loss, reference(embeddings, labels, pair_weights=tiny).float())
    assert gradient.isfinite().all()


def test_embeddings_are_left_alone() -> None:
    embeddings, labels, _ = scene(torch.float32)
    before = embeddings.clone()
    for given in (labels, labels.clamp_min(0) % 2):  # with and without rows to set aside
        found = supervised_contrastive(embeddings.requires_grad_(), given).loss
        gradients = [torch.autograd.grad(found, embeddings, retain_graph=True)[0] for _ in range(2)]
        assert torch.equal(*gradients)
        assert torch.equal(embeddings, before)


def test_weights_get_no_gradient() -> None:
    embeddings, labels, _ = scene()
    weights = torch.rand(N_ROWS, requires_grad=True)
    supervised_contrastive(
        embeddings.requires_grad_(), labels, 0.07, weights, weights
    ).loss.backward()
    assert weights.grad is None


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "embeddings of three dimensions": ({"embeddings": torch.ones(4, 2, 2)}, "expected embeddings"),
    "too few labels": ({"labels": torch.zeros(3, dtype=torch.int64)}, "expected embeddings"),
    "labels that are real": ({"labels": torch.zeros(4)}, "integer labels"),
    "embeddings that are integers": ({"embeddings": torch.ones(4, 2).long()}, "floating type"),
    "temperature 0": ({"temperature": 0.0}, "temperature"),
    "temperature below 0": ({"temperature": -0.07}, "temperature"),
    "temperature nan": ({"temperature": NAN}, "temperature"),
    "temperature too low": ({"temperature": 1e-4}, "temperature"),
    "block of none": ({"block": 0}, "block"),
    "too few anchor weights": ({"anchor_weights": torch.ones(3)}, "anchor weights"),
    "too few pair weights": ({"pair_weights": torch.ones(1)}, "pair weights"),
    "negative anchor weight": ({"anchor_weights": -torch.ones(4)}, "anchor weights must"),
    "infinite pair weight": ({"pair_weights": torch.ones(4) / 0.0}, "pair weights must"),
    "class id": ({"labels": torch.full((4,), 2**24)}, "class id"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_compared_is_refused(wrong: dict[str, Any], message: str) -> None:
    given = {"embeddings": torch.ones(4, 2), "labels": torch.zeros(4, dtype=torch.int64)}
    with pytest.raises(ValueError, match=message):
        supervised_contrastive(**{**given, **wrong})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weighting": "v4"}, "choose one of supervised, v1, v2, v2_original, v3"),
        ({"alpha": -1.0}, "alpha"),
        ({"beta": math.inf}, "beta"),
        ({"beta": NAN}, "beta"),
        ({"threshold": NAN}, "threshold"),
        ({"difficulty": torch.tensor([-0.1])}, "difficulty"),
        ({"difficulty": torch.tensor([math.inf])}, "difficulty"),
    ],
)
def test_what_cannot_be_weighed_is_refused(wrong: dict[str, Any], message: str) -> None:
    given = {"weighting": "v1", "difficulty": torch.ones(1), "alpha": 1.0, "beta": 0.5}
    with pytest.raises(ValueError, match=message):
        contrastive_weights(**{"threshold": 1.0, **given, **wrong})
