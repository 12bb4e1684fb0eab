"""Fusions of pooled vectors, against loops in float64, and what is particular to each."""

import copy
import itertools
import math
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from emo_fairseq.modules.fusion import (
    AdaptiveFusion,
    ConcatFusion,
    Fusion,
    GatedFusion,
    LowRankFusion,
    SubspaceFusion,
    TensorFusion,
)
from emo_fairseq.modules.pooling import MeanPooling

WIDTHS = {"text": 3, "speech": 4, "video": 2}
D, R = 5, 3
SETS = [("text",), ("text", "speech"), ("text", "speech", "video")]
every_set = pytest.mark.parametrize("modalities", SETS, ids=len)

Vectors = Mapping[str, Tensor]


def poolers(modalities: Sequence[str]) -> dict[str, MeanPooling]:
    return {name: MeanPooling(WIDTHS[name]) for name in modalities}


def learned(fusion: Fusion) -> Fusion:
    for parameter in fusion.parameters():  # nothing is 0 or 1 in particular
        parameter.data.normal_()
    return fusion.double().eval()


def patterns(modalities: Sequence[str]) -> tuple[Vectors, list[Sequence[bool]]]:
    """A row for each set of modalities that may be there, none included."""
    there = list(itertools.product([True, False], repeat=len(modalities)))
    vectors = {
        name: torch.randn(len(there), WIDTHS[name], dtype=torch.float64) for name in modalities
    }
    return vectors, there


def encode(vectors: Vectors, there: Sequence[Sequence[bool]]) -> dict[str, tuple[Tensor, Tensor]]:
    """Sequences of one frame."""
    return {
        name: (vector[:, None], ~torch.tensor([[row[m]] for row in there]))
        for m, (name, vector) in enumerate(vectors.items())
    }


def softmax(scores: Sequence[float]) -> list[float]:
    total = sum(math.exp(score) for score in scores)
    return [math.exp(score) / total for score in scores]


def candidate(fusion: nn.Module, name: str, vector: Tensor) -> Tensor:
    linear = fusion.get_submodule(f"candidates.project.{name}.0")
    return torch.tanh(linear.weight @ vector + linear.bias)


# -- concat ----------------------------------------------------------------------------------------


@every_set
@torch.no_grad()
def test_concat_equals_loops(modalities: Sequence[str]) -> None:
    fusion = learned(ConcatFusion(poolers(modalities)))
    vectors, there = patterns(modalities)
    fused = fusion(encode(vectors, there))
    for row, present in enumerate(there):
        parts = [
            vectors[name][row] if is_there else fusion.get_parameter(f"missing.{name}")
            for name, is_there in zip(modalities, present, strict=True)
        ]
        assert torch.equal(fused[row], torch.cat(parts))


def test_the_learned_vector_stands_for_what_is_missing() -> None:
    fusion = learned(ConcatFusion(poolers(("text", "speech"))))
    vectors, _ = patterns(("text", "speech"))
    fusion(encode(vectors, [(True, False)] * 4))[:, WIDTHS["text"] :].sum().backward()
    gradient = fusion.get_parameter("missing.speech").grad
    assert gradient is not None
    assert gradient.eq(4).all()


# -- gated -----------------------------------------------------------------------------------------


@every_set
@torch.no_grad()
def test_gated_equals_loops(modalities: Sequence[str]) -> None:
    fusion = learned(GatedFusion(poolers(modalities), D, dropout=0.1))
    vectors, there = patterns(modalities)
    fused = fusion(encode(vectors, there))
    gate = fusion.get_submodule("gate")
    for row, present in enumerate(there):
        known = [
            v[row] if p else 0 * v[row] for v, p in zip(vectors.values(), present, strict=True)
        ]
        scores = gate.weight @ torch.cat(known) + gate.bias
        expected = torch.zeros(D, dtype=torch.float64)
        here = [m for m, is_there in enumerate(present) if is_there]
        for d in range(D):
            gates = softmax([float(scores[m * D + d]) for m in here])
            for m, weight in zip(here, gates, strict=True):
                expected[d] += weight * candidate(fusion, modalities[m], known[m])[d]
        torch.testing.assert_close(fused[row], expected, atol=1e-12, rtol=0)


