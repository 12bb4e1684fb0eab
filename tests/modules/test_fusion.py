"""Fusions: attention against loops, nothing heard from padding, what a missing modality becomes."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from emo_fairseq.modules.cross_attention import CrossAttentionLayer
from emo_fairseq.modules.fusion import ConcatFusion, CrossAttentionFusion

WIDTHS = {"text": 6, "speech": 10}
LENGTHS = {"text": (5, 2, 4), "speech": (3, 7, 6)}
N_ROWS = 3

Encoded = Mapping[str, tuple[Tensor, Tensor]]


def build_fusion(name: str) -> nn.Module:
    fusion: nn.Module
    if name == "concat":
        fusion = ConcatFusion(WIDTHS, pool_first=frozenset({"text"}))
    else:
        fusion = CrossAttentionFusion(
            WIDTHS,
            fusion_dim=8,
            n_layers=2,
            n_heads=2,
            dropout=0.1,
            attention_dropout=0.1,
            first_token_only=name == "first_token",
        )
    for vector in fusion.missing.parameters():  # as learned ones would be
        nn.init.normal_(vector)
    return fusion.eval()


every_fusion = pytest.mark.parametrize("name", ["concat", "all_tokens", "first_token"])


@pytest.fixture
def encoded(random_mask: Callable[..., Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        name: (torch.randn(N_ROWS, max(LENGTHS[name]), WIDTHS[name]), random_mask(LENGTHS[name]))
        for name in WIDTHS
    }


def without(encoded: Encoded, modality: str, row: int) -> dict[str, tuple[Tensor, Tensor]]:
    features, mask = encoded[modality]
    mask = mask.clone()
    mask[row] = True
    return {**encoded, modality: (features, mask)}


def part_of(fusion: Any, key: str) -> slice:
    """Where in the output one modality, or pair of them, lies."""
    names = list(fusion.missing)
    widths = [len(fusion.missing[name]) for name in names]
    start = sum(widths[: names.index(key)])
    return slice(start, start + widths[names.index(key)])


# -- the layer, against loops ----------------------------------------------------------------------


def slow_attention(attention: Any, queries: Tensor, keys: Tensor, heard: int) -> Tensor:
    """One utterance: (T_q, C) queries over the first `heard` of (T_k, C) keys, head by head."""
    head_dim = queries.size(1) // attention.num_heads
    attended = torch.zeros_like(queries)
    for t in range(len(queries)):
        query = attention.q_proj.weight @ queries[t] + attention.q_proj.bias
        for head in range(attention.num_heads):
            part = slice(head * head_dim, (head + 1) * head_dim)
            scores, values = [], []
            for s in range(heard):
                key = attention.k_proj.weight @ keys[s] + attention.k_proj.bias
                value = attention.v_proj.weight @ keys[s] + attention.v_proj.bias
                scores.append(float(query[part] @ key[part]) / math.sqrt(head_dim))
                values.append(value[part])
            total = sum(math.exp(score) for score in scores)
            for score, value in zip(scores, values, strict=True):
                attended[t, part] += math.exp(score) / total * value
    return attended @ attention.out_proj.weight.T + attention.out_proj.bias


def slow_layer(layer: CrossAttentionLayer, queries: Tensor, keys: Tensor, heard: int) -> Tensor:
    attended = slow_attention(
        layer.attention, layer.query_norm(queries), layer.key_norm(keys), heard
    )
    middle = queries + attended
    norm, widen, activate, _, narrow = layer.feed_forward
    return middle + narrow(activate(widen(norm(middle))))


@torch.no_grad()
def test_cross_attention_equals_loops(random_mask: Callable[..., Tensor]) -> None:
    layer = CrossAttentionLayer(8, 16, n_heads=2, dropout=0.1, attention_dropout=0.1).eval()
    for parameter in layer.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))  # biases and gains that do something
    queries, keys = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    heard = (5, 3)
    fast = layer(queries, keys, random_mask(heard))
    for row in range(2):
        slow = slow_layer(layer, queries[row], keys[row], heard[row])
        torch.testing.assert_close(fast[row], slow, atol=1e-5, rtol=0)


@torch.no_grad()
def test_without_keys_only_the_residual_remains() -> None:
    layer = CrossAttentionLayer(8, 16, n_heads=2, dropout=0.1, attention_dropout=0.1).eval()
    queries, keys = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    nothing = torch.tensor([[True] * 5, [False] * 5])
    fused = layer(queries, keys, nothing)
    torch.testing.assert_close(fused[0], queries[0] + layer.feed_forward(queries[0]))
    assert not torch.allclose(fused[1], queries[1] + layer.feed_forward(queries[1]), atol=1e-3)


# -- every fusion ----------------------------------------------------------------------------------


@every_fusion
def test_width_of_the_output(name: str, encoded: Encoded) -> None:
    fusion = build_fusion(name)
    assert fusion(encoded).shape == (N_ROWS, fusion.output_dim)


@every_fusion
def test_content_of_padding_has_no_influence(name: str, encoded: Encoded) -> None:
    fusion = build_fusion(name)
    noisy = {
        modality: (torch.where(mask[..., None], 9.0, features), mask)
        for modality, (features, mask) in encoded.items()
    }
    torch.testing.assert_close(fusion(noisy), fusion(encoded), atol=1e-6, rtol=0)


@every_fusion
def test_amount_of_padding_has_no_influence(name: str, encoded: Encoded) -> None:
    fusion = build_fusion(name)
    fused = fusion(encoded)
    for row in range(N_ROWS):
        alone = {
            modality: (features[[row], :length], mask[[row], :length])
            for modality, (features, mask) in encoded.items()
            for length in [LENGTHS[modality][row]]
        }
        torch.testing.assert_close(fused[row], fusion(alone)[0], atol=1e-5, rtol=0)


@every_fusion
def test_content_of_a_missing_modality_has_no_influence(name: str, encoded: Encoded) -> None:
    fusion = build_fusion(name)
    for modality in WIDTHS:
        lacking = without(encoded, modality, row=1)
        fused = fusion(lacking)
        features, mask = lacking[modality]
        other = {**lacking, modality: (features * 7 - 3, mask)}
        torch.testing.assert_close(fusion(other)[1], fused[1], atol=1e-6, rtol=0)
        assert not torch.allclose(fused[1], fusion(encoded)[1], atol=1e-3), "absence must show"
        kept = torch.tensor([0, 2])
        torch.testing.assert_close(fused[kept], fusion(encoded)[kept], atol=1e-6, rtol=0)


@every_fusion
def test_a_missing_modality_makes_no_nan(name: str, encoded: Encoded) -> None:
    fusion = build_fusion(name).train()
    encoded = {m: (features.requires_grad_(), mask) for m, (features, mask) in encoded.items()}
    for modality in WIDTHS:
        fused = fusion(without(without(encoded, modality, row=0), modality, row=2))
        assert fused.isfinite().all()
        fused.square().sum().backward()
    for parameter in fusion.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    for features, _ in encoded.values():
        assert features.grad is not None
        assert features.grad.isfinite().all()


@every_fusion
def test_a_modality_missing_in_the_whole_batch_makes_no_nan(name: str, encoded: Encoded) -> None:
    fusion = build_fusion(name).train()
    lacking = encoded
    for row in range(N_ROWS):
        lacking = without(lacking, "speech", row)
    fusion(lacking).square().sum().backward()
    for parameter in fusion.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


@every_fusion
def test_the_learned_vector_stands_for_what_is_missing(name: str, encoded: Encoded) -> None:
    fusion = build_fusion(name)
    lacking = without(encoded, "speech", row=1)
    key = "speech" if name == "concat" else "speech_from_text"
    vector, part = fusion.missing[key], part_of(fusion, key)
    fused = fusion(lacking)
    assert torch.equal(fused[1, part], vector)
    assert not torch.allclose(fused[0, part], vector, atol=1e-3)
    fused[1].sum().backward()
    torch.testing.assert_close(vector.grad, torch.ones_like(vector))


@every_fusion
def test_rows_of_a_batch_do_not_hear_each_other(name: str, encoded: Encoded) -> None:
    fusion = build_fusion(name)
    order = torch.tensor([2, 0, 1])
    permuted = {m: (features[order], mask[order]) for m, (features, mask) in encoded.items()}
    torch.testing.assert_close(fusion(permuted), fusion(encoded)[order], atol=1e-6, rtol=0)


@every_fusion
def test_both_modalities_are_heard(name: str, encoded: Encoded) -> None:
    fusion = build_fusion(name)
    for modality in WIDTHS:
        features, mask = encoded[modality]
        other = {**encoded, modality: (torch.randn_like(features), mask)}
        assert (fusion(other) - fusion(encoded)).abs().amax(dim=1).min() > 1e-3


# -- what is particular to each --------------------------------------------------------------------


def test_concat_pools_the_first_token_or_the_mean(encoded: Encoded) -> None:
    fusion = build_fusion("concat")
    fused = fusion(encoded)
    text, speech = encoded["text"][0], encoded["speech"][0]
    torch.testing.assert_close(fused[:, part_of(fusion, "text")], text[:, 0])
    for row, length in enumerate(LENGTHS["speech"]):
        mean = speech[row, :length].mean(dim=0)
        torch.testing.assert_close(fused[row, part_of(fusion, "speech")], mean)


def test_concat_of_one_modality_is_its_pooling(encoded: Encoded) -> None:
    fusion = ConcatFusion({"speech": WIDTHS["speech"]}, frozenset({"speech"}))
    torch.testing.assert_close(fusion({"speech": encoded["speech"]}), encoded["speech"][0][:, 0])


def test_with_first_token_only_it_alone_asks(encoded: Encoded) -> None:
    """Later tokens of the text are heard by the speech, and nowhere else."""
    features, mask = encoded["text"]
    changed = features.clone()
    changed[:, 1:] += torch.randn_like(changed[:, 1:])
    for name, is_same in (("first_token", True), ("all_tokens", False)):
        fusion = build_fusion(name)
        before, after = fusion(encoded), fusion({**encoded, "text": (changed, mask)})
        text_asks = part_of(fusion, "text_from_speech")
        speech_asks = part_of(fusion, "speech_from_text")
        assert torch.allclose(before[:, text_asks], after[:, text_asks], atol=1e-5) == is_same
        assert not torch.allclose(before[:, speech_asks], after[:, speech_asks], atol=1e-3)


def test_layers_are_as_many_as_asked_for() -> None:
    fusion = build_fusion("all_tokens")
    assert {name: len(layers) for name, layers in fusion.layers.items()} == {
        "text_from_speech": 2,
        "speech_from_text": 2,
    }


def test_three_modalities_ask_in_six_pairs(random_mask: Callable[..., Tensor]) -> None:
    widths = {"text": 6, "speech": 10, "video": 4}
    fusion = CrossAttentionFusion(widths, 8, 1, 2, 0.0, 0.0, first_token_only=False).eval()
    encoded = {m: (torch.randn(2, 3, width), random_mask([3, 2])) for m, width in widths.items()}
    assert fusion.output_dim == 6 * 8
    assert fusion(encoded).shape == (2, 48)


def test_the_parts_stand_in_the_order_of_the_modalities() -> None:
    """A plain ParameterDict would sort them, and a checkpoint with them mean something else."""
    mask = torch.tensor([[False]])
    one, two = torch.full((1, 1, 2), 1.0), torch.full((1, 1, 3), 2.0)
    fusion = ConcatFusion({"text": 2, "speech": 3}, pool_first=frozenset())
    fused = fusion({"text": (one, mask), "speech": (two, mask)})
    assert fused.tolist() == [[1.0, 1.0, 2.0, 2.0, 2.0]]
