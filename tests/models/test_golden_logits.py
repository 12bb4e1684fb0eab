"""Golden numbers: the tiny model with fixed parameters keeps saying the same."""

import pytest
import torch
from torch import Tensor, nn

from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.fusion import ConcatFusion, CrossAttentionFusion
from emo_fairseq.modules.heads import (
    EmbeddingLayer,
    LinearHead,
)
from emo_fairseq.modules.log_mel_encoder import LogMelEncoder
from emo_fairseq.modules.pooling import POOLINGS
from emo_fairseq.modules.token_encoder import TokenEncoder
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.modules.waveform_encoder import WaveformEncoder

# The names that parameters had when the numbers were written down.
RENAMED = {".backbone.": ".", ".transformer.": ".layers."}


def fixed_init(module: nn.Module) -> None:
    """Values that depend on the name of a parameter alone, and on no random generator."""
    for name, parameter in module.named_parameters():
        for now, then in RENAMED.items():
            name = name.replace(now, then)
        phase = sum(map(ord, name))
        wave = torch.sin(phase + 1.7 * torch.arange(parameter.numel(), dtype=torch.float64))
        if parameter.ndim == 1:
            wave = 0.1 * wave + (1.0 if name.endswith("weight") else 0.0)
        else:
            wave = wave / (parameter[0].numel() ** 0.5)
        parameter.data.copy_(wave.reshape(parameter.shape))


@torch.no_grad()
def golden_logits(speech: Encoder, speech_fields: dict[str, Tensor], fusion: nn.Module) -> Tensor:
    text = TokenEncoder(20, max_tokens=8, size=GOLDEN_SIZE)
    model = RobertaEMOModel(
        {"text": ModalityEncoder(text), "speech": ModalityEncoder(speech)},
        fusion,
        EmbeddingLayer(fusion.output_dim, 8, dropout=0.1),
        LinearHead(8, 3, dropout=0.1),
    ).eval()
    fixed_init(model)
    present = torch.tensor([True, True])
    inputs = {
        "text": {
            "tokens": torch.tensor([[0, 7, 9, 2], [0, 5, 2, 1]]),
            "padding_mask": torch.tensor([[False] * 4, [False] * 3 + [True]]),
            "present": present,
        },
        "speech": {**speech_fields, "present": present},
    }
    return model(**inputs).logits


GOLDEN_SIZE = TransformerSize(
    embed_dim=16, ffn_embed_dim=32, n_layers=2, n_heads=2, dropout=0.1, attention_dropout=0.1
)
WAVE = torch.sin(0.1 * torch.arange(1600.0)).reshape(2, 800)
GOLDEN = {
    "waveform": (
        lambda: WaveformEncoder([(16, 10, 5), (16, 8, 4), (16, 4, 2)], GOLDEN_SIZE),
        {"waveform": WAVE},
        [[0.186639, 0.609848, 0.320581], [0.216423, 0.653777, 0.335755]],
    ),
    "log_mel": (
        lambda: LogMelEncoder(8, 12, GOLDEN_SIZE),
        {"frames": WAVE.reshape(2, 100, 8)},
        [[0.101983, 0.627505, 0.423308], [0.130191, 0.668840, 0.437402]],
    ),
    "tokens": (
        lambda: TokenEncoder(20, 40, GOLDEN_SIZE),
        {"tokens": torch.arange(24).reshape(2, 12) % 15 + 4},
        [[0.563104, 1.066150, 0.411100], [0.561678, 1.065572, 0.411933]],
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_logits(name: str) -> None:
    """A change of these numbers makes every trained checkpoint say something else."""
    build_speech, fields, expected = GOLDEN[name]
    (source,) = fields.values()
    mask = torch.zeros(source.shape[:2], dtype=torch.bool)
    widths = {"text": 16, "speech": 16}
    fusion: nn.Module
    if name == "tokens":
        poolers = {"text": POOLINGS["first"](16), "speech": POOLINGS["mean"](16)}
        fusion = ConcatFusion(poolers)
    else:
        pooling = dict.fromkeys(widths, POOLINGS["mean"])
        fusion = CrossAttentionFusion(widths, pooling, 16, 1, 2, 0.1, 0.1, first_token_only=False)
    logits = golden_logits(build_speech(), {**fields, "padding_mask": mask}, fusion)
    torch.testing.assert_close(logits, torch.tensor(expected), atol=1e-5, rtol=0)
