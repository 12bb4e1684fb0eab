"""wav2vec 2.0, HuBERT, WavLM and data2vec of Hugging Face."""

import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.convolutions import receptive_field
from emo_fairseq.modules.encoder import has_padding, in_blocks
from emo_fairseq.modules.staged_encoder import StagedEncoder
from emo_fairseq.pretrained.hf_files import models_of_transformers, transformers
from emo_fairseq.pretrained.waveforms import (
    MaskedGroupNorm,
    keep_batch_statistics,
    mask_beyond,
    prepare_samples,
)

NORM_EPS = 1e-7  # of Wav2Vec2FeatureExtractor
_WAVLM = "wavlm"


class HuggingFaceWav2Vec2(StagedEncoder):
    """Encode a waveform by a model of transformers.

    The parts of the model are called one by one, with padding masked in between: the model itself
    includes padding in its group norm, and after the first of data2vec's positional convolutions.

    Args:
        config: configuration of transformers.
        front_end: settings of its feature extractor: ``do_normalize``.

    Raises:
        UsageError: the model has an adapter of convolutions after its layers.
    """

    def __init__(self, config: Any, front_end: Mapping[str, Any]) -> None:
        super().__init__()
        if getattr(config, "add_adapter", False):
            raise UsageError(
                f"{config.model_type} with an adapter of convolutions (add_adapter) is not "
                "supported; give a model without",
                "encoder-unsupported",
            )
        self.model = models_of_transformers().AutoModel.from_config(config)
        self.norm_eps = NORM_EPS if front_end["do_normalize"] else None
        self.conv_layers = list(
            zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True)
        )
        for layer in self.model.feature_extractor.conv_layers:
            if isinstance(getattr(layer, "layer_norm", None), nn.GroupNorm):
                layer.layer_norm = MaskedGroupNorm(layer.layer_norm)
        for part in self.model.encoder.pos_conv_embed.modules():
            if isinstance(part, nn.Conv1d):
                part.register_forward_pre_hook(self._mask_padding)
        if config.model_type == _WAVLM:
            for layer in self.model.encoder.layers:
                attention = layer.attention
                # As a partial of the module: a deep copy refers to the copy then.
                attend = functools.partial(_attend_with_bias, attention)
                attention.torch_multi_head_self_attention = attend
        self._frame_mask: Tensor | None = None  # while the positional convolutions run
        # data2vec is post-norm and lacks this setting.
        self.is_pre_norm = bool(getattr(config, "do_stable_layer_norm", False))
        self.embed_dim = config.hidden_size
        self.n_layers = config.num_hidden_layers

    def _mask_padding(self, conv: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor]:
        (x,) = arguments  # B x C x T
        assert self._frame_mask is not None
        return (x.masked_fill(self._frame_mask[:, None], 0.0),)

    def train(self, mode: bool = True) -> "HuggingFaceWav2Vec2":
        super().train(mode)
        keep_batch_statistics(self)
        return self

    def front_end_modules(self) -> Sequence[nn.Module]:
        return (self.model.feature_extractor,)

    def front_end(self, waveform: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        samples, lengths = prepare_samples(
            waveform, padding_mask, receptive_field(self.conv_layers), self.norm_eps
        )
        frames, lengths = self._convolve(samples, lengths)
        return frames, mask_beyond(lengths, frames.size(1))

    def embed(self, frames: Tensor, padding_mask: Tensor) -> Tensor:
        projected = self.model.feature_projection(frames)
        # HuBERT returns a tensor.
        state = projected[0] if isinstance(projected, tuple) else projected
        encoder = self.model.encoder
        state = state.masked_fill(padding_mask[:, :, None], 0.0)
        self._frame_mask = padding_mask
        state = state + encoder.pos_conv_embed(state)
        self._frame_mask = None
        if not self.is_pre_norm:
            state = encoder.layer_norm(state)
        dropped: Tensor = encoder.dropout(state)
        return dropped

    def run_layers(
        self, state: Tensor, padding_mask: Tensor, first: int, last: int
    ) -> list[Tensor]:
        encoder = self.model.encoder
        arguments = self._attention_arguments(state, padding_mask, first)
        states = []
        for layer in encoder.layers[first:last]:
            output = layer(state, **arguments)
            if isinstance(output, tuple):  # WavLM: the position bias of its first layer, for all
                state, arguments["position_bias"] = output
            else:
                state = output
            states.append(state)
        if self.is_pre_norm and states and last == self.n_layers:
            states[-1] = encoder.layer_norm(states[-1])
        return states

    def _attention_arguments(
        self, state: Tensor, padding_mask: Tensor, first: int
    ) -> dict[str, Any]:
        """Return what the attention of the layers takes beside the state (B, T, C)."""
        # Without a mask, attention has faster kernels.
        real = ~padding_mask if has_padding(padding_mask) else None
        if self.model.config.model_type != _WAVLM:
            self._choose_attention(state, first)
            if real is not None and state.device.type != "cpu":
                # transformers checks for padding, for which the host would wait.
                return {"attention_mask": real[:, None, None]}
            mask = _masking().create_bidirectional_mask(
                config=self.model.config, inputs_embeds=state, attention_mask=real
            )
            return {"attention_mask": mask}
        bias = None
        if first:  # only the first layer can compute it
            n_rows, width, _ = state.shape
            bias = self.model.encoder.layers[0].attention.compute_bias(width, width)
            bias = bias.repeat(n_rows, 1, 1)  # (B x heads, T, T)
        return {"attention_mask": real, "position_bias": bias}

    def _choose_attention(self, state: Tensor, first: int) -> None:
        """Choose the implementation of the attention that is fastest for this batch.

        torch's fused attention has no dropout on CPUs: it falls back to steps in single precision,
        also for bfloat16. Those that transformers writes out keep the precision.
        """
        config = self.model.config
        drops = config.attention_dropout > 0 and self.model.encoder.layers[first].training
        by_steps = drops and state.device.type == "cpu"
        config._attn_implementation = "eager" if by_steps else "sdpa"

    def _convolve(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve (B, samples) to frames (B, T, channels), and return their lengths (B,)."""
        x = samples[:, None]  # B x channels x T
        layers = self.model.feature_extractor.conv_layers
        for layer, (_, kernel, stride) in zip(layers, self.conv_layers, strict=True):
            lengths = (lengths - kernel) // stride + 1
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, MaskedGroupNorm):
                x = layer.activation(norm(layer.conv(x), lengths))
            else:
                x = layer(x)
        return x.transpose(1, 2), lengths

    def blocks(self) -> Sequence[nn.Module]:
        encoder = self.model.encoder
        front = (
            self.model.feature_extractor,
            self.model.feature_projection,
            encoder.pos_conv_embed,
            encoder.dropout,
        )
        if self.is_pre_norm:
            return in_blocks(front, encoder.layers, (encoder.layer_norm,))
        return in_blocks((*front, encoder.layer_norm), encoder.layers)


def _attend_with_bias(
    attention: Any, state: Tensor, real: Tensor | None, bias: Tensor
) -> tuple[Tensor, None]:
    """Attend as WavLM does, by torch's fused attention, which returns no weights.

    Args:
        attention: a ``WavLMAttention``.
        state: (B, T, C).
        real: (B, T), False = padding; None = there is none.
        bias: (B x heads, T, T), added to the scores.

    Returns:
        (B, T, C), and None in place of the weights.
    """
    n_rows, width, _ = state.shape
    bias = bias.view(n_rows, attention.num_heads, width, width)
    if real is not None:
        bias = bias.masked_fill(~real[:, None, None], float("-inf"))

    def heads(x: Tensor) -> Tensor:
        return x.view(n_rows, width, attention.num_heads, -1).transpose(1, 2)  # B x H x T x C / H

    attended = nn.functional.scaled_dot_product_attention(
        heads(attention.q_proj(state)),
        heads(attention.k_proj(state)),
        heads(attention.v_proj(state)),
        attn_mask=bias,
        dropout_p=attention.dropout if attention.training else 0.0,
    )
    return attention.out_proj(attended.transpose(1, 2).flatten(2)), None


def _masking() -> Any:
    return importlib.import_module(f"{transformers().__name__}.masking_utils")
