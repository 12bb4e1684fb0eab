"""The log-mel frames that a graph computes are those of the model, at every length."""

import json

import pytest
import torch

from emo_fairseq.encoder_spec import WHISPER_PADDINGS
from emo_fairseq.export.traceable import _WhisperFrames
from emo_fairseq.pretrained.hf_whisper import HuggingFaceWhisper
from tests import hf_folders

RATE = 16_000
SECONDS = 2  # that this Whisper reads, in place of 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return hf_folders.build_whisper(tmp_path_factory.mktemp("whisper"), n_layers=1)


def encoder_of(folder, padding):
    transformers = pytest.importorskip("transformers")
    config = transformers.WhisperConfig.from_pretrained(folder)
    front_end = json.loads((folder / "preprocessor_config.json").read_text())
    return HuggingFaceWhisper(config, front_end, padding).eval()


@pytest.mark.parametrize("padding", WHISPER_PADDINGS)
@pytest.mark.parametrize("missing", [RATE, 1400, 801, 300, 150, 1, 0])
def test_frames(missing, padding, folder):
    """Rows that end before the end by more samples than a window has, by fewer, and not."""
    encoder = encoder_of(folder, padding)
    generator = torch.Generator().manual_seed(missing)
    waveform = torch.randn(2, RATE * SECONDS - missing, generator=generator) * 0.1
    width = -(-waveform.size(1) // encoder.hop)
    expected = encoder._log_mel(waveform, width)
    actual = _WhisperFrames(encoder)(waveform)[..., : expected.size(2)]
    assert torch.allclose(actual, expected, atol=2e-4)


def test_what_short_rows_cost(folder):
    """Without padding, the frames of half a second are not those of all."""
    frames = _WhisperFrames(encoder_of(folder, "none"))(torch.randn(1, RATE // 2))
    assert 50 <= frames.size(2) <= 60