@torch.no_grad()
def test_gated_with_two_is_the_bimodal_unit_of_the_paper() -> None:
    """z * tanh(W x) + (1 - z) * tanh(V y), z a sigmoid of [x, y]."""
    fusion = learned(GatedFusion(poolers(("text", "speech")), D, dropout=0.1))
    vectors, _ = patterns(("text", "speech"))
    gate = fusion.get_submodule("gate")
    x, y = vectors["text"][0], vectors["speech"][0]
    scores = gate.weight @ torch.cat([x, y]) + gate.bias
    z = torch.sigmoid(scores[:D] - scores[D:])
    expected = z * candidate(fusion, "text", x) + (1 - z) * candidate(fusion, "speech", y)
    fused = fusion(encode(vectors, [(True, True)] * 4))[0]
    torch.testing.assert_close(fused, expected, atol=1e-12, rtol=0)


# -- adaptive --------------------------------------------------------------------------------------


@every_set
@torch.no_grad()
def test_adaptive_equals_loops(modalities: Sequence[str]) -> None:
    fusion = learned(AdaptiveFusion(poolers(modalities), D, dropout=0.1))
    vectors, there = patterns(modalities)
    fused = fusion(encode(vectors, there))
    for row, present in enumerate(there):
        expected, heard, scores = torch.zeros(D, dtype=torch.float64), [], []
        for name, is_there in zip(modalities, present, strict=True):
            if not is_there:
                expected += fusion.get_parameter(f"missing.{name}")
                continue
            heard.append(candidate(fusion, name, vectors[name][row]))
            score = fusion.get_submodule(f"score.{name}")
            scores.append(float(score.weight[0] @ heard[-1] + score.bias))
        for weight, vector in zip(softmax(scores), heard, strict=True):
            expected += weight * vector
        torch.testing.assert_close(fused[row], expected, atol=1e-12, rtol=0)


# -- low rank --------------------------------------------------------------------------------------


@every_set
@torch.no_grad()
def test_low_rank_is_the_full_tensor_over_the_outer_product(modalities: Sequence[str]) -> None:
    fusion = learned(LowRankFusion(poolers(modalities), D, R, dropout=0.1))
    vectors, there = patterns(modalities)
    fused = fusion(encode(vectors, there))
    weights = fusion.get_parameter("rank_weights")
    factors = [fusion.get_parameter(f"factors.{name}") for name in modalities]
    full = torch.zeros(*(WIDTHS[name] + 1 for name in modalities), D, dtype=torch.float64)
    for d in range(D):
        for r in range(R):
            term = weights[r]
            for factor in factors:
                term = term[..., None] * factor[r, :, d]  # one dimension more
            full[..., d] += term
    one = torch.ones(1, dtype=torch.float64)
    for row, present in enumerate(there):
        outer = one[0]
        for name, is_there in zip(modalities, present, strict=True):
            normed = fusion.get_submodule(f"norm.{name}")(vectors[name][row])
            outer = outer[..., None] * torch.cat([normed if is_there else 0 * normed, one])
        expected = (outer[..., None] * full).flatten(end_dim=-2).sum(dim=0)
        expected = expected + fusion.get_parameter("bias")
        torch.testing.assert_close(fused[row], expected, atol=1e-11, rtol=1e-11)


