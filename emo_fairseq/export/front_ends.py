"""What a graph computes of samples before its model: features, and their normalization.

Without it, whoever runs the graph would have to compute the same features in another language.
:mod:`data_prep.features` computes them in Python, and every export is compared with that.
"""

import numpy as np
import torch
from torch import Tensor, nn

from data_prep.audio.frames import SHIFT_MS, SIXTEEN_BIT
from data_prep.audio.part import WINDOW_MS
from data_prep.features.log_mel import LOG_MEL as LOG_MEL_FEATURES
from data_prep.features.log_mel import N_MELS
from data_prep.schema import SAMPLE_RATE
from emo_fairseq import pretrained
from emo_fairseq.data.frame_statistics import MIN_FRAMES, MIN_STD, FrameStatistics
from emo_fairseq.inference.input_processor import PRETRAINED, FeatureExtractorSpec
from emo_fairseq.inference.model import LoadedModel
from emo_fairseq.modalities import FRAMES, LOG_MEL, SPEECH, WAVEFORM
from emo_fairseq.models.encode import encoder_of_features
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.option_values import BY_SPEAKER, BY_UTTERANCE
from emo_fairseq.pretrained.waveforms import mask_beyond

# Kaldi's filterbank: Povey window, pre-emphasis 0.97, 512 points, bands from 20 Hz to Nyquist.
_WINDOW_POWER, _PRE_EMPHASIS, _N_POINTS, _LOWEST_HZ = 0.85, 0.97, 512, 20.0
_LEAST_ENERGY = float(np.finfo(np.float32).eps)
_HALF = "float16"  # in the settings of stored features


