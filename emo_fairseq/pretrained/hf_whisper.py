"""Whisper's encoder, of Hugging Face."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.encoder import Encoder, in_blocks
from emo_fairseq.pretrained.hf_files import recorded_states, transformers
from emo_fairseq.pretrained.waveforms import mask_beyond

_FRAMES_OF_MEL = 2  # that one frame of the encoder is made of: the stride of its convolutions


class HuggingFaceWhisper(Encoder):
    """Whisper's own log-mel frames of its 30 seconds, silence behind the audio, then its encoder.

    Whisper was trained to hear the silence, which is why there is no mask inside it; the frames
    behind the audio are cut off.

    Args:
        config: of transformers.
        front_end: settings of Whisper's feature extractor.

    Raises:
        UsageError: the feature extractor's frames are not those that the model asks for.
    """

    def __init__(self, config: Any, front_end: Mapping[str, Any]) -> None:
        super().__init__()
        whisper = importlib.import_module(f"{transformers().__name__}.models.whisper")
        self.front_end = whisper.WhisperFeatureExtractor.from_dict(dict(front_end))
        self.hop = _FRAMES_OF_MEL * self.front_end.hop_length
        self.max_samples = config.max_source_positions * self.hop
        asked = (config.num_mel_bins, self.max_samples)
        given = (self.front_end.feature_size, self.front_end.n_samples)
        if asked != given:
            raise UsageError(
                f"Whisper asks for {asked[0]} mel bands of {asked[1]} samples, but its "
                f"preprocessor_config.json makes {given[0]} of {given[1]}; fetch the model again",
                "preprocessor-mismatch",
            )
        self.model = whisper.modeling_whisper.WhisperEncoder(config)
        self.padded_input = self.max_samples
        self.embed_dim = config.d_model
        self.n_layers = config.encoder_layers

    def layers(self, waveform: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode.

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
        with recorded_states(self.model.layers) as found:
            output = self.model(mels)
        found[-1] = output.last_hidden_state  # behind the final layer norm
        n_frames = torch.div(lengths + self.hop - 1, self.hop, rounding_mode="floor")
        width = int(n_frames.max())
        return [state[:, :width] for state in found], mask_beyond(n_frames, width)

    @torch.no_grad()
    def _log_mel(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """(B, samples) -> (B, mels, frames of 30 seconds)."""
        if int(lengths.max()) > self.max_samples:
            rate = self.front_end.sampling_rate
            raise UsageError(
                f"audio of {int(lengths.max()) / rate:.1f} s, where this Whisper hears "
                f"{self.max_samples / rate:g} s; cut it with --max-speech-seconds "
                f"{self.max_samples / rate:g}",
                "audio-too-long",
            )
        rows = [
            row[:n].float().cpu().numpy() for row, n in zip(waveform, lengths.tolist(), strict=True)
        ]
        found: Tensor = self.front_end(
            rows,
            sampling_rate=self.front_end.sampling_rate,
            return_tensors="pt",
            device=str(waveform.device),
        )["input_features"]
        return found

    def blocks(self) -> Sequence[nn.Module]:
        model = self.model
        front = (model.conv1, model.conv2, model.embed_positions)
        return in_blocks(front, model.layers, (model.layer_norm,))
