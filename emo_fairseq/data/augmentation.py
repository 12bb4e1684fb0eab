"""Augmentation of the train split: random changes of its inputs, other ones in every epoch.

One dataset changes one thing; :func:`augment` stacks those that the options switch on.
"""

import logging
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import soxr
import torch
from fairseq.data import BaseWrapperDataset, FairseqDataset
from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.audio_transforms import AudioTransforms
from emo_fairseq.data.frames import NormalizedFrames, StoredFrames
from emo_fairseq.data.input_limits import MIN_SAMPLES
from emo_fairseq.data.vocabulary import find_symbol
from emo_fairseq.errors import UsageError
from emo_fairseq.options.conditions import (
    READS_AUDIO,
    READS_FRAMES,
    Condition,
    OptionContext,
    encodes_batches,
    reads_tokens,
)
from emo_fairseq.options.option import NOT_NEGATIVE, PROBABILITY, Range, option
from emo_fairseq.types import (
    FRAMES,
    LOG_MEL,
    SPEECH,
    TEXT,
    TOKENS,
    WAVEFORM,
)

logger = logging.getLogger(__name__)

_SPEEDS = 0.5, 2.0  # the slowest and the fastest
# The power falls as the frequency to this exponent.
COLORS = {"white": 0.0, "pink": 1.0}


def _reads_loudness(context: OptionContext) -> bool:
    """Return whether the speech encoder does not scale every row to unit variance first."""
    spec = context.encoders.get(SPEECH)
    given = {} if spec is None else spec.architecture
    return not given.get("normalize") and given.get("front_end") != {"do_normalize": True}


_OF_AUDIO = (
    READS_AUDIO,
    encodes_batches("the encoder that reads audio", WAVEFORM, LOG_MEL),
)
_OF_FRAMES = (READS_FRAMES, encodes_batches("the encoder of frames", LOG_MEL, FRAMES))
_READS_LOUDNESS = Condition(
    _reads_loudness, "the speech encoder scales all utterances to the same loudness"
)
_HAS_NOISE = Condition(
    lambda context: context.task.augment_noise_snr is not None, "there is no --augment-noise-snr"
)
_HAS_BABBLE = Condition(
    lambda context: context.task.augment_babble_snr is not None, "there is no --augment-babble-snr"
)
_HAS_TIME_MASKS = Condition(
    lambda context: context.task.augment_time_masks > 0, "there is no --augment-time-masks"
)
_HAS_FEATURE_MASKS = Condition(
    lambda context: context.task.augment_feature_masks > 0, "there is no --augment-feature-masks"
)


@dataclass
class AugmentationConfig(FairseqDataclass):
    """The options of augmentation; by default there is none."""

    augment_noise_snr: Optional[str] = option(
        None,
        "training: add noise to the audio at a signal-to-noise ratio between LOW,HIGH dB, such as "
        "5,20 (a negative one as --augment-noise-snr=-5,10)",
        acts=_OF_AUDIO,
    )
    augment_noise_color: ChoiceEnum(list(COLORS)) = option(  # type: ignore[valid-type]
        "white",
        "color of that noise; pink has the same power in every octave",
        acts=(*_OF_AUDIO, _HAS_NOISE),
    )
    augment_babble_snr: Optional[str] = option(
        None,
        "training: add voices of other speakers of the train split to the audio, at a "
        "signal-to-noise ratio between LOW,HIGH dB",
        acts=_OF_AUDIO,
    )
    augment_babble_speakers: int = option(
        3,
        "number of these speakers",
        within=Range(1, most=100),
        acts=(*_OF_AUDIO, _HAS_BABBLE),
    )
    augment_transforms: Optional[str] = option(
        None,
        "training: change the audio by transforms of the library audiomentations, such as rooms, "
        "codecs, pitch and recorded noise: a YAML file that lists them (extra: augment)",
        acts=_OF_AUDIO,
    )
    augment_gain: float = option(
        0.0,
        "training: make the audio louder or softer by at most so many dB",
        within=NOT_NEGATIVE,
        acts=(*_OF_AUDIO, _READS_LOUDNESS),
    )
    augment_speed: Optional[str] = option(
        None,
        "training: play the audio at one of these speeds, such as 0.9,1.0,1.1; pitch goes with it",
        acts=_OF_AUDIO,
    )
    augment_time_masks: int = option(
        0,
        "training: mask so many segments of time in log-mel frames and features, at most half of "
        "an utterance",
        within=NOT_NEGATIVE,
        acts=_OF_FRAMES,
    )
    augment_time_mask_width: int = option(
        100,
        "longest time mask, in frames",
        within=Range(1),
        acts=(*_OF_FRAMES, _HAS_TIME_MASKS),
    )
    augment_feature_masks: int = option(
        0,
        "training: mask so many bands of the numbers of each such frame",
        within=NOT_NEGATIVE,
        acts=_OF_FRAMES,
    )
    augment_feature_mask_width: int = option(
        27,
        "widest mask of bands, in numbers of a frame (mel bins)",
        within=Range(1),
        acts=(*_OF_FRAMES, _HAS_FEATURE_MASKS),
    )
    augment_token_dropout: float = option(
        0.0,
        "training: chance of each token of the text to become <mask>, or <unk> where the "
        "vocabulary has no mask",
        within=PROBABILITY,
        acts=(reads_tokens(TEXT), encodes_batches("the text encoder", TOKENS, modality=TEXT)),
    )