class LogMelFrames(nn.Module):
    """Kaldi's log-mel frames as matrix products, in half of the operations of a convolution.

    Pre-emphasis commutes with cutting frames but for the first sample, which the Povey window sets
    to zero. The window is symmetric, so that cosines need the sums and sines the differences of
    samples that lie symmetrically in a frame. Removing the mean m of a frame before pre-emphasis
    subtracts 0.03 m from all of its samples after it, which is even.

    :func:`data_prep.audio.frames.log_mel` is the same to about 1e-4 where a band has more than
    1e-10 of the energy of the loudest; below that both are rounding errors.
    """

    def __init__(self) -> None:
        super().__init__()
        length, shift = SAMPLE_RATE * WINDOW_MS // 1000, SAMPLE_RATE * SHIFT_MS // 1000
        self.length, self.shift = length, shift
        self.block = shift // 2  # a frame begins with every second block, and has five
        cosines, sines = _half_frame_kernels(length)
        self.cosines = nn.Parameter(torch.from_numpy(cosines).float(), requires_grad=False)
        self.sines = nn.Parameter(torch.from_numpy(sines).float(), requires_grad=False)
        bands = torch.from_numpy(_mel_bands(N_MELS).T.copy()).float()
        self.bands = nn.Parameter(bands, requires_grad=False)  # (256, N_MELS)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the frames of a padded batch.

        Args:
            waveform: (B, S) samples at 16 kHz, 0 in padding.
            lengths: (B,) of the rows; less than one frame is padded with zeros.

        Returns:
            (B, T, N_MELS), and the numbers (B,) of real frames.
        """
        samples = nn.functional.pad(waveform, (0, self.length - 1))  # one frame at least
        before = nn.functional.pad(samples, (1, 0))[:, :-1]
        emphasized = self._blocks(samples - _PRE_EMPHASIS * before)
        first, second, middle, _, _ = self._cut(emphasized)
        _, _, middle_back, second_back, first_back = self._cut(emphasized.flip(2))
        rest = self.length // 2 - 2 * self.block  # of the block in the middle
        middle, middle_back = middle[:, :, :rest], middle_back[:, :, :rest]
        pairs = [(first, first_back), (second, second_back), (middle, middle_back)]
        sums = self._cut(self._blocks(samples).sum(dim=2, keepdim=True))
        even = [early + late for early, late in pairs]
        odd = [early - late for early, late in pairs]
        mean = torch.cat(sums, dim=2).sum(dim=2, keepdim=True) / self.length
        real = torch.cat([*even, mean], dim=2) @ self.cosines  # B x T x 256
        imaginary = torch.cat(odd, dim=2) @ self.sines
        energies = (real.square() + imaginary.square()) @ self.bands
        n_frames = 1 + (lengths - self.length).clamp(min=0) // self.shift
        return energies.clamp(min=_LEAST_ENERGY).log(), n_frames

    def _blocks(self, samples: Tensor) -> Tensor:
        """Return samples (B, S) as blocks (B, N, 80); what is left at the end is in no frame."""
        n_blocks = samples.size(1) // self.block
        return samples[:, : n_blocks * self.block].view(samples.size(0), -1, self.block)

    def _cut(self, blocks: Tensor) -> list[Tensor]:
        """Return the five blocks (B, T, 80) of each frame; every second block begins one."""
        in_frame = self.length // self.block
        n_frames = (blocks.size(1) - in_frame) // 2 + 1
        return [blocks[:, k::2][:, :n_frames] for k in range(in_frame)]


def _half_frame_kernels(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines (length / 2 + 1, 256) and the sines (length / 2, 256), windowed.

    The last row of the cosines is of the mean of a frame before pre-emphasis.
    """
    steps = np.arange(length // 2)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * steps / (length - 1))) ** _WINDOW_POWER
    scale = SIXTEEN_BIT * window[:, None]
    from_center = 2 * np.pi / _N_POINTS * (steps - (length - 1) / 2)
    angles = np.outer(from_center, np.arange(_N_POINTS // 2))
    cosines, sines = scale * np.cos(angles), scale * np.sin(angles)
    of_mean = -2 * (1 - _PRE_EMPHASIS) * cosines.sum(axis=0, keepdims=True)
    return np.concatenate([cosines, of_mean]), sines


def _mel_bands(n_mels: int) -> np.ndarray:
    """Return triangular bands (n_mels, 256), of equal width in mel = 1127 ln(1 + f / 700)."""

    def mel(hertz: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = 1127.0 * np.log1p(hertz / 700.0)
        return scaled

    lowest, highest = mel(np.array([_LOWEST_HZ, SAMPLE_RATE / 2]))
    edges = np.linspace(lowest, highest, n_mels + 2)
    left, center, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    frequencies = mel(np.arange(_N_POINTS // 2) * SAMPLE_RATE / _N_POINTS)
    rising, falling = (
        (frequencies - left) / (center - left),
        (right - frequencies) / (right - center),
    )
    return np.clip(np.minimum(rising, falling), 0.0, None)


class Normalization(nn.Module):
    """Normalize frames as :class:`emo_fairseq.data.frame_statistics.Normalizer` does.

    Args:
        statistics: of the train split.
        by_row: whether a row is normalized by its own frames, if it has enough of them.
    """

    def __init__(self, statistics: FrameStatistics, by_row: bool) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(statistics.mean), requires_grad=False)
        self.std = nn.Parameter(torch.tensor(statistics.std), requires_grad=False)
        self.by_row = by_row

    def forward(self, frames: Tensor, padding_mask: Tensor) -> Tensor:
        """Return frames (B, T, C) of zero mean and unit variance, 0 in padding (B, T)."""
        padding = padding_mask[:, :, None]
        if not self.by_row:
            return ((frames - self.mean) / self.std).masked_fill(padding, 0.0)
        count = (~padding).sum(dim=1, keepdim=True)  # B x 1 x 1
        mean = frames.masked_fill(padding, 0.0).sum(dim=1, keepdim=True) / count
        deviation = (frames - mean).masked_fill(padding, 0.0)
        std = (deviation.square().sum(dim=1, keepdim=True) / count).sqrt().clamp(min=MIN_STD)
        is_short = count < MIN_FRAMES
        mean, std = torch.where(is_short, self.mean, mean), torch.where(is_short, self.std, std)
        return ((frames - mean) / std).masked_fill(padding, 0.0)


class LogMelFrontEnd(nn.Module):
    """From samples to normalized log-mel frames.

    Args:
        normalization: of the frames.
        is_half: whether those that the model was trained on have half precision.
    """

    about = (
        "log-mel frames (Kaldi's filterbank, 80 bands, 25 ms every 10 ms) and their normalization"
    )

    def __init__(self, normalization: Normalization, is_half: bool) -> None:
        super().__init__()
        self.frames = LogMelFrames()
        self.normalize = normalization
        self.is_half = is_half

    def forward(self, waveform: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return frames (B, T, C) and their padding mask (B, T) of samples and theirs (B, S)."""
        lengths = (~padding_mask).sum(dim=1)
        frames, n_frames = self.frames(waveform.masked_fill(padding_mask, 0.0), lengths)
        mask = mask_beyond(n_frames, frames.size(1))
        if self.is_half:
            frames = frames.half().float()
        return self.normalize(frames, mask), mask


class EncoderFrontEnd(nn.Module):
    """From samples to the features that a pretrained encoder makes of them.

    Args:
        encoder: as :func:`emo_fairseq.models.encode.encoder_of_features` builds it.
        pool: over time, one of :data:`data_prep.features.pooling.POOLS`.
        is_half: whether the features that the model was trained on have half precision.
        normalization: of the features.
        name: of the encoder.
    """

    def __init__(
        self,
        encoder: ModalityEncoder,
        pool: str,
        is_half: bool,
        normalization: Normalization,
        name: str,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pool, self.is_half = pool, is_half
        self.normalize = normalization
        self.about = f"features of the encoder {name}, and their normalization"

    def forward(self, waveform: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, T, C) and their padding mask (B, T) of samples and theirs (B, S)."""
        layers, mask = self.encoder.encode(waveform=waveform, padding_mask=padding_mask)
        if self.pool != "none":
            layers = _pool(layers, mask, with_deviation=self.pool == "mean_std")
            mask = torch.zeros_like(mask[:, :1])
        features = layers.flatten(2)  # B x T x K x C -> B x T x (K C)
        if self.is_half:
            features = features.half().float()
        return self.normalize(features, mask), mask


def _pool(layers: Tensor, padding_mask: Tensor, with_deviation: bool) -> Tensor:
    """Pool (B, T, K, C) over real frames, to (B, 1, K, C) or with deviation (B, 1, K, 2 C)."""
    padding = padding_mask[:, :, None, None]
    count = (~padding).sum(dim=1, keepdim=True)
    mean = layers.masked_fill(padding, 0.0).sum(dim=1, keepdim=True) / count
    if not with_deviation:
        return mean
    squares = (layers - mean).masked_fill(padding, 0.0).square()
    return torch.cat([mean, (squares.sum(dim=1, keepdim=True) / count).sqrt()], dim=3)


def build_front_ends(loaded: LoadedModel) -> nn.ModuleDict:
    """Build the front ends that the graph of a model holds, by modality; see :func:`outside`."""
    front_ends = {}
    for modality in loaded.state.modalities:
        is_raw = loaded.state.encoders[modality].input in (LOG_MEL, FRAMES)
        if is_raw and not outside(loaded, modality):
            front_ends[modality] = _build(loaded, modality)
    return nn.ModuleDict(front_ends)


def outside(loaded: LoadedModel, modality: str) -> str:
    """Return why the features of a modality are computed outside of the graph; empty if not."""
    state = loaded.state
    kind = state.encoders[modality].input
    if kind not in (LOG_MEL, FRAMES):
        return ""
    if modality in loaded.processor.missing or modality != SPEECH:
        return "they are not made of samples here"
    if state.normalize_by == BY_SPEAKER:
        return "they are normalized by all recordings of their speaker"
    if kind == LOG_MEL:
        return ""
    if state.options.max_frames:
        return "--max-frames truncates them"
    extractor = loaded.processor.extractors[modality]
    return _not_traced(extractor)


def _not_traced(extractor: FeatureExtractorSpec) -> str:
    settings = extractor.settings
    kind = settings["features"]
    if kind == LOG_MEL_FEATURES:
        return "" if settings.get("pool", "none") == "none" else "they are pooled by data_prep"
    if kind != PRETRAINED:
        return f"{kind} are computed by a library of its own"
    encoder = extractor.encoder
    assert encoder is not None
    return "" if encoder.input == WAVEFORM else "their encoder reads tokens"


def _build(loaded: LoadedModel, modality: str) -> nn.Module:
    state = loaded.state
    by_row = state.normalize_by == BY_UTTERANCE
    normalization = Normalization(state.frame_statistics[modality], by_row)
    extractor = loaded.processor.extractors.get(modality)
    is_half = extractor is not None and extractor.settings["dtype"] == _HALF
    if extractor is None or extractor.encoder is None:
        return LogMelFrontEnd(normalization, is_half)
    backbone = pretrained.build(extractor.encoder)
    backbone.load_state_dict(dict(extractor.weights or {}))
    settings = extractor.settings
    return EncoderFrontEnd(
        encoder_of_features(backbone, settings["layer"]),
        settings.get("pool", "none"),
        is_half,
        normalization,
        extractor.encoder.spec,
    ).eval()
