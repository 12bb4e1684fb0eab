"""Token-level fusion: the whole of it against loops, who asks, and the weights that it tells."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from emo_fairseq.modules.fusion import CrossAttentionFusion, CrossmodalTransformer
from emo_fairseq.modules.pooling import POOLINGS

WIDTHS = {"text": 6, "speech": 10, "video": 4}
LENGTHS = {"text": (5, 2, 0), "speech": (3, 0, 6), "video": (2, 4, 1)}  # 0: it is missing
PAIRS = [(asks, told) for asks in WIDTHS for told in WIDTHS if asks != told]
N_ROWS, N_LAYERS, N_HEADS, D = 3, 2, 2, 8

Encoded = Mapping[str, tuple[Tensor, Tensor]]


def build(pooling: str = "mean", **options: Any) -> CrossAttentionFusion:
    options = {"first_token_only": False, **options}
    fusion = CrossAttentionFusion(
        WIDTHS, dict.fromkeys(WIDTHS, POOLINGS[pooling]), D, N_LAYERS, N_HEADS, 0.1, 0.1, **options
    )
    for parameter in fusion.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return fusion.double().eval()


@pytest.fixture
def encoded(random_mask: Callable[..., Tensor]) -> Encoded:
    return {
        name: (
            torch.randn(N_ROWS, 6, width, dtype=torch.float64),
            random_mask(LENGTHS[name], 6),
        )
        for name, width in WIDTHS.items()
    }


def slow_attention(attention: Any, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """(T_q, C) queries over (T_k, C) keys, none of them padding: (T_q, C) and (H, T_q, T_k)."""
    head_dim = queries.size(1) // N_HEADS
    attended = torch.zeros_like(queries)
    weights = torch.zeros(N_HEADS, len(queries), len(keys), dtype=torch.float64)
    for t, query in enumerate(queries):
        for head in range(N_HEADS):
            part = slice(head * head_dim, (head + 1) * head_dim)
            scores = [
                attention.q_proj(query)[part] @ attention.k_proj(key)[part] / head_dim**0.5
                for key in keys
            ]
            weights[head, t] = torch.stack(scores).exp() / torch.stack(scores).exp().sum()
            for s, key in enumerate(keys):
                attended[t, part] += weights[head, t, s] * attention.v_proj(key)[part]
    return attention.out_proj(attended), weights


def slow_pair(
    fusion: CrossAttentionFusion, pair: str, queries: Tensor, keys: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """One row: (T_q, D) queries, at least one, and (T_k, D) keys, perhaps none."""
    all_weights = []
    for layer in fusion.layers[pair]:
        if len(keys):
            attended, weights = slow_attention(
                layer.attention, layer.query_norm(queries), layer.key_norm(keys)
            )
            queries = queries + attended
            all_weights.append(weights)
        if layer.feed_forward is not None:
            queries = queries + layer.feed_forward(queries)
    return fusion.final_norm[pair](queries), all_weights


@pytest.mark.parametrize("pooling", ["mean", "mean_std"])
@pytest.mark.parametrize("ffn", [True, False], ids=["ffn", "no_ffn"])
@pytest.mark.parametrize("first_token_only", [False, True], ids=["all_tokens", "first_token"])
@torch.no_grad()
def test_the_fusion_equals_loops(
    pooling: str, ffn: bool, first_token_only: bool, encoded: Encoded
) -> None:
    fusion = build(pooling, ffn=ffn, first_token_only=first_token_only)
    attention: dict[str, Tensor] = {}
    fused = fusion(encoded, attention)
    assert fused.shape == (N_ROWS, fusion.output_dim)
    for row in range(N_ROWS):
        parts = []
        for asks, told in PAIRS:
            pair = f"{asks}_from_{told}"
            if LENGTHS[asks][row] == 0:
                parts.append(fusion.missing[pair])
                assert attention[pair][row].eq(0).all()
                continue
            queries, keys = (
                fusion.project[name](encoded[name][0][row, : LENGTHS[name][row]])
                for name in (asks, told)
            )
            queries = queries[:1] if first_token_only else queries
            queries, weights = slow_pair(fusion, pair, queries, keys)
            told_weights = torch.zeros_like(attention[pair][row])  # (layers, H, T_q, T_k)
            for layer, of_layer in enumerate(weights):
                told_weights[layer, :, : len(queries), : len(keys)] = of_layer
            torch.testing.assert_close(attention[pair][row], told_weights, atol=1e-6, rtol=0)
            no_padding = torch.zeros(1, len(queries), dtype=torch.bool)
            parts.append(POOLINGS[pooling](D)(queries[None], no_padding)[0])
        # fairseq's softmax is float32 whatever comes in
        torch.testing.assert_close(fused[row], torch.cat(parts), atol=2e-6, rtol=0)


@torch.no_grad()
def test_weights_sum_to_one_over_what_is_there_and_are_zero_at_padding(encoded: Encoded) -> None:
    attention: dict[str, Tensor] = {}
    build("attention")(encoded, attention)
    names = {f"{asks}_from_{told}" for asks, told in PAIRS}
    assert attention.keys() == names | {f"{name}_pooling" for name in names}
    for asks, told in PAIRS:
        weights = attention[f"{asks}_from_{told}"]
        assert weights.shape == (N_ROWS, N_LAYERS, N_HEADS, 6, 6)
        heard = torch.zeros(N_ROWS, N_LAYERS, N_HEADS, 6)
        for row in range(N_ROWS):
            if LENGTHS[told][row]:
                heard[row, :, :, : LENGTHS[asks][row]] = 1
            assert weights[row, ..., LENGTHS[told][row] :].eq(0).all()
        torch.testing.assert_close(weights.sum(dim=-1).float(), heard)
        pooled = attention[f"{asks}_from_{told}_pooling"]
        asked = torch.tensor([float(length > 0) for length in LENGTHS[asks]])
        torch.testing.assert_close(pooled.sum(dim=1).float(), asked)
        assert pooled[encoded[asks][1]].eq(0).all()


@torch.no_grad()
def test_with_first_token_only_it_alone_asks(encoded: Encoded) -> None:
    """Later tokens of the text are heard by the others, and nowhere else."""
    features, mask = encoded["text"]
    changed = features.clone()
    changed[:, 1:] += torch.randn_like(changed[:, 1:])
    for first_token_only in (True, False):
        fusion = build(first_token_only=first_token_only)
        before, after = fusion(encoded), fusion({**encoded, "text": (changed, mask)})
        for number, (asks, told) in enumerate(PAIRS):
            part = (0, slice(number * D, (number + 1) * D))  # row 0 has all modalities
            is_same = torch.allclose(before[part], after[part], atol=1e-5)
            touched = told == "text" or (asks == "text" and not first_token_only)
            assert is_same != touched, (asks, told)


def test_layers_and_parameters_bear_the_names_that_checkpoints_have() -> None:
    fusion = build()
    names = [f"{asks}_from_{told}" for asks, told in PAIRS]
    assert list(fusion.layers) == list(fusion.missing) == names
    assert {len(layers) for layers in fusion.layers.values()} == {N_LAYERS}
    assert {name.split(".")[0] for name in fusion.state_dict()} == {
        "project",
        "layers",
        "final_norm",
        "missing",
    }


def test_the_asking_modality_says_how_what_it_was_told_is_pooled(encoded: Encoded) -> None:
    pooling = dict(
        zip(WIDTHS, (POOLINGS[kind] for kind in ("mean", "mean_std", "first")), strict=True)
    )
    fusion = CrossAttentionFusion(WIDTHS, pooling, D, 1, N_HEADS, 0.1, 0.1, False).double().eval()
    assert [len(vector) for vector in fusion.missing.values()] == [D, D, 2 * D, 2 * D, D, D]
    assert fusion(encoded).shape == (N_ROWS, fusion.output_dim) == (N_ROWS, 8 * D)


def test_one_modality_is_an_error() -> None:
    with pytest.raises(ValueError, match="there is only text: add one"):
        CrossAttentionFusion({"text": 4}, {"text": POOLINGS["mean"]}, 8, 1, 2, 0.0, 0.0, False)


# -- crossmodal transformers -----------------------------------------------------------------------


def slow_layers(layers: Any, queries: Tensor, keys: Tensor | None) -> Tensor:
    """Layers over (T_q, C) queries and (T_k, C) keys, perhaps none; None = the queries."""
    for layer in layers:
        others = queries if keys is None else keys
        if len(others):
            attended, _ = slow_attention(
                layer.attention, layer.query_norm(queries), layer.key_norm(others)
            )
            queries = queries + attended
        queries = queries + layer.feed_forward(queries)
    return queries


@pytest.mark.parametrize("pooling", ["mean", "mean_std"])
@torch.no_grad()
def test_crossmodal_transformers_equal_loops(pooling: str, encoded: Encoded) -> None:
    fusion = CrossmodalTransformer(
        WIDTHS, dict.fromkeys(WIDTHS, POOLINGS[pooling]), D, N_LAYERS, 1, N_HEADS, 0.1, 0.1
    )
    for parameter in fusion.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    fusion = fusion.double().eval()
    fused = fusion(encoded)
    assert fused.shape == (N_ROWS, fusion.output_dim)
    for row in range(N_ROWS):
        projected = {
            name: fusion.project[name](encoded[name][0][row, : LENGTHS[name][row]])
            for name in WIDTHS
        }
        parts = []
        for name in WIDTHS:
            if LENGTHS[name][row] == 0:
                parts.append(fusion.missing[name])
                continue
            received = [
                fusion.cross_norm[pair](
                    slow_layers(fusion.cross[pair], projected[name], projected[other])
                )
                for other in WIDTHS
                if other != name
                for pair in [f"{name}_from_{other}"]
            ]
            x = torch.cat(received, dim=1)
            x = fusion.own_norm[name](slow_layers(fusion.own[name], x, None))
            no_padding = torch.zeros(1, len(x), dtype=torch.bool)
            parts.append(POOLINGS[pooling](x.size(1))(x[None], no_padding)[0])
        torch.testing.assert_close(fused[row], torch.cat(parts), atol=5e-6, rtol=1e-6)
