"""The layer of cross-attention, against loops."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from emo_fairseq.modules.cross_attention import CrossAttentionLayer

HEARD = (5, 3)
N_HEADS = 2


def build_layer(ffn_dim: int | None = 16) -> CrossAttentionLayer:
    layer = CrossAttentionLayer(8, ffn_dim, N_HEADS, dropout=0.1, attention_dropout=0.1).eval()
    for parameter in layer.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))  # biases and gains that do something
    return layer


def slow_attention(
    attention: Any, queries: Tensor, keys: Tensor, heard: int
) -> tuple[Tensor, Tensor]:
    """One utterance: (T_q, C) queries over the first `heard` of (T_k, C) keys, head by head.

    Returns what they were told (T_q, C), and the weights (H, T_q, T_k).
    """
    head_dim = queries.size(1) // attention.num_heads
    attended = torch.zeros_like(queries)
    weights = torch.zeros(attention.num_heads, len(queries), len(keys))
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
            for s, (score, value) in enumerate(zip(scores, values, strict=True)):
                weights[head, t, s] = math.exp(score) / total
                attended[t, part] += math.exp(score) / total * value
    return attended @ attention.out_proj.weight.T + attention.out_proj.bias, weights


@pytest.mark.parametrize("ffn_dim", [16, None])
@torch.no_grad()
def test_the_layer_equals_loops(ffn_dim: int | None, random_mask: Callable[..., Tensor]) -> None:
    layer = build_layer(ffn_dim)
    queries, keys = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    fast, fast_weights = layer(queries, keys, random_mask(HEARD), need_weights=True)
    assert fast_weights is not None
    assert fast_weights.shape == (2, N_HEADS, 4, 5)
    for row in range(2):
        slow, weights = slow_attention(
            layer.attention, layer.query_norm(queries[row]), layer.key_norm(keys[row]), HEARD[row]
        )
        slow = queries[row] + slow
        if layer.feed_forward is not None:
            norm, widen, activate, _, narrow = layer.feed_forward
            slow = slow + narrow(activate(widen(norm(slow))))
        torch.testing.assert_close(fast[row], slow, atol=1e-5, rtol=0)
        torch.testing.assert_close(fast_weights[row], weights, atol=1e-6, rtol=0)


@torch.no_grad()
def test_without_keys_only_the_residual_remains() -> None:
    queries, keys = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    nothing = torch.tensor([[True] * 5, [False] * 5])
    layer = build_layer(None)
    fused, weights = layer(queries, keys, nothing, need_weights=True)
    assert torch.equal(fused[0], queries[0])
    assert not torch.allclose(fused[1], queries[1], atol=1e-3)
    assert weights is not None
    assert weights[0].eq(0).all()
    torch.testing.assert_close(weights[1].sum(dim=-1), torch.ones(N_HEADS, 4))


def test_weights_cost_nothing_where_nobody_wants_them(random_mask: Callable[..., Tensor]) -> None:
    layer, (queries, keys) = build_layer(), (torch.randn(2, 4, 8), torch.randn(2, 5, 8))
    fused, weights = layer(queries, keys, random_mask(HEARD))
    assert weights is None
    with_weights, weights = layer(queries, keys, random_mask(HEARD), need_weights=True)
    assert torch.equal(fused, with_weights)
    assert weights is not None
    assert not weights.requires_grad