@torch.no_grad()
def test_at_the_start_a_missing_modality_leaves_the_others_as_they_are() -> None:
    fusion = LowRankFusion(poolers(("text", "speech", "video")), D, R, dropout=0.1).double().eval()
    vectors, there = patterns(("text", "speech", "video"))
    fused = fusion(encode(vectors, there))
    for row, present in enumerate(there):
        product = torch.ones(R, D, dtype=torch.float64)
        for name, is_there in zip(vectors, present, strict=True):
            if is_there:
                normed = fusion.get_submodule(f"norm.{name}")(vectors[name][row])
                factor = fusion.get_parameter(f"factors.{name}")
                product = product * (1 + torch.einsum("c,rcd->rd", normed, factor[:, :-1]))
        expected = (product - 1).sum(dim=0) / math.sqrt(R)
        torch.testing.assert_close(fused[row], expected, atol=1e-6, rtol=0)


@every_set
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
@pytest.mark.parametrize(("width", "fusion_dim"), [(384, 128), (768, 64)])
@torch.no_grad()
def test_low_rank_neither_vanishes_nor_explodes(
    modalities: Sequence[str], scale: float, width: int, fusion_dim: int
) -> None:
    parts = {name: MeanPooling(width) for name in modalities}
    fusion = LowRankFusion(parts, fusion_dim, rank=4, dropout=0.0).eval()
    mask = torch.zeros(200, 1, dtype=torch.bool)
    fused = fusion({name: (scale * torch.randn(200, 1, width), mask) for name in modalities})
    assert float(fused.mean()) == pytest.approx(0, abs=0.1)
    assert float(fused.std()) == pytest.approx(1, abs=0.1)


# -- all of them -----------------------------------------------------------------------------------


class LoudPooling(MeanPooling):
    """A pooling may say anything of a row that is all padding."""

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        pooled = super().forward(features, padding_mask)
        return pooled + 100.0 * padding_mask.all(dim=1, keepdim=True)


every_fusion = pytest.mark.parametrize(
    "fusion",
    [
        ConcatFusion(poolers(WIDTHS)),
        GatedFusion(poolers(WIDTHS), D, dropout=0.0),
        AdaptiveFusion(poolers(WIDTHS), D, dropout=0.0),
        LowRankFusion(poolers(WIDTHS), D, R, dropout=0.0),
    ],
    ids=lambda fusion: type(fusion).__name__,
)


@every_fusion
@torch.no_grad()
def test_what_pooling_says_of_a_missing_modality_is_not_heard(fusion: Fusion) -> None:
    fusion = learned(fusion)
    encoded = encode(*patterns(tuple(WIDTHS)))
    fused = fusion(encoded)
    loud = copy.deepcopy(fusion)
    for module in loud.modules():
        if isinstance(module, MeanPooling):
            module.__class__ = LoudPooling
    assert torch.equal(loud(encoded), fused)


@every_fusion
def test_gradients_are_right(fusion: Fusion) -> None:
    fusion = learned(fusion)
    _, there = patterns(tuple(WIDTHS))
    there = there[:4]

    def fuse(*vectors: Tensor) -> Tensor:
        return fusion(encode(dict(zip(WIDTHS, vectors, strict=True)), there))

    inputs = [
        torch.randn(len(there), width, dtype=torch.float64, requires_grad=True)
        for width in WIDTHS.values()
    ]
    assert torch.autograd.gradcheck(fuse, inputs)


# -- tensor ----------------------------------------------------------------------------------------


@every_set
@torch.no_grad()
def test_tensor_sums_over_every_product(modalities: Sequence[str]) -> None:
    width = 3
    fusion = learned(TensorFusion(poolers(modalities), width, D, dropout=0.1))
    vectors, there = patterns(modalities)
    fused = fusion(encode(vectors, there))
    output = fusion.get_submodule("output")
    weights = output.weight.reshape(D, *([width + 1] * len(modalities)))
    for row, present in enumerate(there):
        factors = [
            [*candidate(fusion, name, vectors[name][row]), 1.0] if is_there else [0.0] * width + [1]
            for name, is_there in zip(modalities, present, strict=True)
        ]
        expected = output.bias.clone()
        for place in itertools.product(range(width + 1), repeat=len(modalities)):
            product = math.prod(float(factor[p]) for factor, p in zip(factors, place, strict=True))
            expected += weights[(slice(None), *place)] * product
        torch.testing.assert_close(fused[row], expected, atol=1e-11, rtol=1e-11)