def changes_audio(cfg: AugmentationConfig) -> bool:
    """Return whether an option changes the waveforms of training."""
    return any(_audio_options(cfg).values())


def _audio_options(cfg: AugmentationConfig) -> dict[str, Any]:
    """Return the values of the options that switch on a change of the audio."""
    return {
        "--augment-speed": cfg.augment_speed,
        "--augment-babble-snr": cfg.augment_babble_snr,
        "--augment-noise-snr": cfg.augment_noise_snr,
        "--augment-transforms": cfg.augment_transforms,
        "--augment-gain": cfg.augment_gain,
    }


def noise_snr(cfg: AugmentationConfig) -> tuple[float, float] | None:
    """Parse ``--augment-noise-snr``: the lowest and the highest ratio in dB; None without it.

    Raises:
        UsageError: it is not two numbers in order.
    """
    return _snr("--augment-noise-snr", cfg.augment_noise_snr)


def babble_snr(cfg: AugmentationConfig) -> tuple[float, float] | None:
    """Parse ``--augment-babble-snr``; see :func:`noise_snr`."""
    return _snr("--augment-babble-snr", cfg.augment_babble_snr)


def _snr(option_name: str, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    numbers = _numbers(text)
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise UsageError(
            f"{option_name} {text!r} is not understood; write the lowest and the highest "
            "ratio in dB, such as 5,20",
            "noise-snr-invalid",
        )
    return numbers[0], numbers[1]


def speeds(cfg: AugmentationConfig) -> list[float]:
    """Parse ``--augment-speed``: the factors to choose from; none without it.

    Raises:
        UsageError: it is not a list of factors, or changes nothing.
    """
    text = cfg.augment_speed
    if text is None:
        return []
    numbers, (slowest, fastest) = _numbers(text), _SPEEDS
    if not numbers or not all(slowest <= factor <= fastest for factor in numbers):
        raise UsageError(
            f"--augment-speed {text!r} is not understood; write factors between {slowest:g} and "
            f"{fastest:g}, joined by commas, such as 0.9,1.0,1.1",
            "speeds-invalid",
        )
    if set(numbers) == {1.0}:
        raise UsageError(
            f"--augment-speed {text!r} changes nothing; add other factors, or leave the option out",
            "speeds-idle",
        )
    return numbers


def check_augmentation(cfg: AugmentationConfig) -> None:
    """Check the options that are parsed, before any audio is opened.

    Raises:
        UsageError: one is malformed.
    """
    noise_snr(cfg)
    babble_snr(cfg)
    speeds(cfg)
    if cfg.augment_transforms:
        AudioTransforms(cfg.augment_transforms)


def _numbers(text: str) -> list[float]:
    """Parse finite numbers joined by commas; return none of them if one is malformed."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


# -- What all augmentations share: a random generator for each item --------------------------------

Item = tuple[Any, ...]  # (values, presence, ...), of a modality dataset


class AugmentedDataset(BaseWrapperDataset):
    """Changes each row by a random generator of its own.

    The generator depends on the seed, the epoch, the row and the name of the class alone: an item
    is the same in every worker and on every rank, in any order, and again after a resumption. A row
    that is not present stays as it is. Sizes stay those of the wrapped dataset.

    Args:
        dataset: a modality dataset.
        seed: 0 or more.
    """

    def __init__(self, dataset: FairseqDataset, seed: int) -> None:
        super().__init__(dataset)
        self.seed = seed
        # Shared: workers outlive the epoch that they are started in, each with its own copy of all
        # else (fairseq's loader is persistent).
        self._epoch = torch.ones((), dtype=torch.long).share_memory_()

    def __getitem__(self, index: int) -> Item:
        item: Item = self.dataset[index]
        present = item[1]
        return self.change(item, self._generator(index)) if present else item

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        """Return the changed item; the given one is not written to."""
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self._epoch.fill_(epoch)

    def _generator(self, index: int) -> np.random.Generator:
        kind = zlib.crc32(type(self).__name__.encode())
        return np.random.default_rng((self.seed, int(self._epoch), int(index), kind))


# -- Waveforms -------------------------------------------------------------------------------------


class Gain(AugmentedDataset):
    """Multiplies the samples by a gain drawn uniformly, in decibels.

    Nothing is clipped: samples may exceed -1 and 1, which no encoder requires, and so the shape of
    the wave stays the same.

    Args:
        dataset: waveforms.
        decibels: the gain is between minus this and this.
        seed: see :class:`AugmentedDataset`.
    """

    def __init__(self, dataset: FairseqDataset, decibels: float, seed: int) -> None:
        super().__init__(dataset, seed)
        self.decibels = decibels

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        samples, present = item
        return samples * 10 ** (generator.uniform(-self.decibels, self.decibels) / 20), present


def colored_noise(generator: np.random.Generator, n_samples: int, color: str) -> np.ndarray:
    """Draw Gaussian noise (n_samples,) of mean 0 and average power 1.

    >>> noise = colored_noise(np.random.default_rng(0), 1000, "pink")
    >>> round(float(np.mean(noise**2)), 6)
    1.0

    Args:
        generator: of random numbers.
        n_samples: 2 or more.
        color: one of :data:`COLORS`.
    """
    spectrum = np.fft.rfft(generator.standard_normal(n_samples))
    harmonics = np.arange(1, len(spectrum))
    spectrum[0] = 0.0
    spectrum[1:] *= harmonics ** (-COLORS[color] / 2)
    noise = np.fft.irfft(spectrum, n_samples)
    return noise / np.sqrt(np.mean(noise**2))


class AddedNoise(AugmentedDataset):
    """Adds noise at a signal-to-noise ratio drawn uniformly from a range of decibels.

    The signal's power is its mean square over the whole utterance, pauses included. Silence stays
    silence.

    Args:
        dataset: waveforms.
        snr: the lowest and the highest ratio, in dB.
        color: one of :data:`COLORS`.
        seed: see :class:`AugmentedDataset`.
    """

    def __init__(
        self, dataset: FairseqDataset, snr: tuple[float, float], color: str, seed: int
    ) -> None:
        super().__init__(dataset, seed)
        self.snr = snr
        self.color = color

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        samples, present = item
        decibels = generator.uniform(*self.snr)
        noise = colored_noise(generator, len(samples), self.color)
        return add_at_snr(samples, noise, decibels), present


def add_at_snr(samples: torch.Tensor, noise: np.ndarray, decibels: float) -> torch.Tensor:
    """Return samples (T,) with noise (T,) of average power 1 at a signal-to-noise ratio."""
    power = float(samples.double().square().mean())
    scaled = noise * np.sqrt(power / 10 ** (decibels / 10))
    return samples + torch.from_numpy(scaled).to(samples)


class Babble(AugmentedDataset):
    """Adds voices of other speakers at a signal-to-noise ratio drawn uniformly, in decibels.

    Each voice is an utterance of another speaker, repeated or cut to the length of the row from a
    drawn start, all with the same power. A row whose speaker is not known stays as it is.

    Args:
        dataset: waveforms to be changed.
        voices: the same rows, as they were recorded.
        speakers: (N,) of each row; None where it is not known, or the row must not be used.
        n_speakers: that are drawn; fewer where there are fewer others.
        snr: the lowest and the highest ratio, in dB.
        seed: see :class:`AugmentedDataset`.
    """

    def __init__(
        self,
        dataset: FairseqDataset,
        voices: FairseqDataset,
        speakers: Sequence[str | None],
        n_speakers: int,
        snr: tuple[float, float],
        seed: int,
    ) -> None:
        super().__init__(dataset, seed)
        self.voices = voices
        self.speakers = speakers
        self.n_speakers = n_speakers
        self.snr = snr
        self.rows_of: dict[str, list[int]] = {}
        for row, speaker in enumerate(speakers):
            if speaker is not None:
                self.rows_of.setdefault(speaker, []).append(row)

    def __getitem__(self, index: int) -> Item:
        item: Item = self.dataset[index]
        samples, present = item
        others = [speaker for speaker in self.rows_of if speaker != self.speakers[index]]
        if not present or self.speakers[index] is None or not others:
            return item
        generator = self._generator(index)
        drawn = generator.choice(len(others), min(self.n_speakers, len(others)), replace=False)
        voices = [self._draw_voice(others[n], len(samples), generator) for n in drawn]
        babble = np.sum(voices, axis=0)
        power = float(np.mean(babble**2))
        decibels = generator.uniform(*self.snr)
        if power == 0:  # all of them are silent
            return item
        return add_at_snr(samples, babble / np.sqrt(power), decibels), present

    def _draw_voice(
        self, speaker: str, n_samples: int, generator: np.random.Generator
    ) -> np.ndarray:
        """Return an utterance of a speaker as (n_samples,) of average power 1, or silence."""
        rows = self.rows_of[speaker]
        samples, _ = self.voices[rows[int(generator.integers(len(rows)))]]
        start = int(generator.integers(len(samples)))
        places = (start + np.arange(n_samples)) % len(samples)
        voice: np.ndarray = samples.double().numpy()[places]
        power = float(np.mean(voice**2))
        return voice / np.sqrt(power) if power > 0 else voice


class Transformed(AugmentedDataset):
    """Applies transforms of audiomentations, see :mod:`emo_fairseq.data.audio_transforms`.

    Sizes stay those of the wrapped dataset, and are estimates where a transform changes lengths.

    Args:
        dataset: waveforms.
        file: YAML that lists the transforms.
        max_samples: what becomes longer is truncated to this.
        seed: see :class:`AugmentedDataset`.

    Raises:
        UsageError: see :class:`emo_fairseq.data.audio_transforms.AudioTransforms`.
    """

    def __init__(self, dataset: FairseqDataset, file: str, max_samples: int, seed: int) -> None:
        super().__init__(dataset, seed)
        self.transforms = AudioTransforms(file)
        self.max_samples = max_samples

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        samples, present = item
        changed = self.transforms(samples.numpy(), generator)
        return _within_limits(changed, self.max_samples), present


def _within_limits(samples: np.ndarray, max_samples: int) -> torch.Tensor:
    """Return samples truncated to the most, and padded to the window that encoders need."""
    waveform = torch.from_numpy(samples[:max_samples])
    missing = max(0, MIN_SAMPLES - len(waveform))
    return torch.nn.functional.pad(waveform, (0, missing))


def at_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Return a (T,) waveform played `factor` times as fast: pitch rises, T / factor samples."""
    faster: np.ndarray = soxr.resample(samples, factor * SAMPLE_RATE, SAMPLE_RATE)
    return faster


class Speed(AugmentedDataset):
    """Plays utterances at a speed drawn from a list, pitch and tempo together.

    Ko et al., "Audio augmentation for speech recognition", Interspeech 2015, with 0.9, 1.0 and 1.1.
    Sizes stay those of the wrapped dataset, and so are estimates: batches hold the same rows as
    they would without, but may be longer, by 11% at a speed of 0.9.

    Args:
        dataset: waveforms.
        factors: each as likely as the others.
        max_samples: what becomes longer is truncated to this.
        seed: see :class:`AugmentedDataset`.
    """

    def __init__(
        self, dataset: FairseqDataset, factors: Sequence[float], max_samples: int, seed: int
    ) -> None:
        super().__init__(dataset, seed)
        self.factors = factors
        self.max_samples = max_samples

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        samples, present = item
        factor = self.factors[int(generator.integers(len(self.factors)))]
        if factor == 1:
            return item
        return _within_limits(at_speed(samples.numpy(), factor), self.max_samples), present


# -- Frames: SpecAugment ---------------------------------------------------------------------------
# Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition",
# Interspeech 2019; without its time warping, which helped least there. Masks may overlap. They are
# zeros, the mean of normalized frames.

MAX_TIME_SHARE = 0.5  # of an utterance, by all its time masks together


def draw_spans(
    generator: np.random.Generator, length: int, n_spans: int, max_width: int
) -> list[slice]:
    """Draw spans within `length`, their widths uniformly from 0 to `max_width`."""
    widths = generator.integers(0, max_width, size=n_spans, endpoint=True)
    starts = generator.integers(0, length - widths, endpoint=True)
    return [slice(start, start + width) for start, width in zip(starts, widths, strict=True)]


class TimeMasks(AugmentedDataset):
    """Masks segments of time.

    Args:
        dataset: normalized frames.
        n_masks: in every utterance.
        max_width: of each, in frames; less where all together could exceed :data:`MAX_TIME_SHARE`.
        seed: see :class:`AugmentedDataset`.
    """

    def __init__(self, dataset: FairseqDataset, n_masks: int, max_width: int, seed: int) -> None:
        super().__init__(dataset, seed)
        self.n_masks = n_masks
        self.max_width = max_width

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        frames, present = item[0].clone(), item[1]
        max_width = min(self.max_width, int(MAX_TIME_SHARE * len(frames) / self.n_masks))
        for span in draw_spans(generator, len(frames), self.n_masks, max_width):
            frames[span] = 0.0
        return frames, present


class FeatureMasks(AugmentedDataset):
    """Masks bands of neighboring features, such as mel bins, throughout an utterance.

    Args:
        dataset: normalized frames.
        n_masks: in every utterance.
        max_width: of each, in features; all together must be narrower than the frames.
        seed: see :class:`AugmentedDataset`.
    """

    def __init__(self, dataset: FairseqDataset, n_masks: int, max_width: int, seed: int) -> None:
        super().__init__(dataset, seed)
        self.n_masks = n_masks
        self.max_width = max_width

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        frames, present = item[0].clone(), item[1]
        for span in draw_spans(generator, frames.size(1), self.n_masks, self.max_width):
            frames[:, span] = 0.0
        return frames, present


# -- Tokens ----------------------------------------------------------------------------------------


class TokenDropout(AugmentedDataset):
    """Replaces tokens by a blank, each with the same probability.

    The boundaries, separators between turns included, and one token of the text at least, stay. Of
    a dialogue that is one of the current turn, whose span follows what is left out.

    Args:
        dataset: tokens, with or without context.
        probability: of each token.
        specials: ids that stay.
        blank: the id that replaces a token; None = tokens are left out, which shortens the text.
        seed: see :class:`AugmentedDataset`.
    """

    def __init__(
        self,
        dataset: FairseqDataset,
        probability: float,
        specials: SpecialIds,
        blank: int | None,
        seed: int,
    ) -> None:
        super().__init__(dataset, seed)
        self.probability = probability
        self.stay = torch.tensor([specials.init, specials.separator, specials.pad])
        self.blank = blank

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        tokens, present, *focus = item
        start, end = focus[0] if focus else (0, len(tokens))
        words = ~torch.isin(tokens, self.stay)
        dropped = words & torch.from_numpy(generator.random(len(tokens)) < self.probability)
        own = start + words[start:end].nonzero().flatten()
        if len(own) and dropped[own].all():
            dropped[own[generator.integers(len(own))]] = False
        if self.blank is not None:
            return tokens.masked_fill(dropped, self.blank), present, *focus
        kept = ~dropped
        moved = [(int(kept[:start].sum()), int(kept[:end].sum()))] if focus else []
        return tokens[kept], present, *moved


# -- What the options switch on --------------------------------------------------------------------

# Names of the symbol that masked language models are trained to fill in.
MASK_SYMBOLS = ("<mask>", "[MASK]")


def augment(
    modality: str,
    dataset: FairseqDataset,
    kind: str,
    cfg: AugmentationConfig,
    seed: int,
    data_dir: Path,
    token_folder: Path | None = None,
    speakers: Sequence[str | None] = (),
) -> FairseqDataset:
    """Wrap a modality dataset of the train split in the augmentations that the options switch on.

    For log-mel frames that are computed it is called twice, with the waveforms inside first.

    Args:
        modality: of the dataset; each has random numbers of its own.
        dataset: as :class:`emo_fairseq.data.data_dir.DataDir` builds it.
        kind: one of :data:`emo_fairseq.types.INPUTS`.
        cfg: the options.
        seed: of the run.
        data_dir: the data dir, for messages.
        token_folder: holds the tokenizer of tokens; None where there is none.
        speakers: (N,) of the rows; None where the speaker is not known, or the row is of another
            split. For babble only.

    Returns:
        The wrapped dataset; itself, where the options switch on nothing for its kind.

    Raises:
        UsageError: an option is malformed, or cannot act on these data.
    """
    own_seed = zlib.crc32(f"{seed} {modality}".encode())
    if kind == WAVEFORM:
        return _augment_waveforms(dataset, cfg, own_seed, speakers, data_dir)
    if kind == LOG_MEL:
        _check_reads_audio(dataset, cfg, data_dir)
    if kind in (LOG_MEL, FRAMES):
        return _augment_frames(modality, dataset, cfg, own_seed)
    if kind == TOKENS and modality == TEXT and cfg.augment_token_dropout:
        blank = _find_blank(dataset, token_folder)
        return TokenDropout(dataset, cfg.augment_token_dropout, dataset.specials, blank, own_seed)
    return dataset


def _augment_waveforms(
    dataset: FairseqDataset,
    cfg: AugmentationConfig,
    seed: int,
    speakers: Sequence[str | None],
    data_dir: Path,
) -> FairseqDataset:
    # Voices and noise are of the room, and keep their pitch and color whatever the speed of the
    # speech; transforms (the room itself, a codec) act on all of it, and last the gain, which is of
    # the microphone.
    factors, max_samples, recorded = speeds(cfg), dataset.max_samples, dataset
    if factors:
        dataset = Speed(dataset, factors, max_samples, seed)
    if snr := babble_snr(cfg):
        _check_speakers(speakers, data_dir)
        dataset = Babble(dataset, recorded, speakers, cfg.augment_babble_speakers, snr, seed)
    if snr := noise_snr(cfg):
        dataset = AddedNoise(dataset, snr, str(cfg.augment_noise_color), seed)
    if cfg.augment_transforms:
        dataset = Transformed(dataset, cfg.augment_transforms, max_samples, seed)
    if cfg.augment_gain:
        dataset = Gain(dataset, cfg.augment_gain, seed)
    return dataset


def _check_speakers(speakers: Sequence[str | None], data_dir: Path) -> None:
    if len({speaker for speaker in speakers if speaker is not None}) < 2:
        raise UsageError(
            f"--augment-babble-snr: the train split of {data_dir} names fewer than two speakers; "
            "fill in the column speaker, or leave the option out",
            "column-empty",
        )


def _augment_frames(
    modality: str, dataset: NormalizedFrames, cfg: AugmentationConfig, seed: int
) -> FairseqDataset:
    n_features = dataset.n_features
    if cfg.augment_time_masks:
        dataset = TimeMasks(dataset, cfg.augment_time_masks, cfg.augment_time_mask_width, seed)
    if n_masks := cfg.augment_feature_masks:
        width = cfg.augment_feature_mask_width
        if n_masks * width >= n_features:
            raise UsageError(
                f"--augment-feature-masks {n_masks} of --augment-feature-mask-width {width}: could "
                f"mask all {n_features} numbers of the frames of {modality}; give fewer, or "
                "narrower ones",
                "masks-too-wide",
            )
        dataset = FeatureMasks(dataset, n_masks, width, seed)
    return dataset


def _check_reads_audio(dataset: NormalizedFrames, cfg: AugmentationConfig, data_dir: Path) -> None:
    """Refuse to augment audio where stored frames are read in its place."""
    flags = ", ".join(flag for flag, value in _audio_options(cfg).items() if value)
    if flags and isinstance(dataset.dataset, StoredFrames):
        raise UsageError(
            f"{flags}: changes audio, but the log-mel frames are read from "
            f"{data_dir / 'features' / 'log_mel'}; move that folder away, or leave out "
            "whatever changes the audio",
            "augmentation-of-stored-frames",
        )


def _find_blank(dataset: FairseqDataset, folder: Path | None) -> int | None:
    """Return the id of the mask, or of the unknown symbol; byte-level BPE may have neither."""
    mask = None if folder is None else find_symbol(folder, MASK_SYMBOLS)
    if mask is not None:
        return mask
    unknown: int = dataset.specials.unknown
    return None if unknown < 0 else unknown
