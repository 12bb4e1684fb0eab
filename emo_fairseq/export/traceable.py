"""Replace what an export would fix to one batch, or refuse."""

from typing import Any

import numpy as np
import torch
from fairseq.modules.sinusoidal_positional_embedding import SinusoidalPositionalEmbedding
from fairseq.utils import make_positions
from torch import Tensor, nn

from emo_fairseq.modules.lora import merge_lora
from emo_fairseq.modules.token_encoder import TokenEncoder
from emo_fairseq.pretrained.fairseq_wav2vec import Wav2VecEncoder
from emo_fairseq.pretrained.hf_clips import HuggingFaceClips
from emo_fairseq.pretrained.hf_images import HuggingFaceImages
from emo_fairseq.pretrained.hf_whisper import (
    DYNAMIC_RANGE,
    LEAST_POWER,
    HuggingFaceWhisper,
    attention_mask_of,
)
from emo_fairseq.pretrained.waveforms import MaskedGroupNorm, mask_beyond, prepare_samples


def make_traceable(model: nn.Module, n_positions: int) -> None:
    """Replace, in place, what tracing would fix to one batch; the outputs stay the same.

    LoRA's updates are merged into the weights, tables of sinusoidal positions are made long enough
    for every input, encoders of tokens apply their mask whether there is padding or not, norms over
    real frames count all rows at once, as those of wav2vec 1.0 do then, Whisper computes its
    log-mel frames by a convolution, and clips of pictures are cut by arithmetic on tensors.

    Args:
        model: in evaluation mode; it cannot be trained any more.
        n_positions: the most frames of a row.
    """
    merge_lora(model)
    for part in list(model.modules()):
        if isinstance(part, SinusoidalPositionalEmbedding):
            part(torch.full((1, n_positions), part.padding_idx + 1))
            part.__class__ = _TraceablePositions  # the parameters stay where they are
        if isinstance(part, TokenEncoder):
            part.__class__ = _TraceableTokenEncoder
        if isinstance(part, MaskedGroupNorm):
            part.__class__ = _TraceableGroupNorm
        if isinstance(part, Wav2VecEncoder):
            _replace_norms(part)
            part.__class__ = _TraceableWav2Vec
        if isinstance(part, HuggingFaceWhisper):
            part.frames = _WhisperFrames(part)
            part.__class__ = _TraceableWhisper
        if isinstance(part, HuggingFaceImages):
            part.__class__ = _TraceableImages
        if isinstance(part, HuggingFaceClips):
            part.__class__ = _TraceableClips


class _TraceablePositions(SinusoidalPositionalEmbedding):
    """The same positions from a table that is long enough, whose length is not compared."""

    def forward(self, tokens: Tensor, *_: Any, **__: Any) -> Tensor:
        positions = make_positions(tokens, self.padding_idx)
        embedded: Tensor = nn.functional.embedding(positions, self.weights)
        return embedded


