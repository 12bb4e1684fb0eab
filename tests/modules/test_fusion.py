"""What holds for every fusion: padding, missing modalities, batches, one to three modalities."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from emo_fairseq.modules.fusion import (
    AdaptiveFusion,
    ConcatFusion,
    CrossAttentionFusion,
    CrossmodalTransformer,
    Fusion,
    GatedFusion,
    LowRankFusion,
    SubspaceFusion,
    TensorFusion,
)
from emo_fairseq.modules.pooling import POOLINGS, Pooling

WIDTHS = {"text": 6, "speech": 10, "video": 4}
KINDS = {"text": "first", "speech": "attention", "video": "mean_std"}
LENGTHS = {"text": (5, 2, 4), "speech": (3, 7, 6), "video": (1, 2, 4)}
N_ROWS = 3

Encoded = Mapping[str, tuple[Tensor, Tensor]]
Modalities = tuple[str, ...]


@dataclass(frozen=True)
class Case:
    build: Callable[[Modalities], Fusion]
    fewest: int = 1


def poolers(modalities: Modalities) -> dict[str, Pooling]:
    return {name: POOLINGS[KINDS[name]](WIDTHS[name]) for name in modalities}


def cross_attention(pooling: str, **options: Any) -> Case:
    options = {"first_token_only": False, "dropout": 0.1, "attention_dropout": 0.1, **options}

    def build(modalities: Modalities) -> Fusion:
        widths = {name: WIDTHS[name] for name in modalities}
        return CrossAttentionFusion(
            widths,
            dict.fromkeys(widths, POOLINGS[pooling]),
            fusion_dim=8,
            n_layers=2,
            n_heads=2,
            **options,
        )

    return Case(build, fewest=2)


def crossmodal(modalities: Modalities) -> Fusion:
    widths = {name: WIDTHS[name] for name in modalities}
    pooling = dict.fromkeys(widths, POOLINGS["mean_std"])
    return CrossmodalTransformer(widths, pooling, 8, 2, 1, 2, dropout=0.1, attention_dropout=0.1)


CASES = {
    "concat": Case(lambda names: ConcatFusion(poolers(names))),
    "gated": Case(lambda names: GatedFusion(poolers(names), fusion_dim=8, dropout=0.1)),
    "adaptive": Case(lambda names: AdaptiveFusion(poolers(names), fusion_dim=8, dropout=0.1)),
    "low_rank": Case(lambda names: LowRankFusion(poolers(names), 8, rank=3, dropout=0.1)),
    "tensor": Case(lambda names: TensorFusion(poolers(names), 4, 8, dropout=0.1)),
    "crossmodal": Case(crossmodal, fewest=2),
    "subspaces": Case(lambda names: SubspaceFusion(poolers(names), 8, 2, 0.1, 0.1)),
    "all_tokens": cross_attention("mean"),
    "attention_without_ffn": cross_attention("attention", ffn=False),
    "first_token": cross_attention("mean", first_token_only=True),
}
ALL = tuple(WIDTHS)
SETS = [("speech",), ("text", "speech"), ALL]
every_fusion = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_fusion_and_set = pytest.mark.parametrize(
    ("case", "modalities"),
    [
        pytest.param(case, modalities, id=f"{name}-{len(modalities)}")
        for name, case in CASES.items()
        for modalities in SETS
        if len(modalities) >= case.fewest
    ],
)


def build_fusion(case: Case, modalities: Modalities) -> Fusion:
    fusion = case.build(modalities)
    for name, parameter in fusion.named_parameters():  # as learned ones would be
        if "missing" in name:
            nn.init.normal_(parameter)
    return fusion.eval()


Make = Callable[[Modalities], dict[str, tuple[Tensor, Tensor]]]


@pytest.fixture
def make_encoded(random_mask: Callable[..., Tensor]) -> Make:
    def make(modalities: Modalities) -> dict[str, tuple[Tensor, Tensor]]:
        encoded = {}
        for name in modalities:
            features = torch.randn(N_ROWS, max(LENGTHS[name]), WIDTHS[name])
            encoded[name] = (features, random_mask(LENGTHS[name]))
        return encoded

    return make


def without(encoded: Encoded, modality: str, *rows: int) -> dict[str, tuple[Tensor, Tensor]]:
    features, mask = encoded[modality]
    mask = mask.clone()
    mask[list(rows)] = True
    return {**encoded, modality: (features, mask)}


def leaves(encoded: Encoded) -> dict[str, tuple[Tensor, Tensor]]:
    return {m: (features.clone().requires_grad_(), mask) for m, (features, mask) in encoded.items()}


# -- padding and batches ---------------------------------------------------------------------------


@every_fusion_and_set
def test_width_of_the_output(case: Case, modalities: Modalities, make_encoded: Make) -> None:
    fusion = build_fusion(case, modalities)
    assert fusion(make_encoded(modalities)).shape == (N_ROWS, fusion.output_dim)


@every_fusion_and_set
def test_padding_has_no_influence_and_no_gradient(
    case: Case, modalities: Modalities, make_encoded: Make
) -> None:
    fusion = build_fusion(case, modalities)
    encoded = leaves(make_encoded(modalities))
    fused = fusion(encoded)
    for content in (1e4, float("nan")):
        noisy = {
            name: (
                torch.where(mask[..., None], content * torch.randn_like(features), features),
                mask,
            )
            for name, (features, mask) in encoded.items()
        }
        torch.testing.assert_close(fusion(noisy), fused, atol=1e-6, rtol=0)
    (fused * torch.randn_like(fused)).sum().backward()
    for features, mask in encoded.values():
        assert features.grad is not None
        assert features.grad[mask].eq(0).all()
        assert features.grad[:, 0].ne(0).all(dim=0).any()


@every_fusion_and_set
def test_more_padding_changes_nothing(
    case: Case, modalities: Modalities, make_encoded: Make
) -> None:
    fusion = build_fusion(case, modalities)
    encoded = make_encoded(modalities)
    wider = {
        name: (
            nn.functional.pad(features, (0, 0, 0, 4), value=3.0),
            nn.functional.pad(mask, (0, 4), value=True),
        )
        for name, (features, mask) in encoded.items()
    }
    torch.testing.assert_close(fusion(wider), fusion(encoded), atol=1e-6, rtol=0)


@every_fusion_and_set
def test_a_row_alone_is_the_same_as_in_a_batch(
    case: Case, modalities: Modalities, make_encoded: Make
) -> None:
    fusion = build_fusion(case, modalities)
    encoded = make_encoded(modalities)
    fused = fusion(encoded)
    for row in range(N_ROWS):
        alone = {
            name: (features[[row], :length], mask[[row], :length])
            for name, (features, mask) in encoded.items()
            for length in [LENGTHS[name][row]]
        }
        torch.testing.assert_close(fusion(alone)[0], fused[row], atol=1e-6, rtol=1e-6)
    order = torch.tensor([2, 0, 1])
    permuted = {m: (features[order], mask[order]) for m, (features, mask) in encoded.items()}
    torch.testing.assert_close(fusion(permuted), fused[order], atol=1e-6, rtol=0)


@every_fusion_and_set
def test_every_modality_is_heard(case: Case, modalities: Modalities, make_encoded: Make) -> None:
    fusion = build_fusion(case, modalities)
    encoded = make_encoded(modalities)
    for name in modalities:
        features, mask = encoded[name]
        other = {**encoded, name: (torch.randn_like(features), mask)}
        assert (fusion(other) - fusion(encoded)).abs().amax(dim=1).min() > 1e-3


# -- missing modalities ----------------------------------------------------------------------------


@every_fusion_and_set
def test_content_of_a_missing_modality_has_no_influence_and_no_gradient(
    case: Case, modalities: Modalities, make_encoded: Make
) -> None:
    fusion = build_fusion(case, modalities)
    encoded = make_encoded(modalities)
    for name in modalities:
        lacking = leaves(without(encoded, name, 1))
        fused = fusion(lacking)
        features, mask = lacking[name]
        for content in (1e4 * torch.randn_like(features), torch.full_like(features, torch.nan)):
            other = torch.where(mask[..., None], content, features)
            changed = fusion({**lacking, name: (other, mask)})
            torch.testing.assert_close(changed, fused, atol=1e-6, rtol=0)
        assert not torch.allclose(fused[1], fusion(encoded)[1], atol=1e-3), "absence must show"
        kept = torch.tensor([0, 2])
        torch.testing.assert_close(fused[kept], fusion(encoded)[kept], atol=1e-6, rtol=0)
        (fused * torch.randn_like(fused)).sum().backward()
        assert features.grad is not None
        assert features.grad[1].eq(0).all()
        assert features.grad[0].ne(0).any()


@every_fusion_and_set
@pytest.mark.parametrize("rows", [(0, 2), (0, 1, 2)], ids=["some_rows", "all_rows"])
def test_nothing_missing_makes_nan(
    case: Case, modalities: Modalities, rows: tuple[int, ...], make_encoded: Make
) -> None:
    """One after the other is taken away, until nothing is left."""
    fusion = build_fusion(case, modalities).train()
    encoded: Encoded = leaves(make_encoded(modalities))
    for name in modalities:
        encoded = without(encoded, name, *rows)
        fused, parts = fusion.forward_with_parts(encoded)
        assert fused.isfinite().all()
        total = fused.square().sum()
        total = total + sum(x.square().sum() for x in parts.values() if x.requires_grad)
        total.backward()
    for parameter in fusion.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    for features, _ in encoded.values():
        assert features.grad is not None
        assert features.grad.isfinite().all()


@every_fusion
def test_gradient_reaches_every_parameter(case: Case, make_encoded: Make) -> None:
    fusion = build_fusion(case, ALL)
    encoded: Encoded = make_encoded(ALL)
    for batch in (encoded, *(without(encoded, name, 1) for name in ALL)):
        fused, parts = fusion.forward_with_parts(batch)
        fused = torch.cat([fused, *(x.flatten(1) for x in parts.values() if x.requires_grad)], 1)
        (fused * torch.randn_like(fused)).sum().backward()
    for name, parameter in fusion.named_parameters():
        if name.endswith("k_proj.bias"):  # it adds the same to all scores of a query
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-8, name


# -- the rest --------------------------------------------------------------------------------------


@every_fusion_and_set
def test_collecting_attention_changes_nothing(
    case: Case, modalities: Modalities, make_encoded: Make
) -> None:
    fusion = build_fusion(case, modalities)
    encoded = without(make_encoded(modalities), "speech", 1)
    attention: dict[str, Tensor] = {}
    assert torch.equal(fusion(encoded, attention), fusion(encoded))
    for weights in attention.values():
        assert not weights.requires_grad
    if isinstance(fusion, CrossAttentionFusion | CrossmodalTransformer):
        assert attention["speech_from_text"][1].eq(0).all()
        return
    assert list(attention) == ["speech"]
    weights, (_, mask) = attention["speech"], encoded["speech"]
    assert weights[mask].eq(0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.tensor([1.0, 0.0, 1.0]))


@every_fusion
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_comes_close(case: Case, dtype: torch.dtype, make_encoded: Make) -> None:
    fusion = build_fusion(case, ALL)
    encoded = without(make_encoded(ALL), "speech", 1)
    expected = fusion(encoded)
    with torch.autocast("cpu", dtype=dtype):
        fused = fusion(encoded)
    torch.testing.assert_close(fused.float(), expected, atol=0.1, rtol=0.05)
    halves = {name: (features.to(dtype), mask) for name, (features, mask) in encoded.items()}
    fused = fusion.to(dtype)(halves)
    assert fused.dtype == dtype
    torch.testing.assert_close(fused.float(), expected, atol=0.1, rtol=0.05)


@every_fusion
def test_the_order_of_the_mapping_is_no_matter(case: Case, make_encoded: Make) -> None:
    """It is that of the constructor: a plain ParameterDict would sort the names, for one."""
    fusion = build_fusion(case, ALL)
    encoded = make_encoded(ALL)
    backwards = dict(reversed(encoded.items()))
    torch.testing.assert_close(fusion(backwards), fusion(encoded), atol=0, rtol=0)


@every_fusion
def test_dropout_acts_in_training_only(case: Case, make_encoded: Make) -> None:
    fusion = build_fusion(case, ALL).train()
    encoded = make_encoded(ALL)
    if not isinstance(fusion, ConcatFusion):  # it has no dropout of its own
        assert not torch.equal(fusion(encoded), fusion(encoded))
    fusion.eval()
    assert torch.equal(fusion(encoded), fusion(encoded))
