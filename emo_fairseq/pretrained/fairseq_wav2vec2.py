"""wav2vec 2.0, HuBERT and data2vec of fairseq, which share one architecture."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from fairseq.models.wav2vec.wav2vec2 import TransformerEncoder, Wav2Vec2Config
from fairseq.modules import LayerNorm
from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.convolutions import parse_conv_layers, receptive_field
from emo_fairseq.modules.encoder import in_blocks
from emo_fairseq.modules.staged_encoder import StagedEncoder
from emo_fairseq.modules.wav2vec2_transformer import embed_frames, run_transformer_layers
from emo_fairseq.pretrained.fairseq_convolutions import build_convolutions, convolve
from emo_fairseq.pretrained.fairseq_files import FairseqCheckpoint
from emo_fairseq.pretrained.waveforms import (
    keep_batch_statistics,
    mask_beyond,
    prepare_samples,
)

NOT_TAKEN = (
    "mask_emb",
    "final_proj.",
    "target_glu.",
    "quantizer.",
    "project_q.",  # wav2vec 2.0
    "label_embs_concat",  # HuBERT
    "_ema",  # data2vec's teacher
)
NORM_EPS = 1e-5  # default of torch's layer_norm, by which fairseq normalizes samples

_PROJECTION = "post_extract_proj.weight"
_OPTIONS = (  # options of the configuration that define the encoder
    "extractor_mode",
    "conv_bias",
    "conv_pos",
    "conv_pos_groups",
    "pos_conv_depth",
    "conv_pos_batch_norm",
    "encoder_layers",
    "encoder_embed_dim",
    "encoder_ffn_embed_dim",
    "encoder_attention_heads",
    "activation_fn",
    "layer_norm_first",
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "dropout_input",
)
_DEFAULTS = {field.name: field.default for field in fields(Wav2Vec2Config)} | {
    "conv_pos_batch_norm": False  # of HuBERT only
}
_BUILT_OTHERWISE: Mapping[str, Any] = {"quantize_input": False, "layer_type": "transformer"}


class Wav2Vec2Encoder(StagedEncoder):
    """Encode a waveform by convolutions and a transformer.

    Args:
        conv_layers: (channels, kernel, stride) of each convolution.
        options: values of `_OPTIONS`.
        has_projection: whether there is a linear layer between convolutions and transformer.
        normalize: whether rows are normalized to zero mean and unit variance first.
    """

    def __init__(
        self,
        conv_layers: Sequence[Sequence[int]],
        options: Mapping[str, Any],
        has_projection: bool,
        normalize: bool,
    ) -> None:
        super().__init__()
        config = Wav2Vec2Config(
            **{name: value for name, value in options.items() if name != "conv_pos_batch_norm"}
        )
        config.conv_pos_batch_norm = options["conv_pos_batch_norm"]
        self.conv_layers = [(width, kernel, stride) for width, kernel, stride in conv_layers]
        self.norm_eps = NORM_EPS if normalize else None
        self.feature_extractor = build_convolutions(
            self.conv_layers, config.extractor_mode, config.conv_bias
        )
        channels = self.conv_layers[-1][0]
        self.layer_norm = LayerNorm(channels)
        self.post_extract_proj = (
            nn.Linear(channels, config.encoder_embed_dim) if has_projection else None
        )
        self.dropout_input = nn.Dropout(config.dropout_input)
        self.encoder = TransformerEncoder(config)
        self.embed_dim = config.encoder_embed_dim
        self.n_layers = config.encoder_layers

    def train(self, mode: bool = True) -> "Wav2Vec2Encoder":
        super().train(mode)
        keep_batch_statistics(self)
        return self

    def front_end_modules(self) -> Sequence[nn.Module]:
        return (self.feature_extractor,)

    def front_end(self, waveform: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        samples, lengths = prepare_samples(
            waveform, padding_mask, receptive_field(self.conv_layers), self.norm_eps
        )
        frames, lengths = convolve(self.feature_extractor, self.conv_layers, samples, lengths)
        return frames, mask_beyond(lengths, frames.size(1))

    def embed(self, frames: Tensor, padding_mask: Tensor) -> Tensor:
        frames = self.layer_norm(frames)
        if self.post_extract_proj is not None:
            frames = self.post_extract_proj(frames)
        return embed_frames(self.encoder, self.dropout_input(frames), padding_mask)

    def run_layers(
        self, state: Tensor, padding_mask: Tensor, first: int, last: int
    ) -> list[Tensor]:
        return run_transformer_layers(self.encoder, state, padding_mask, first, last)

    def blocks(self) -> Sequence[nn.Module]:
        front = (
            self.feature_extractor,
            self.layer_norm,
            self.post_extract_proj,
            self.dropout_input,
            self.encoder.pos_conv,
        )
        norm = (self.encoder.layer_norm,)
        if self.encoder.layer_norm_first:
            return in_blocks(front, self.encoder.layers, norm)
        return in_blocks((*front, *norm), self.encoder.layers)


def architecture(checkpoint: FairseqCheckpoint) -> dict[str, Any]:
    """Return the settings from which :func:`build` builds the encoder, as plain values.

    Raises:
        UsageError: the model is a conformer, or its input is quantized.
    """
    options = {**_DEFAULTS, **checkpoint.config}
    for name, usual in _BUILT_OTHERWISE.items():
        if options[name] != usual:
            raise UsageError(
                f"{checkpoint.file}: a {checkpoint.model} with {name} = {options[name]}, which is "
                f"not supported; give one with {usual}",
                "encoder-unsupported",
            )
    return {
        "conv_layers": [
            list(layer)
            for layer in parse_conv_layers(options["conv_feature_layers"], str(checkpoint.file))
        ],
        "options": {name: options[name] for name in _OPTIONS},
        "has_projection": _PROJECTION in checkpoint.weights,
        "normalize": bool(checkpoint.task.get("normalize", False)),
    }


def build(architecture: Mapping[str, Any]) -> Wav2Vec2Encoder:
    """Build the encoder with random weights."""
    return Wav2Vec2Encoder(**architecture)


def weights(checkpoint: FairseqCheckpoint, encoder: nn.Module) -> dict[str, Any]:
    """Return the weights of a checkpoint, whose names are ours."""
    return checkpoint.weights