@torch.no_grad()
def test_low_rank_maps_the_products_that_tensor_weighs() -> None:
    """A tensor of rank R, given to the full fusion, makes it the low-rank one of its factors."""
    names = ("text", "speech")
    fusion = learned(TensorFusion(poolers(names), 3, D, dropout=0.1))
    factors = [torch.randn(R, 4, D, dtype=torch.float64) for _ in names]
    output = fusion.get_submodule("output")
    output.weight.copy_(torch.einsum("rpd,rqd->dpq", *factors).flatten(1))
    vectors, there = patterns(names)
    fused = fusion(encode(vectors, there))
    for row, present in enumerate(there):
        rows = [
            torch.cat([candidate(fusion, n, vectors[n][row]) * p, torch.ones(1).double()])
            for n, p in zip(names, present, strict=True)
        ]
        projections = [torch.einsum("p,rpd->rd", x, f) for x, f in zip(rows, factors, strict=True)]
        expected = (projections[0] * projections[1]).sum(dim=0) + output.bias
        torch.testing.assert_close(fused[row], expected, atol=1e-11, rtol=1e-11)


# -- subspaces -------------------------------------------------------------------------------------


def attended(layer: nn.Module, vectors: Sequence[Tensor], number: int, n_heads: int) -> Tensor:
    """One of the vectors after a pre-norm layer of attention to all of them."""
    attention = layer.get_submodule("attention")
    query, keys = (layer.get_submodule(f"{name}_norm") for name in ("query", "key"))
    width = len(vectors[0]) // n_heads
    heads = []
    q, k, v = (attention.get_submodule(f"{name}_proj") for name in "qkv")
    for head in range(n_heads):
        part = slice(head * width, (head + 1) * width)
        asked = q(query(vectors[number]))[part]
        scores = [float(asked @ k(keys(x))[part]) / math.sqrt(width) for x in vectors]
        weights = softmax(scores)
        heads.append(sum(w * v(keys(x))[part] for w, x in zip(weights, vectors, strict=True)))
    x = vectors[number] + attention.get_submodule("out_proj")(torch.cat(heads))
    result: Tensor = x + layer.get_submodule("feed_forward")(x)
    return result


@every_set
@torch.no_grad()
def test_subspaces_equal_loops(modalities: Sequence[str]) -> None:
    width = 4
    fusion = learned(SubspaceFusion(poolers(modalities), width, 2, 0.1, 0.1))
    vectors, there = patterns(modalities)
    fused, parts = fusion.forward_with_parts(encode(vectors, there))
    layer = fusion.get_submodule("layer")
    for row, present in enumerate(there):
        here, of_modality = [], {}
        for number, (name, is_there) in enumerate(zip(modalities, present, strict=True)):
            assert bool(parts["absent"][row, number]) != is_there
            if not is_there:
                continue
            projected = candidate(fusion, name, vectors[name][row])
            shared = fusion.get_submodule("shared")(projected).sigmoid()
            private = fusion.get_submodule(f"private.{name}")(projected).sigmoid()
            of_modality[name] = len(here)
            here += [private, shared]
            reconstructed = fusion.get_submodule(f"reconstruct.{name}")(shared + private)
            expected_parts = {
                "shared": shared,
                "private": private,
                "projected": projected,
                "reconstructed": reconstructed,
            }
            for part, value in expected_parts.items():
                torch.testing.assert_close(parts[part][row, number], value, atol=1e-12, rtol=0)
        outputs = []
        for name in modalities:
            if name not in of_modality:
                outputs.append(fusion.get_parameter(f"missing.{name}"))
                continue
            first = of_modality[name]
            outputs += [attended(layer, here, n, n_heads=2) for n in (first, first + 1)]
        # fairseq's softmax is float32 whatever comes in
        torch.testing.assert_close(fused[row], torch.cat(outputs), atol=2e-6, rtol=1e-6)
