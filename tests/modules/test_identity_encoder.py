"""Frames in place of an encoder."""

import torch

from emo_fairseq.modules.frame_encoder import IdentityEncoder


def test_frames_and_mask_are_returned_as_they_are() -> None:
    encoder, frames = IdentityEncoder(3), torch.randn(2, 4, 3)
    mask = torch.tensor([[False] * 4, [False, True, True, True]])
    (layer,), same_mask = encoder.layers(frames, mask)
    assert layer is frames
    assert same_mask is mask
    assert (encoder.embed_dim, encoder.n_layers, list(encoder.parameters())) == (3, 0, [])
