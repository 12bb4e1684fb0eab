"""data2vec 2.0 of fairseq (`data2vec_multi`), and emotion2vec, which is built on it: audio.

Baevski et al. 2022, "Efficient Self-supervised Learning with Contextualized Target Representations
for Vision, Speech and Language" (arXiv:2212.07525); Ma et al. 2023, "emotion2vec: Self-Supervised
Pre-Training for Speech Emotion Representation" (arXiv:2312.15185), which adds extra tokens for the
utterance. fairseq has the model among its examples, which Python 3.11 does not import; so the audio
branch is built here.

    samples ─convolutions─▶ frames ─norm, linear─▶ + positional convolutions ─▶ extra tokens, frames
            ─norm (post-norm models)─▶ layers of the branch ─▶ layers of all modalities
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, pad

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.alibi_transformer import AlibiBias, AlibiLayer
from emo_fairseq.modules.convolutions import parse_conv_layers, receptive_field
from emo_fairseq.modules.encoder import has_padding, in_blocks
from emo_fairseq.modules.staged_encoder import StagedEncoder
from emo_fairseq.pretrained.fairseq_convolutions import build_convolutions, convolve
from emo_fairseq.pretrained.fairseq_files import FairseqCheckpoint
from emo_fairseq.pretrained.fairseq_wav2vec2 import NORM_EPS
from emo_fairseq.pretrained.waveforms import mask_beyond, prepare_samples

NOT_TAKEN = (
    "_ema",  # the teacher
    "modality_encoders.AUDIO.decoder.",
    "modality_encoders.IMAGE.",
    "modality_encoders.TEXT.",
    "shared_decoder.",
    "recon_proj.",
)

_BRANCH = "modality_encoders.AUDIO."
_MODEL_DEFAULTS: Mapping[str, Any] = {  # of Data2VecMultiConfig
    "depth": 8,
    "num_heads": 12,
    "norm_eps": 1e-6,
    "norm_affine": True,
    "encoder_dropout": 0.1,
    "post_mlp_drop": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.0,
    "dropout_input": 0.0,
    "embed_dim": 768,
    "mlp_ratio": 4.0,
    "layer_norm_first": False,
}
_AUDIO_DEFAULTS: Mapping[str, Any] = {  # of D2vAudioConfig
    "extractor_mode": "layer_norm",
    "feature_encoder_spec": "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] + [(512,2,2)]",
    "conv_pos_width": 95,
    "conv_pos_groups": 16,
    "conv_pos_depth": 5,
    "conv_pos_pre_ln": False,
    "prenet_depth": 4,
    "prenet_dropout": 0.0,
    "num_extra_tokens": 0,
    "use_alibi_encoder": False,
    "learned_alibi": False,
    "learned_alibi_scale": False,
    "learned_alibi_scale_per_head": False,
    "learned_alibi_scale_per_layer": False,
    "num_alibi_heads": None,  # that is, all
}
_BUILT_OTHERWISE = ("learned_alibi", "conv_pos_pre_ln")


class _ExtraTokens(nn.Module):
    """Replace the first positions of a state (B, T, C) by learned vectors."""

    def __init__(self, n_tokens: int, embed_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, n_tokens, embed_dim))

    def forward(self, state: Tensor) -> Tensor:
        tokens = self.weight.expand(len(state), -1, -1)
        return torch.cat([tokens, state[:, tokens.size(1) :]], dim=1)


class Data2Vec2Encoder(StagedEncoder):
    """Encode a waveform by convolutions and layers that attend by distance.

    LayerDrop and stochastic depth are not applied; the released models have none or little.

    Args:
        conv_layers: (channels, kernel, stride) of each convolution over samples.
        options: of the model, see :func:`architecture`.
        normalize: whether rows are normalized to zero mean and unit variance first.
    """

    def __init__(
        self,
        conv_layers: Sequence[Sequence[int]],
        options: Mapping[str, Any],
        normalize: bool,
    ) -> None:
        super().__init__()
        self.conv_layers = [(width, kernel, stride) for width, kernel, stride in conv_layers]
        self.norm_eps = NORM_EPS if normalize else None
        channels, width = self.conv_layers[-1][0], options["embed_dim"]
        eps, affine = options["norm_eps"], options["norm_affine"]
        pre_norm = options["layer_norm_first"]
        self.embed_dim = width
        self.n_branch_layers = options["prenet_depth"]
        self.n_layers = self.n_branch_layers + options["depth"]
        self.n_extra_tokens = options["num_extra_tokens"]
        self.feature_extractor = build_convolutions(
            self.conv_layers, options["extractor_mode"], bias=False
        )
        self.feature_norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels, width)
        depth = options["conv_pos_depth"]
        kernel = max(3, options["conv_pos_width"] // depth)
        self.positional_convs = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=options["conv_pos_groups"])
            for _ in range(depth)
        )
        self.extra_tokens = (
            _ExtraTokens(self.n_extra_tokens, width) if self.n_extra_tokens else None
        )
        self.embed_norm = None if pre_norm else nn.LayerNorm(width, eps, affine)
        self.embed_dropout = nn.Dropout(options["prenet_dropout"])
        self.alibi = _alibi(options, self.n_layers) if options["use_alibi_encoder"] else None
        self.transformer_layers = nn.ModuleList(
            AlibiLayer(
                width,
                int(width * options["mlp_ratio"]),
                options["num_heads"],
                eps,
                affine,
                pre_norm,
                # before the first layer of all modalities
                nn.Dropout(options["dropout_input"])
                if number == self.n_branch_layers
                else nn.Identity(),
                dropout=options["encoder_dropout"],
                attention_dropout=options["attention_dropout"],
                activation_dropout=options["activation_dropout"],
                post_mlp_dropout=options["post_mlp_dropout"],
            )
            for number in range(self.n_layers)
        )
        self.final_norm = nn.LayerNorm(width, eps, affine) if pre_norm else None

    def front_end_modules(self) -> Sequence[nn.Module]:
        return (self.feature_extractor,)

    def front_end(self, waveform: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        samples, lengths = prepare_samples(
            waveform, padding_mask, receptive_field(self.conv_layers), self.norm_eps
        )
        frames, lengths = convolve(self.feature_extractor, self.conv_layers, samples, lengths)
        n_extra = self.n_extra_tokens
        frame_mask = mask_beyond(n_extra + lengths, n_extra + frames.size(1))
        return pad(frames, (0, 0, n_extra, 0)), frame_mask

    def embed(self, frames: Tensor, padding_mask: Tensor) -> Tensor:
        n_extra = self.n_extra_tokens
        x = self.project(self.feature_norm(frames[:, n_extra:]))
        x = x.masked_fill(padding_mask[:, n_extra:, None], 0.0)
        x = x + self._positions(x, padding_mask[:, n_extra:])
        if self.extra_tokens is not None:
            x = self.extra_tokens(pad(x, (0, 0, n_extra, 0)))
        if self.embed_norm is not None:
            x = self.embed_norm(x)
        dropped: Tensor = self.embed_dropout(x)
        return dropped

    def _positions(self, x: Tensor, padding_mask: Tensor) -> Tensor:
        """Convolve (B, T, C) over time; padding is set to 0 before each convolution."""
        width = x.size(1)
        for conv in self.positional_convs:
            x = conv(x.masked_fill(padding_mask[:, :, None], 0.0).transpose(1, 2))
            x = x[:, :, :width].transpose(1, 2)  # an even kernel returns one frame more
            x = gelu(layer_norm(x, x.shape[-1:]))
        return x

    def run_layers(
        self, state: Tensor, padding_mask: Tensor, first: int, last: int
    ) -> list[Tensor]:
        bias = state.new_zeros(1, 1, 1, 1)
        if has_padding(padding_mask):
            bias = bias.masked_fill(padding_mask[:, None, None], float("-inf"))
        states, x = [], state
        for number, layer in enumerate(self.transformer_layers[first:last], first + 1):
            scores = bias
            if self.alibi is not None:
                scores = bias + self.alibi(state.size(1), self.n_extra_tokens, number)
            x = layer(x, scores)
            states.append(x)
        if self.final_norm is not None and states and last == self.n_layers:
            states[-1] = self.final_norm(states[-1])
        return states

    def blocks(self) -> Sequence[nn.Module]:
        front = (
            self.feature_extractor,
            self.feature_norm,
            self.project,
            self.positional_convs,
            self.extra_tokens,
            self.embed_norm,
            self.embed_dropout,
            self.alibi,
        )
        return in_blocks(front, self.transformer_layers, (self.final_norm,))


def _alibi(options: Mapping[str, Any], n_layers: int) -> AlibiBias:
    n_heads, n_biased = options["num_heads"], options["num_alibi_heads"]
    scale_shape = (
        n_layers if options["learned_alibi_scale_per_layer"] else 1,
        1,
        n_biased if options["learned_alibi_scale_per_head"] else 1,
        1,
        1,
    )
    return AlibiBias(n_heads, n_biased, scale_shape, options["learned_alibi_scale"])


def architecture(checkpoint: FairseqCheckpoint) -> dict[str, Any]:
    """Return the settings from which :func:`build` builds the encoder, as plain values.

    Raises:
        UsageError: the model has no audio branch, or one that is not supported.
    """
    if not any(name.startswith(_BRANCH) for name in checkpoint.weights):
        raise UsageError(
            f"{checkpoint.file}: a {checkpoint.model} without the weights of an audio branch "
            f"({_BRANCH}*); give one that was trained on audio",
            "encoder-modality",
        )
    branch = (checkpoint.config.get("modalities") or {}).get("audio") or {}
    audio = {name: branch.get(name, default) for name, default in _AUDIO_DEFAULTS.items()}
    for name in _BUILT_OTHERWISE:
        if audio.pop(name):
            raise UsageError(
                f"{checkpoint.file}: a {checkpoint.model} with {name}, which is not supported; "
                "give one without",
                "encoder-unsupported",
            )
    model = {name: checkpoint.config.get(name, value) for name, value in _MODEL_DEFAULTS.items()}
    conv_layers = parse_conv_layers(audio.pop("feature_encoder_spec"), str(checkpoint.file))
    if not isinstance(audio["num_alibi_heads"], int):  # a reference to the option of the model
        audio["num_alibi_heads"] = model["num_heads"]
    # Under the word by which EncoderSpec.with_dropout finds it.
    model["post_mlp_dropout"] = model.pop("post_mlp_drop")
    # The task of several modalities has the options of that of audio inside.
    task = checkpoint.task.get("audio") or checkpoint.task
    return {
        "conv_layers": [list(layer) for layer in conv_layers],
        "options": {**model, **audio},
        "normalize": bool(task.get("normalize", False)),
    }


def build(architecture: Mapping[str, Any]) -> Data2Vec2Encoder:
    """Build the encoder with random weights."""
    return Data2Vec2Encoder(**architecture)


# Prefixes of names in a checkpoint, without that of the branch, and what they are here.
_RENAMED: Mapping[str, str] = {
    "local_encoder.": "feature_extractor.",
    "project_features.1.": "feature_norm.",
    "project_features.2.": "project.",
    "context_encoder.norm.": "embed_norm.",
    "context_encoder.blocks.": "transformer_layers.",
    "norm.": "final_norm.",
}
_RENAMED_IN_LAYERS: Mapping[str, str] = {
    ".attn.proj.": ".out_proj.",
    ".mlp.fc1.": ".fc1.",
    ".mlp.fc2.": ".fc2.",
}


def weights(checkpoint: FairseqCheckpoint, encoder: nn.Module) -> dict[str, Any]:
    """Return the weights of a checkpoint under our names, those of q, k and v apart.

    LoRA finds the layers by these names.
    """
    assert isinstance(encoder, Data2Vec2Encoder)
    n_branch_layers = encoder.n_branch_layers
    renamed: dict[str, Any] = {}
    for name, value in checkpoint.weights.items():
        if name.startswith(NOT_TAKEN):
            renamed[name] = value
        else:
            renamed |= _rename(name.removeprefix(_BRANCH), value, n_branch_layers)
    return renamed


def _rename(name: str, value: Tensor, n_branch_layers: int) -> dict[str, Tensor]:
    """Return a weight under our name; three of one that q, k and v have in common."""
    if name == "extra_tokens":
        return {"extra_tokens.weight": value}
    if name == "alibi_scale":  # its first axis, of layers, is missing in early checkpoints
        return {"alibi.scale": value if value.ndim == 5 else value[None]}
    first, _, rest = name.partition(".")
    if first == "relative_positional_encoder":
        number, _, kind = rest.partition(".0.")  # its first part only changes the axes
        return {f"positional_convs.{int(number) - 1}.{kind}": value}
    if first == "blocks":
        number, _, part = rest.partition(".")
        name = f"transformer_layers.{int(number) + n_branch_layers}.{part}"
    for prefix, own in _RENAMED.items():
        if name.startswith(prefix):
            name = own + name.removeprefix(prefix)
    for part, own in _RENAMED_IN_LAYERS.items():
        name = name.replace(part, own)
    if ".attn.qkv." in name:
        parts = zip("qkv", value.chunk(3), strict=True)
        return {name.replace(".attn.qkv.", f".{part}_proj."): rows for part, rows in parts}
    return {name: value}
