"""Encoders of waveforms in stages: the frozen lower part alone, and the rest from its outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch
from tiny_checkpoints import HOP, REACH
from torch import Tensor

from emo_fairseq import pretrained
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.modules.staged_encoder import StagedEncoder
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.modules.waveform_encoder import WaveformEncoder
from emo_fairseq.pretrained.hf_wav2vec2 import HuggingFaceWav2Vec2

transformers = pytest.importorskip("transformers")


N_LAYERS = 3
PRE_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


def hugging_face(name: str, **options: Any) -> StagedEncoder:
    config = getattr(transformers, f"{name}Config")(
        hidden_size=16,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8, 8, 8),
        conv_kernel=(10, 3, 3),
        conv_stride=(5, 2, 2),
        num_feat_extract_layers=3,
        mask_time_prob=0.0,
        **{"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, **options},
    )
    return HuggingFaceWav2Vec2(config, {"do_normalize": True})


def fairseq(build: Callable[[], tiny.Tiny], folder: Path) -> StagedEncoder:
    spec = pretrained.describe("speech", f"fairseq:{build().save(folder / 'model.pt')}")
    encoder = pretrained.build(spec)
    assert isinstance(encoder, StagedEncoder)
    return encoder


BUILD: dict[str, Callable[[Path], StagedEncoder]] = {
    "hf-wav2vec2": lambda _: hugging_face("Wav2Vec2"),
    "hf-wav2vec2-large": lambda _: hugging_face("Wav2Vec2", **PRE_NORM),
    "hf-hubert": lambda _: hugging_face("Hubert"),
    "hf-wavlm": lambda _: hugging_face("WavLM"),
    "hf-wavlm-large": lambda _: hugging_face("WavLM", **PRE_NORM),
    "hf-data2vec": lambda _: hugging_face(
        "Data2VecAudio", num_conv_pos_embeddings=3, conv_pos_kernel_size=5
    ),
    "fairseq-wav2vec2": lambda folder: fairseq(tiny.wav2vec2, folder),
    "fairseq-hubert-large": lambda folder: fairseq(
        lambda: tiny.hubert(extractor_mode="layer_norm", layer_norm_first=True), folder
    ),
    "fairseq-data2vec": lambda folder: fairseq(tiny.data2vec, folder),
    "fairseq-emotion2vec": lambda folder: fairseq(
        lambda: tiny.data2vec2(audio={"num_extra_tokens": 3}), folder
    ),
    "fairseq-wav2vec": lambda folder: fairseq(tiny.wav2vec, folder),
    "fairseq-vq-wav2vec": lambda folder: fairseq(
        lambda: tiny.wav2vec(vq_type="gumbel", vq_vars=5), folder
    ),
    "scratch": lambda _: WaveformEncoder(
        [(8, 10, 5), (8, 3, 2), (8, 3, 2)], TransformerSize(16, 24, N_LAYERS, 2, 0.1, 0.1)
    ),
}
every_encoder = pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
SOME = ("hf-wav2vec2", "hf-wavlm-large", "fairseq-data2vec", "fairseq-emotion2vec")
some_encoders = pytest.mark.parametrize("build", [BUILD[name] for name in SOME])


def batch() -> dict[str, Tensor]:
    lengths = (1003, REACH, 31 * HOP + 7, 500)
    waveform = torch.randn(len(lengths), max(lengths))
    padding_mask = torch.arange(waveform.size(1)) >= torch.tensor(lengths)[:, None]
    return {"waveform": waveform.masked_fill(padding_mask, 0.0), "padding_mask": padding_mask}


def stored(encoder: ModalityEncoder, source: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the batch that the outputs of the frozen part are collated to."""
    encoded, padding_mask = encoder.encode_frozen(**source)
    return {"encoded": encoded.flatten(2), "padding_mask": padding_mask}


@every_encoder
@torch.no_grad()  # with gradients torch may choose another kernel
def test_stored_outputs_of_the_lower_part_lead_to_the_same_features(
    build: Callable[[Path], StagedEncoder], tmp_path: Path
) -> None:
    backbone, source = build(tmp_path).eval(), batch()
    present = torch.ones(4, dtype=torch.bool)
    for layer in ("last", "2", "mean", "weighted", "concat"):
        backbone.top_layer = None
        whole = ModalityEncoder(backbone, layer).eval()
        expected, expected_mask = whole(present=present, **source)
        for n_frozen in (0, 1):
            whole.freeze_lower(n_frozen)
            for given in (source, stored(whole, source)):
                features, padding_mask = whole(present=present, **given)
                assert torch.equal(padding_mask, expected_mask), (layer, n_frozen)
                assert torch.equal(features, expected), (layer, n_frozen)


@every_encoder
def test_layers_above_the_chosen_one_do_not_run(
    build: Callable[[Path], StagedEncoder], tmp_path: Path
) -> None:
    backbone, source = build(tmp_path).eval(), batch()
    states, _ = backbone.layers(**source)
    ModalityEncoder(backbone, "1")
    fewer, _ = backbone.layers(**source)
    assert len(fewer) == 2
    assert all(map(torch.equal, fewer, states[:2]))


@every_encoder
@pytest.mark.parametrize("n_frozen", [0, 2])
def test_what_is_frozen_has_no_gradient_and_no_dropout(
    build: Callable[[Path], StagedEncoder], n_frozen: int, tmp_path: Path
) -> None:
    backbone, source = build(tmp_path), batch()
    encoder = ModalityEncoder(backbone)
    encoder.freeze_lower(n_frozen)
    encoder.train()
    lower, padding_mask = encoder.encode_frozen(**source)
    assert not lower.requires_grad
    assert torch.equal(lower, encoder.encode_frozen(**source)[0])
    features, padding_mask = encoder.encode_upper(lower, padding_mask)
    (features[~padding_mask] * torch.randn_like(features[~padding_mask])).sum().backward()
    frozen = {p for part in encoder.frozen_modules() for p in part.parameters()}
    assert frozen
    for name, parameter in backbone.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
        assert parameter.requires_grad == (parameter not in frozen), name


@some_encoders
def test_the_gradient_of_the_front_end_is_scaled(
    build: Callable[[Path], StagedEncoder], tmp_path: Path
) -> None:
    backbone, source = build(tmp_path).eval(), batch()

    def gradients(feature_grad_mult: float) -> dict[str, Tensor]:
        backbone.zero_grad()
        backbone.feature_grad_mult = feature_grad_mult
        features, mask = backbone(**source)
        features[~mask].square().sum().backward()
        return {
            name: p.grad.clone() for name, p in backbone.named_parameters() if p.grad is not None
        }

    whole, tenth = gradients(1.0), gradients(0.1)
    front = {p for part in backbone.front_end_modules() for p in part.parameters()}
    for name, parameter in backbone.named_parameters():
        if parameter.grad is None:
            continue
        scale = 0.1 if parameter in front else 1.0
        torch.testing.assert_close(tenth[name], scale * whole[name], rtol=1e-4, atol=1e-6)


@some_encoders
def test_half_precision_leaves_the_stored_part_as_it_is(
    build: Callable[[Path], StagedEncoder], tmp_path: Path
) -> None:
    encoder, source = ModalityEncoder(build(tmp_path)), batch()
    encoder.freeze_lower(0)
    encoder.keeps_precision = True
    before = stored(encoder.eval(), source)["encoded"]
    encoder.bfloat16()
    outputs = stored(encoder, source)
    assert torch.equal(outputs["encoded"], before)
    features, _ = encoder(present=torch.ones(4, dtype=torch.bool), **outputs)
    assert features.dtype == torch.bfloat16
