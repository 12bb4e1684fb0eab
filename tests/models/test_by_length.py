"""Rows in groups of similar length are encoded as they are in one batch."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from data_prep.tokens.folder import SpecialIds
from emo_fairseq.models.by_length import encode_by_length, group_by_length
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.frame_encoder import FrameEncoder
from emo_fairseq.modules.token_encoder import TokenEncoder
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.modules.waveform_encoder import WaveformEncoder

SIZE = TransformerSize(16, 24, 2, 2, dropout=0.0, attention_dropout=0.0)


@pytest.mark.parametrize("seed", range(20))
def test_groups_have_each_row_once_and_save_padding(seed):
    rng = np.random.default_rng(seed)
    lengths = np.ceil(np.exp(rng.normal(2.5, rng.uniform(0, 1.2), rng.integers(1, 70)))).astype(int)
    groups = group_by_length(lengths)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    assert len(groups) <= 4
    padded = sum(len(rows) * lengths[rows].max() for rows in groups)
    if len(groups) > 1:
        assert padded <= 0.9 * len(lengths) * lengths.max()
    for longer, shorter in pairwise(groups):
        assert lengths[longer].min() > lengths[shorter].max()


def test_rows_of_similar_length_stay_together():
    assert [rows.tolist() for rows in group_by_length(np.array([30, 29, 28, 27]))] == [[0, 1, 2, 3]]


def tokens(lengths: list[int]) -> tuple[Encoder, dict[str, torch.Tensor]]:
    batch = torch.randint(4, 20, (len(lengths), max(lengths)))
    return TokenEncoder(20, 64, SIZE), {"tokens": batch}


def frames(lengths: list[int]) -> tuple[Encoder, dict[str, torch.Tensor]]:
    return FrameEncoder(8, SIZE), {"frames": torch.randn(len(lengths), max(lengths), 8)}


def waveform(lengths: list[int]) -> tuple[Encoder, dict[str, torch.Tensor]]:
    layers = [(8, 10, 5), (8, 3, 2)]
    samples = torch.randn(len(lengths), 100 * max(lengths))
    return WaveformEncoder(layers, SIZE), {"waveform": samples}


@pytest.mark.parametrize(("kind", "step"), [(tokens, 1), (frames, 1), (waveform, 100)])
@pytest.mark.parametrize("layer", ["last", "weighted", "concat"])
def test_features_and_gradients_are_those_of_one_batch(kind, step, layer):
    lengths = [40, 3, 36, 9, 2, 17, 5, 40]
    backbone, source = kind(lengths)
    encoder = ModalityEncoder(backbone, layer).train()
    mask = torch.arange(step * 40) >= step * torch.tensor(lengths)[:, None]
    source["padding_mask"] = mask
    (name,) = source.keys() - {"padding_mask"}
    source[name][mask] = SpecialIds().pad if name == "tokens" else 0
    assert len(group_by_length(step * np.array(lengths))) == 3
    found = []
    for grouped in (False, True):
        encoder.zero_grad()
        if grouped:
            features, padding_mask = encode_by_length(encoder.encode, source)
        else:
            features, padding_mask = encoder.encode(**source)
        kept = features.masked_fill(padding_mask[:, :, None, None], 0.0)
        (kept * torch.linspace(-1, 1, kept.size(-1))).sum().backward()
        gradients = [x.grad for x in backbone.parameters() if x.grad is not None]
        found.append((padding_mask, kept.detach(), gradients))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-5, rtol=1e-4)
    assert found[0][2]
    for one, two in zip(found[0][2], found[1][2], strict=True):
        torch.testing.assert_close(one, two, atol=2e-4, rtol=1e-3)
