"""wav2vec 1.0 and vq-wav2vec of fairseq: convolutions, each normalized over time."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from fairseq.models.wav2vec.wav2vec import Wav2VecConfig, Wav2VecModel
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.convolutions import parse_conv_layers, receptive_field
from emo_fairseq.modules.encoder import in_blocks
from emo_fairseq.modules.staged_encoder import StagedEncoder
from emo_fairseq.pretrained.fairseq_files import FairseqCheckpoint
from emo_fairseq.pretrained.fairseq_wav2vec2 import NORM_EPS
from emo_fairseq.pretrained.waveforms import (
    mask_beyond,
    prepare_samples,
)

NOT_TAKEN = ("wav2vec_predictions.", "project_features.")

_OPTIONS = (  # options of the configuration that define the encoder
    "activation",
    "log_compression",
    "residual_scale",
    "non_affine_group_norm",
    "skip_connections_feat",
    "skip_connections_agg",
    "agg_zero_pad",
    "no_conv_bias",
    "dropout",
    "dropout_features",
    "dropout_agg",
    "vq_type",
    "vq_vars",
    "vq_groups",
    "vq_dim",
    "vq_depth",
    "combine_groups",
    "vq_temp",
    "vq_gamma",
)
_DEFAULTS = {field.name: field.default for field in fields(Wav2VecConfig)}


class Wav2VecEncoder(StagedEncoder):
    """Encode a waveform by convolutions, quantize (vq-wav2vec), and apply causal convolutions.

    Rows are encoded one by one, since about twenty norms over time would include padding.

    Args:
        conv_layers: (channels, kernel, stride) of each convolution from samples to frames.
        aggregator_layers: (channels, kernel, stride) of each causal convolution over frames; they
            are the layers.
        options: values of `_OPTIONS`.
        normalize: whether rows are normalized to zero mean and unit variance first.
    """

    def __init__(
        self,
        conv_layers: Sequence[Sequence[int]],
        aggregator_layers: Sequence[Sequence[int]],
        options: Mapping[str, Any],
        normalize: bool,
    ) -> None:
        super().__init__()
        # fairseq evaluates the two strings as Python; those written here hold numbers only.
        model = Wav2VecModel(
            Wav2VecConfig(
                **options,
                conv_feature_layers=str([tuple(map(int, layer)) for layer in conv_layers]),
                conv_aggregator_layers=str([tuple(map(int, layer)) for layer in aggregator_layers]),
                prediction_steps=1,  # of a head that is not used
            )
        )
        self.receptive_field = receptive_field(conv_layers)
        self.norm_eps = NORM_EPS if normalize else None
        self.feature_extractor = model.feature_extractor
        self.vector_quantizer = model.vector_quantizer
        self.feature_aggregator = model.feature_aggregator
        self.dropout_feats = model.dropout_feats
        self.dropout_agg = model.dropout_agg
        if options["vq_type"] == "gumbel":
            # The final temperature: fairseq's trainer sets it before every update, and would anneal
            # it from the highest again.
            quantizer = self.vector_quantizer
            quantizer.max_temp = quantizer.curr_temp = quantizer.min_temp
        if options["vq_type"] == "kmeans":
            self.vector_quantizer.embedding.requires_grad_(False)  # no gradient passes through it
        self.embed_dim = aggregator_layers[-1][0]
        self.n_layers = len(aggregator_layers)

    def front_end_modules(self) -> Sequence[nn.Module]:
        parts = (self.feature_extractor, self.vector_quantizer)
        return [part for part in parts if part is not None]

    def front_end(self, waveform: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        return _pad([self._convolve(row) for row in self.real_samples(waveform, padding_mask)])

    def embed(self, frames: Tensor, padding_mask: Tensor) -> Tensor:
        dropped: Tensor = self.dropout_feats(frames)
        return dropped

    def run_layers(
        self, state: Tensor, padding_mask: Tensor, first: int, last: int
    ) -> list[Tensor]:
        lengths = (~padding_mask).sum(dim=1).tolist()
        rows = [
            self._aggregate_rows(row[:n].transpose(0, 1)[None], first, last)
            for row, n in zip(state, lengths, strict=True)
        ]
        return [_pad([x[0] for x in states])[0] for states in zip(*rows, strict=True)]

    def real_samples(self, waveform: Tensor, padding_mask: Tensor) -> list[Tensor]:
        """Return B rows (1, S_i) without their padding, as the input of the convolutions."""
        samples, lengths = prepare_samples(
            waveform, padding_mask, self.receptive_field, self.norm_eps
        )
        return [row[None, :n] for row, n in zip(samples, lengths.tolist(), strict=True)]

    def _convolve(self, samples: Tensor) -> Tensor:
        """Encode one row (1, S) to frames (T, C)."""
        frames = self.feature_extractor(samples)  # 1 x C x T
        if self.vector_quantizer is not None:
            frames = self.vector_quantizer(frames)["x"]
        return frames[0].transpose(0, 1)

    def _aggregate_rows(self, x: Tensor, first: int, last: int) -> list[Tensor]:
        """Run layers over rows (B, C, T) of one length to tensors (B, T, C)."""
        aggregator = self.feature_aggregator
        layers = list(zip(aggregator.residual_proj, aggregator.conv_layers, strict=True))
        states = []
        for project, convolve in layers[first:last]:
            residual, x = x, convolve(x)
            if aggregator.skip_connections:
                residual = residual if project is None else project(residual)
                x = (x + residual) * aggregator.residual_scale
            states.append(x)
        if states and last == self.n_layers:
            states[-1] = self.dropout_agg(states[-1])
        return [state.transpose(1, 2) for state in states]

    def blocks(self) -> Sequence[nn.Module]:
        # All layers have the same width, so that no residual is projected.
        front = (self.feature_extractor, self.vector_quantizer, self.dropout_feats)
        return in_blocks(front, self.feature_aggregator.conv_layers, (self.dropout_agg,))


def _pad(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return rows (T_i, C) as a batch (B, T, C), and its padding mask (B, T)."""
    batch = pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows], device=batch.device)
    return batch, mask_beyond(lengths, batch.size(1))


def architecture(checkpoint: FairseqCheckpoint) -> dict[str, Any]:
    """Return the settings from which :func:`build` builds the encoder, as plain values.

    Raises:
        UsageError: the aggregator has other layers than convolutions of stride 1 and one width.
    """
    options = {**_DEFAULTS, **checkpoint.config}
    path = str(checkpoint.file)
    conv_layers = parse_conv_layers(options["conv_feature_layers"], path)
    aggregator = parse_conv_layers(options["conv_aggregator_layers"], path)
    width = conv_layers[-1][0]
    if options["aggregator"] != "cnn" or {(dim, stride) for dim, _, stride in aggregator} != {
        (width, 1)
    }:
        raise UsageError(
            f"{path}: a wav2vec whose aggregator is not of convolutions of stride 1, as wide as "
            f"the frames ({width}), is not supported; give another checkpoint",
            "encoder-unsupported",
        )
    return {
        "conv_layers": [list(layer) for layer in conv_layers],
        "aggregator_layers": [list(layer) for layer in aggregator],
        "options": {name: options[name] for name in _OPTIONS},
        "normalize": bool(checkpoint.task.get("normalize", False)),
    }


def build(architecture: Mapping[str, Any]) -> Wav2VecEncoder:
    """Build the encoder with random weights."""
    return Wav2VecEncoder(**architecture)


def weights(checkpoint: FairseqCheckpoint, encoder: nn.Module) -> dict[str, Any]:
    """Return the weights of a checkpoint, whose names are ours."""
    return checkpoint.weights
