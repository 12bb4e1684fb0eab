"""Whisper's encoder of Hugging Face."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emo_fairseq.encoder_spec import WHISPER_FULL, WHISPER_KEPT, WHISPER_NONE
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.encoder import Encoder, in_blocks
from emo_fairseq.pretrained.hf_files import models_of_transformers
from emo_fairseq.pretrained.waveforms import mask_beyond

_MEL_STRIDE = 2  # mel frames per frame of the encoder: the stride of its convolutions
LEAST_POWER = 1e-10  # of a mel band, that of silence
DYNAMIC_RANGE = 8.0  # of the log-mel frames of a recording, in powers of ten


class HuggingFaceWhisper(Encoder):
    """Encode a waveform by Whisper: log-mel frames, two convolutions and a transformer.

    Whisper was trained on 30 seconds, of which the end is silence without a mask. With padding
    ``full`` every recording is encoded like that, and the frames after its end are cut off. With
    ``none`` the transformer reads the frames of the recording alone; a recording of 30 seconds has
    the same features either way, and so has the input of the first layer at any length. With
    ``kept`` every recording has the frames of 30 seconds, those of silence among them, over all of
    which the classifiers of transformers average.

    Raises:
        UsageError: the settings of the feature extractor do not match the model, or make the
            features random.
    """

    def __init__(
        self, config: Any, front_end: Mapping[str, Any], padding: str = WHISPER_FULL
    ) -> None:
        super().__init__()
        whisper = importlib.import_module(f"{models_of_transformers().__name__}.models.whisper")
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
        if getattr(self.front_end, "dither", 0.0):
            raise UsageError(
                f"Whisper's preprocessor_config.json has dither {self.front_end.dither:g}, noise "
                "that makes other features of a recording every time; set it to 0",
                "preprocessor-mismatch",
            )
        self.model = whisper.modeling_whisper.WhisperEncoder(config)
        self.is_padded = padding != WHISPER_NONE
        self.keeps_padding = padding == WHISPER_KEPT
        self.max_frames = config.max_source_positions
        self.padded_input = self.max_samples if self.is_padded else 0
        self.embed_dim = config.d_model
        self.n_layers = config.encoder_layers

    def layers(self, waveform: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch of waveforms.

        Args:
            waveform: (B, samples) at 16 kHz.
            padding_mask: (B, samples), True = padding.

        Returns:
            See :meth:`Encoder.layers`; 50 frames a second. Layers above :attr:`top_layer` are left
            out.

        Raises:
            UsageError: a row is longer than Whisper's 30 seconds.
        """
        lengths = (~padding_mask).sum(dim=1).tolist()
        self._check_length(max(lengths))
        n_frames = [self._n_frames(length) for length in lengths]
        width = max(n_frames)
        frame_mask = mask_beyond(torch.tensor(n_frames, device=waveform.device), width)
        mels = self._log_mel(waveform.masked_fill(padding_mask, 0.0), width)
        x = self._convolve(mels.to(waveform), width)
        is_masked = not self.is_padded and min(n_frames) < width
        attention_mask = attention_mask_of(frame_mask, x.dtype) if is_masked else None
        return [state[:, :width] for state in self._run_layers(x, attention_mask)], frame_mask

    def _n_frames(self, n_samples: int) -> int:
        return self.max_frames if self.keeps_padding else -(-n_samples // self.hop)

    def _run_layers(self, x: Tensor, attention_mask: Tensor | None) -> list[Tensor]:
        """Return the input of the first layer and the outputs of those that run, (B, T, C) each."""
        n_layers = self.n_layers if self.top_layer is None else self.top_layer
        hidden_states = [x]
        for layer in self.model.layers[:n_layers]:
            output = layer(x, attention_mask)
            x = output[0] if isinstance(output, tuple) else output
            hidden_states.append(x)
        if n_layers == self.n_layers:
            hidden_states[-1] = self.model.layer_norm(x)
        return hidden_states

    def _check_length(self, n_samples: int) -> None:
        if n_samples > self.max_samples:
            rate = self.front_end.sampling_rate
            raise UsageError(
                f"audio of {n_samples / rate:.1f} s, where this Whisper takes "
                f"{self.max_samples / rate:g} s; cut it with --max-speech-seconds "
                f"{self.max_samples / rate:g}",
                "audio-too-long",
            )

    @torch.no_grad()
    def _log_mel(self, waveform: Tensor, width: int) -> Tensor:
        """Compute the log-mel frames of Whisper's feature extractor.

        Its lower limit is relative to the loudest band of the 30 seconds. That is among the frames
        which overlap the recording, since those after it hold silence, the least that there is. So
        only these are computed, and all others are filled in.

        Args:
            waveform: (B, samples), 0 in padding.
            width: frames of the encoder that the longest row has.

        Returns:
            (B, bands, T) float32: T is that of 30 seconds with padding; without, that of the
            longest row and two frames of silence, which its last convolutions read.
        """
        extractor = self.front_end
        n_in_all = self.max_samples // extractor.hop_length
        n_mels = min(_MEL_STRIDE * width + 2, n_in_all)
        samples = waveform[:, : n_mels * extractor.hop_length].float()
        samples = nn.functional.pad(samples, (0, n_mels * extractor.hop_length - samples.size(1)))
        filters = torch.from_numpy(extractor.mel_filters).to(samples)  # n_fft / 2 + 1 x bands
        window = torch.hann_window(extractor.n_fft, device=samples.device)
        with torch.autocast(samples.device.type, enabled=False):
            spectrum = torch.stft(
                samples, extractor.n_fft, extractor.hop_length, window=window, return_complex=True
            )
            power = filters.T @ (spectrum[..., :-1].abs() ** 2).contiguous()  # B x bands x T
        logs = power.clamp(min=LEAST_POWER).log10()
        lowest = logs.amax(dim=(1, 2), keepdim=True) - DYNAMIC_RANGE
        n_silent = n_in_all - n_mels if self.is_padded else 0
        silence = logs.new_full((1,), LEAST_POWER).log10().expand(*logs.shape[:2], n_silent)
        return (torch.maximum(torch.cat([logs, silence], dim=2), lowest) + 4.0) / 4.0

    def _convolve(self, mels: Tensor, width: int) -> Tensor:
        """Convolve (B, bands, T) to the input (B, T / 2, C) of the first layer, with positions.

        Without padding T / 2 becomes `width`: what the convolutions make of the silence after the
        longest row is cut off.
        """
        model = self.model
        x = nn.functional.gelu(model.conv1(mels))
        x = nn.functional.gelu(model.conv2(x)).transpose(1, 2)
        x = x if self.is_padded else x[:, :width]
        x = x + model.embed_positions.weight[: x.size(1)]
        return nn.functional.dropout(x, p=model.dropout, training=self.training)

    def blocks(self) -> Sequence[nn.Module]:
        model = self.model
        front = (model.conv1, model.conv2, model.embed_positions)
        return in_blocks(front, model.layers, (model.layer_norm,))


def attention_mask_of(frame_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to attention scores (B, 1, 1, T): 0, or the lowest number in padding."""
    lowest = torch.finfo(dtype).min
    return torch.zeros_like(frame_mask, dtype=dtype).masked_fill(frame_mask, lowest)[:, None, None]
