"""Whisper's encoder of Hugging Face."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.encoder import Encoder, in_blocks
from emo_fairseq.pretrained.hf_files import recorded_states, transformers
from emo_fairseq.pretrained.waveforms import mask_beyond

_MEL_STRIDE = 2  # mel frames per frame of the encoder: the stride of its convolutions


class HuggingFaceWhisper(Encoder):
    """Encode a waveform by Whisper: log-mel frames of 30 seconds, padded with silence, and encoder.

    Whisper was trained on silence as padding, without a mask; the frames after the end of the audio
    are cut off.

    Args:
        config: configuration of transformers.
        front_end: settings of Whisper's feature extractor.

    Raises:
        UsageError: the frames of the feature extractor do not match the model.
    """

    def __init__(self, config: Any, front_end: Mapping[str, Any]) -> None:
        super().__init__()
        whisper = importlib.import_module(f"{transformers().__name__}.models.whisper")
        self.front_end = whisper.WhisperFeatureExtractor.from_dict(dict(front_end))
        self.hop = _MEL_STRIDE * self.front_end.hop_length
        self.max_samples = config.max_source_positions * self.hop
        expected = (config.num_mel_bins, self.max_samples)
        actual = (self.front_end.feature_size, self.front_end.n_samples)
        if expected != actual:
            raise UsageError(
                f"Whisper expects {expected[0]} mel bands of {expected[1]} samples, but its "
                f"preprocessor_config.json has {actual[0]} of {actual[1]}; fetch the model again",
                "preprocessor-mismatch",
            )
        self.model = whisper.modeling_whisper.WhisperEncoder(config)
        self.padded_input = self.max_samples
        self.embed_dim = config.d_model
        self.n_layers = config.encoder_layers

    def layers(self, waveform: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch of waveforms.

        Args:
            waveform: (B, samples) at 16 kHz.
            padding_mask: (B, samples), True = padding.

        Returns:
            See :meth:`Encoder.layers`; 50 frames a second.

        Raises:
            UsageError: a row is longer than Whisper's 30 seconds.
        """
        lengths = (~padding_mask).sum(dim=1)
        mels = self._log_mel(waveform, lengths).to(waveform)
        with recorded_states(self.model.layers) as hidden_states:
            output = self.model(mels)
        hidden_states[-1] = output.last_hidden_state  # after the final layer norm
        n_frames = torch.div(lengths + self.hop - 1, self.hop, rounding_mode="floor")
        width = int(n_frames.max())
        return [state[:, :width] for state in hidden_states], mask_beyond(n_frames, width)

    @torch.no_grad()
    def _log_mel(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Compute log-mel frames (B, mels, frames of 30 seconds) of (B, samples)."""
        if int(lengths.max()) > self.max_samples:
            rate = self.front_end.sampling_rate
            raise UsageError(
                f"audio of {int(lengths.max()) / rate:.1f} s, where this Whisper takes "
                f"{self.max_samples / rate:g} s; cut it with --max-speech-seconds "
                f"{self.max_samples / rate:g}",
                "audio-too-long",
            )
        rows = [
            row[:n].float().cpu().numpy() for row, n in zip(waveform, lengths.tolist(), strict=True)
        ]
        features: Tensor = self.front_end(
            rows,
            sampling_rate=self.front_end.sampling_rate,
            return_tensors="pt",
            device=str(waveform.device),
        )["input_features"]
        return features

    def blocks(self) -> Sequence[nn.Module]:
        model = self.model
        front = (model.conv1, model.conv2, model.embed_positions)
        return in_blocks(front, model.layers, (model.layer_norm,))