class _TraceableTokenEncoder(TokenEncoder):
    """The same encoder without fairseq's branch on whether there is padding."""

    def layers(self, tokens: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        encoder = self.sentence_encoder
        is_padding = tokens.eq(encoder.padding_idx)
        embedded, _ = encoder.forward_embedding(tokens)
        hidden_states = [embedded.masked_fill(is_padding[:, :, None], 0.0)]
        x = hidden_states[0].transpose(0, 1)  # T x B x C, as fairseq's layers expect
        for layer in encoder.layers:
            x = layer(x, is_padding)
            hidden_states.append(x.transpose(0, 1))
        if encoder.layer_norm is not None:
            hidden_states[-1] = encoder.layer_norm(hidden_states[-1])
        return hidden_states, padding_mask


class _TraceableGroupNorm(MaskedGroupNorm):
    """The same norm with the rows' sums taken side by side instead of row by row."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return _norm_over_lengths(x, lengths, self)


def _norm_over_lengths(x: Tensor, lengths: Tensor, norm: Any) -> Tensor:
    """Return a group norm of (B, C, T) over the real frames of each row, 0 in padding.

    Args:
        x: (B, C, T).
        lengths: (B,) real frames of each row.
        norm: has ``num_groups``, ``eps``, ``weight`` and ``bias``, which may be None.
    """
    batch, channels, width = x.shape
    real = (torch.arange(width, device=x.device) < lengths[:, None])[:, None, None]
    grouped = x.float().view(batch, norm.num_groups, -1, width)  # B x G x C / G x T
    count = lengths[:, None, None, None] * (channels // norm.num_groups)
    mean = (grouped * real).sum(dim=(2, 3), keepdim=True) / count
    centered = (grouped - mean) * real
    variance = centered.square().sum(dim=(2, 3), keepdim=True) / count
    normed = (centered * torch.rsqrt(variance + norm.eps)).view(batch, channels, width)
    if norm.weight is not None:
        normed = normed * norm.weight.float()[:, None] + norm.bias.float()[:, None]
    masked: Tensor = (normed * real[:, 0]).type_as(x)
    return masked


class _NormOverLengths(nn.Module):
    """A group norm over the real frames of rows, whose numbers are set before it is called.

    Args:
        norm: in whose place it is.

    Attributes:
        lengths: (B,) real frames of each row.
    """

    lengths: Tensor

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return _norm_over_lengths(x, self.lengths, self.norm)


def _replace_norms(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, nn.GroupNorm):
            setattr(module, name, _NormOverLengths(child))
        else:
            _replace_norms(child)


class _TraceableWav2Vec(Wav2VecEncoder):
    """wav2vec 1.0 with rows side by side: its convolutions see padding in padded frames alone.

    Convolutions over samples have no padding of their own, and those over frames are causal, so
    that only the norms over time need to know where a row ends.
    """

    def front_end(self, waveform: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        more = self.receptive_field - 1  # so that every row has a frame
        samples, lengths = prepare_samples(
            nn.functional.pad(waveform, (0, more)),
            nn.functional.pad(padding_mask, (0, more), value=True),
            self.receptive_field,
            self.norm_eps,
        )
        x = samples[:, None]  # B x C x T
        for block in self.feature_extractor.conv_layers:
            (kernel,), (stride,) = block[0].kernel_size, block[0].stride
            lengths = (lengths - kernel) // stride + 1
            self._set_lengths(block, lengths)
            x = block(x)
        if self.feature_extractor.log_compression:
            x = (x.abs() + 1).log()
        if self.vector_quantizer is not None:
            self._set_lengths(self.vector_quantizer, lengths)
            x = self.vector_quantizer(x)["x"]
        frames = x.transpose(1, 2)
        mask = mask_beyond(lengths, frames.size(1))
        return frames.masked_fill(mask[:, :, None], 0.0), mask

    def run_layers(
        self, state: Tensor, padding_mask: Tensor, first: int, last: int
    ) -> list[Tensor]:
        self._set_lengths(self.feature_aggregator, (~padding_mask).sum(dim=1))
        states = self._aggregate_rows(state.transpose(1, 2), first, last)
        return [x.masked_fill(padding_mask[:, :, None], 0.0) for x in states]

    @staticmethod
    def _set_lengths(module: nn.Module, lengths: Tensor) -> None:
        for part in module.modules():
            if isinstance(part, _NormOverLengths):
                part.lengths = lengths


class _WhisperFrames(nn.Module):
    """Whisper's log-mel frames, with the Fourier transform as a convolution.

    Args:
        whisper: the encoder, with the settings of its front end.
    """

    def __init__(self, whisper: HuggingFaceWhisper) -> None:
        super().__init__()
        extractor = whisper.front_end
        self.n_samples, self.hop = whisper.max_samples, extractor.hop_length
        self.n_frames = self.n_samples // self.hop
        self.reach = extractor.n_fft // 2
        self.is_padded = whisper.is_padded
        n_fft = extractor.n_fft
        self.fourier = nn.Conv1d(1, 2 * (self.reach + 1), n_fft, stride=self.hop, bias=False)
        kernels = torch.from_numpy(_hann_fourier_kernels(n_fft)).float()
        self.fourier.weight = nn.Parameter(kernels[:, None], requires_grad=False)
        bands = torch.from_numpy(np.asarray(extractor.mel_filters)).float()
        self.bands = nn.Parameter(bands, requires_grad=False)  # (n_fft / 2 + 1, bands)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return frames (B, bands, T) of samples (B, S), 0 in padding; T is that of 30 seconds.

        Without padding to 30 seconds, T is that of the longest row and some frames of silence.
        """
        before = waveform[:, 1 : self.reach + 1].flip(1)
        # Of the silence after a row, as much as its last frames read. At their very end the 30
        # seconds are reflected, which matters to rows that reach it alone.
        samples = nn.functional.pad(waveform, (0, 8 * self.hop))[:, : self.n_samples]
        after = samples[:, -self.reach - 1 : -1].flip(1)
        around = torch.cat([before, samples, after], dim=1)
        real, imaginary = self.fourier(around[:, None]).transpose(1, 2).chunk(2, dim=2)
        power = (real.square() + imaginary.square()) @ self.bands  # B x T x bands
        logs = power.clamp(min=LEAST_POWER).log10()
        lowest = logs.amax(dim=(1, 2), keepdim=True) - DYNAMIC_RANGE
        if self.is_padded:
            silence = float(np.log10(LEAST_POWER))
            logs = nn.functional.pad(logs, (0, 0, 0, self.n_frames), value=silence)
        logs = logs[:, : self.n_frames]
        return ((torch.maximum(logs, lowest) + 4.0) / 4.0).transpose(1, 2)


def _hann_fourier_kernels(n_fft: int) -> np.ndarray:
    """Return the cosines and sines (n_fft + 2, n_fft) of a periodic Hann window."""
    steps = np.arange(n_fft)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * steps / n_fft)
    angles = 2 * np.pi / n_fft * np.outer(np.arange(n_fft // 2 + 1), steps)
    return np.concatenate([np.cos(angles) * window, np.sin(angles) * window])


class _TraceableWhisper(HuggingFaceWhisper):
    """The same encoder, whose number of frames follows from the width of the batch."""

    frames: nn.Module

    def layers(self, waveform: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        n_frames = ((~padding_mask).sum(dim=1) + self.hop - 1) // self.hop
        width = (waveform.size(1) + self.hop - 1) // self.hop
        if self.keeps_padding:
            n_frames, width = torch.full_like(n_frames, self.max_frames), self.max_frames
        frame_mask = mask_beyond(n_frames, width)
        x = self._convolve(self.frames(waveform.masked_fill(padding_mask, 0.0)), width)
        attention_mask = None if self.is_padded else attention_mask_of(frame_mask, x.dtype)
        return [state[:, :width] for state in self._run_layers(x, attention_mask)], frame_mask


class _TraceableImages(HuggingFaceImages):
    """The same encoder over all pictures, those of padding among them, whose frames become 0."""

    def layers(self, pixels: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        tokens = self.class_tokens(pixels.flatten(0, 1))
        states = [
            state.view(pixels.size(0), pixels.size(1), self.embed_dim).masked_fill(
                padding_mask[:, :, None], 0.0
            )
            for state in tokens
        ]
        return states, padding_mask


class _TraceableClips(HuggingFaceClips):
    """The same encoder with rows cut side by side: each into as many clips as the longest.

    Clips beyond those of a row repeat its last one, and none of their steps is kept.
    """

    def layers(self, pixels: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        batch, width = pixels.size(0), pixels.size(1)
        size, steps = self.clip_frames, self.clip_frames // self.step_frames
        lengths = (~padding_mask).sum(dim=1, keepdim=True)  # B x 1
        n_clips = (width + size - 1) // size
        device = pixels.device
        last = (lengths - size).clamp(min=0)
        first = torch.minimum(torch.arange(n_clips, device=device) * size, last)  # B x N
        frames = first[:, :, None] + torch.arange(size, device=device)
        frames = torch.minimum(frames, lengths[:, :, None] - 1).flatten(1)  # B x N F
        rows = torch.arange(batch, device=device)[:, None]
        clips = pixels[rows, frames].view(-1, size, *pixels.shape[2:])
        states = [state.view(batch, -1, self.embed_dim) for state in self.time_steps(clips)]
        # Of the last clip of a row, only the steps that the one before it lacks are kept.
        before = (lengths + size - 1) // size - 1  # clips
        n_whole = before * steps
        n_kept = (lengths - before * size + self.step_frames - 1) // self.step_frames
        longest = (n_clips - 1) * size
        n_longest = (n_clips - 1) * steps + (width - longest + self.step_frames - 1) // (
            self.step_frames
        )
        step = torch.arange(n_longest, device=device)[None]  # 1 x S
        skipped = (step >= n_whole) & (before > 0)
        chosen = (step + skipped * (steps - n_kept)).clamp(max=n_clips * steps - 1)
        is_padding = step >= n_whole + n_kept
        states = [state[rows, chosen].masked_fill(is_padding[:, :, None], 0.0) for state in states]
        return states, is_padding
