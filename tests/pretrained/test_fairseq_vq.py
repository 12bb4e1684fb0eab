"""vq-wav2vec as a tokenizer: its codes are those of fairseq, whatever the padding."""

from pathlib import Path

import pytest
import tiny_checkpoints as tiny
import torch
from codes import raises

from emo_fairseq.pretrained.fairseq_vq import VqWav2VecQuantizer

LENGTHS = (900, 25, 400, 20)


@pytest.mark.parametrize("vq_type", ["kmeans", "gumbel"])
def test_codes_are_fairseqs_own(vq_type: str, tmp_path: Path) -> None:
    checkpoint = tiny.wav2vec(vq_type=vq_type, vq_vars=6, vq_groups=2)
    quantizer = VqWav2VecQuantizer.from_checkpoint(checkpoint.save(tmp_path / "vq.pt"))
    quantizer.train()  # which changes nothing
    assert (quantizer.n_groups, quantizer.n_codes) == (2, 6)
    rows = [torch.randn(length) for length in LENGTHS]
    waveform = torch.full((len(rows), max(LENGTHS)), 3.0)
    mask = torch.arange(max(LENGTHS)) >= torch.tensor(LENGTHS)[:, None]
    for number, row in enumerate(rows):
        waveform[number, : len(row)] = row
    codes, code_mask = quantizer(waveform, mask)
    assert codes.dtype == torch.long
    assert (~code_mask).sum(dim=1).tolist() == [(max(25, n) - 25) // 20 + 1 for n in LENGTHS]
    model = checkpoint.model
    for number, row in enumerate(rows[:3]):  # the last is too short for fairseq
        _, expected = model.vector_quantizer.forward_idx(model.feature_extractor(row[None]))
        assert torch.equal(codes[number, ~code_mask[number]], expected[0])
    assert codes.unique().numel() > 2


def test_other_models_are_no_tokenizers(tmp_path: Path) -> None:
    for number, checkpoint in enumerate((tiny.wav2vec(), tiny.wav2vec2(), tiny.roberta())):
        file = checkpoint.save(tmp_path / f"{number}.pt")
        with raises("encoder-unsupported"):
            VqWav2VecQuantizer.from_checkpoint(file)
