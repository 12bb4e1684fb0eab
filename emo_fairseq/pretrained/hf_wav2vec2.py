"""wav2vec 2.0, HuBERT, WavLM and data2vec of Hugging Face."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.convolutions import receptive_field
from emo_fairseq.modules.encoder import Encoder, in_blocks
from emo_fairseq.pretrained.hf_files import recorded_states, transformers
from emo_fairseq.pretrained.waveforms import (
    MaskedGroupNorm,
    keep_batch_statistics,
    mask_beyond,
    prepare_samples,
)

NORM_EPS = 1e-7  # of Wav2Vec2FeatureExtractor


class HuggingFaceWav2Vec2(Encoder):
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
        self.model = transformers().AutoModel.from_config(config)
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
        self._frame_mask: Tensor | None = None  # while the positional convolutions run
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

    def layers(self, waveform: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch of waveforms.

        Args:
            waveform: (B, samples) at 16 kHz.
            padding_mask: (B, samples), True = padding.

        Returns:
            See :meth:`Encoder.layers`.
        """
        samples, lengths = prepare_samples(
            waveform, padding_mask, receptive_field(self.conv_layers), self.norm_eps
        )
        frames, lengths = self._convolve(samples, lengths)
        projected = self.model.feature_projection(frames)
        frames = (
            projected[0] if isinstance(projected, tuple) else projected
        )  # HuBERT returns a tensor
        frame_mask = mask_beyond(lengths, frames.size(1))
        self._frame_mask = frame_mask
        with recorded_states(self.model.encoder.layers) as hidden_states:
            output = self.model.encoder(frames, attention_mask=~frame_mask)
        self._frame_mask = None
        hidden_states[-1] = output.last_hidden_state  # after the final layer norm, if there is one
        return hidden_states, frame_mask

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
        )
        # data2vec is post-norm and lacks this setting.
        if getattr(self.model.config, "do_stable_layer_norm", False):
            return in_blocks(front, encoder.layers, (encoder.layer_norm,))
        return in_blocks((*front, encoder.layer_norm), encoder.layers)
