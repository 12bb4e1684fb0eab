"""Frames that hold several layers: one is encoded, or their mean, their learned sum, or all."""

from functools import partial

import pytest
import torch

from emo_fairseq.modules.frame_encoder import IdentityEncoder
from emo_fairseq.modules.layer_mix import LayerMix
from emo_fairseq.modules.stored_layers import StoredLayers

K, C = 3, 4


def test_one_of_them_or_their_sum_is_encoded() -> None:
    layers = [torch.randn(2, 5, C) for _ in range(K)]
    frames, mask = torch.cat(layers, dim=2), torch.zeros(2, 5, dtype=torch.bool)
    mix = LayerMix(K)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([0.0, 1.0, 2.0]))
    weights = torch.tensor([0.0, 1.0, 2.0]).softmax(dim=0)
    for choose, expected in (
        (partial(torch.select, dim=2, index=1), layers[1]),
        (partial(torch.mean, dim=2), sum(layers, torch.zeros(1)) / K),
        (mix, sum((w * x for w, x in zip(weights, layers, strict=True)), torch.zeros(1))),
    ):
        encoder = StoredLayers(K, "", choose, IdentityEncoder(C))
        (encoded,), same_mask = encoder.layers(frames, mask)
        torch.testing.assert_close(encoded, expected)
        assert same_mask is mask
        assert encoder.embed_dim == C


def test_all_are_encoded_side_by_side() -> None:
    frames, mask = torch.randn(2, 5, K * C), torch.zeros(2, 5, dtype=torch.bool)
    encoder = StoredLayers(K, "concat", partial(torch.flatten, start_dim=2), IdentityEncoder(K * C))
    (encoded,), _ = encoder.layers(frames, mask)
    assert torch.equal(encoded, frames)
    assert encoder.embed_dim == K * C


def test_every_parameter_is_in_a_block() -> None:
    encoder = StoredLayers(K, "weighted", LayerMix(K), IdentityEncoder(C))
    in_blocks = [parameter for block in encoder.blocks() for parameter in block.parameters()]
    assert in_blocks == list(encoder.parameters())
    assert StoredLayers(K, "1", partial(torch.mean, dim=2), IdentityEncoder(C)).blocks() == []


def test_frames_of_another_width_are_refused() -> None:
    encoder = StoredLayers(K, "mean", partial(torch.mean, dim=2), IdentityEncoder(C))
    with pytest.raises(RuntimeError):
        encoder.layers(torch.zeros(1, 2, K * C + 1), torch.zeros(1, 2, dtype=torch.bool))
