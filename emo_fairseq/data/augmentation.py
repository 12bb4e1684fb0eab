"""Random changes of the train split's inputs, drawn anew for every row in every epoch."""

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
from emo_fairseq.data.audio import MIN_SAMPLES
from emo_fairseq.data.frames import NormalizedFrames, StoredFrames
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

_SPEEDS = 0.5, 2.0
# Power falls with frequency to this.
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
_HAS_TIME_MASKS = Condition(
    lambda context: context.task.augment_time_masks > 0, "there is no --augment-time-masks"
)
_HAS_FEATURE_MASKS = Condition(
    lambda context: context.task.augment_feature_masks > 0, "there is no --augment-feature-masks"
)


@dataclass
class AugmentationConfig(FairseqDataclass):
    """How the train split is changed anew in every epoch; by default not at all."""

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


def noise_snr(cfg: Any) -> tuple[float, float] | None:
    """What ``--augment-noise-snr`` says: the lowest and the highest ratio in dB.

    Raises:
        UsageError: it is not understood.
    """
    text = cfg.augment_noise_snr
    if text is None:
        return None
    numbers = _numbers(text)
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise UsageError(
            f"--augment-noise-snr {text!r} is not understood; write the lowest and the highest "
            "ratio in dB, such as 5,20"
        )
    return numbers[0], numbers[1]


def speeds(cfg: Any) -> list[float]:
    """What ``--augment-speed`` says: factors to choose from; none if it is not given.

    Raises:
        UsageError: it is not understood, or changes nothing.
    """
    text = cfg.augment_speed
    if text is None:
        return []
    numbers, (slowest, fastest) = _numbers(text), _SPEEDS
    if not numbers or not all(slowest <= factor <= fastest for factor in numbers):
        raise UsageError(
            f"--augment-speed {text!r} is not understood; write factors between {slowest:g} and "
            f"{fastest:g}, joined by commas, such as 0.9,1.0,1.1"
        )
    if set(numbers) == {1.0}:
        raise UsageError(
            f"--augment-speed {text!r} changes nothing; add other factors, or leave the option out"
        )
    return numbers


def check_augmentation(cfg: Any) -> None:
    """See that the options are understood, before the audio is there that they act on.

    Raises:
        UsageError: one is not.
    """
    noise_snr(cfg)
    speeds(cfg)


def _numbers(text: str) -> list[float]:
    """Finite numbers joined by commas; none of them if one is none."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


# -- What all augmentations share: where their chance comes from -----------------------------------

Item = tuple[Any, ...]  # (values, presence, and whatever else the leaf gives)


class DrawnDataset(BaseWrapperDataset):
    """Changes the rows of a leaf, each by what a generator of its own draws.

    The generator knows nothing but the seed, the epoch, the row and the kind of change: an item is
    the same whichever worker or rank asks for it, in whatever order, and again after a resumption.
    A row that is not present stays as it is. Sizes are the leaf's.

    Args:
        dataset: a leaf, whose items begin with their values and presence.
        seed: not negative.
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
        return self.changed(item, self._generator(index)) if present else item

    def changed(self, item: Item, generator: np.random.Generator) -> Item:
        """The item as the model gets it; the one that is given is not written to."""
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self._epoch.fill_(epoch)

    def _generator(self, index: int) -> np.random.Generator:
        kind = zlib.crc32(type(self).__name__.encode())
        return np.random.default_rng((self.seed, int(self._epoch), int(index), kind))


# -- Louder or softer speech -----------------------------------------------------------------------


class Gain(DrawnDataset):
    """Multiplies the samples by a gain drawn uniformly, in decibels.

    Nothing is clipped: samples may go beyond -1 and 1, of which no encoder here minds, and so the
    shape of the wave stays what it was.

    Args:
        dataset: waveforms.
        decibels: the gain is between minus this and this.
        seed: see the base.
    """

    def __init__(self, dataset: FairseqDataset, decibels: float, seed: int) -> None:
        super().__init__(dataset, seed)
        self.decibels = decibels

    def changed(self, item: Item, generator: np.random.Generator) -> Item:
        samples, present = item
        return samples * 10 ** (generator.uniform(-self.decibels, self.decibels) / 20), present


# -- Noise beneath the speech ----------------------------------------------------------------------


def colored_noise(generator: np.random.Generator, n_samples: int, color: str) -> np.ndarray:
    """Gaussian noise (n_samples,) without a constant part, its power 1 on average.

    Args:
        generator: draws it.
        n_samples: 2 or more.
        color: one of :data:`COLORS`.
    """
    spectrum = np.fft.rfft(generator.standard_normal(n_samples))
    harmonics = np.arange(1, len(spectrum))
    spectrum[0] = 0.0
    spectrum[1:] *= harmonics ** (-COLORS[color] / 2)
    noise = np.fft.irfft(spectrum, n_samples)
    return noise / np.sqrt(np.mean(noise**2))


class AddedNoise(DrawnDataset):
    """Adds noise at a signal-to-noise ratio drawn uniformly from a range of decibels.

    The signal's power is its mean square over the whole utterance, pauses included. Silence stays
    silence.

    Args:
        dataset: waveforms.
        snr: the lowest and the highest ratio, in dB.
        color: one of :data:`COLORS`.
        seed: see the base.
    """

    def __init__(
        self, dataset: FairseqDataset, snr: tuple[float, float], color: str, seed: int
    ) -> None:
        super().__init__(dataset, seed)
        self.snr = snr
        self.color = color

    def changed(self, item: Item, generator: np.random.Generator) -> Item:
        samples, present = item
        power = float(samples.double().square().mean())
        ratio = 10 ** (generator.uniform(*self.snr) / 10)
        noise = colored_noise(generator, len(samples), self.color) * np.sqrt(power / ratio)
        return samples + torch.from_numpy(noise).to(samples), present


# -- Faster or slower speech -----------------------------------------------------------------------


def at_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """A (T,) waveform played `factor` times as fast: about T / factor samples, as much higher."""
    faster: np.ndarray = soxr.resample(samples, factor * SAMPLE_RATE, SAMPLE_RATE)
    return faster


class Speed(DrawnDataset):
    """Plays utterances at a speed drawn from a list, pitch and tempo together.

    Ko et al., "Audio augmentation for speech recognition", Interspeech 2015, with 0.9, 1.0 and 1.1.
    Sizes stay the leaf's, and so are estimates: batches hold the same rows as they would without,
    but may be longer, by 11% at a speed of 0.9.

    Args:
        dataset: waveforms.
        factors: to choose from, each as likely as the others.
        max_samples: the end of what has become longer is cut, as the leaf cuts.
        seed: see the base.
    """

    def __init__(
        self, dataset: FairseqDataset, factors: Sequence[float], max_samples: int, seed: int
    ) -> None:
        super().__init__(dataset, seed)
        self.factors = factors
        self.max_samples = max_samples

    def changed(self, item: Item, generator: np.random.Generator) -> Item:
        samples, present = item
        factor = self.factors[int(generator.integers(len(self.factors)))]
        if factor == 1:
            return item
        faster = torch.from_numpy(at_speed(samples.numpy(), factor)[: self.max_samples])
        missing = max(0, MIN_SAMPLES - len(faster))  # encoders need a whole window
        return torch.nn.functional.pad(faster, (0, missing)), present


# -- SpecAugment: stretches of time, and bands of features, are masked -----------------------------
# Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition",
# Interspeech 2019; without its time warping, which helped least there. Masks may overlap. They hold
# zeros, which is the mean of normalized frames.

MAX_TIME_SHARE = 0.5  # of an utterance, by all its time masks together


def draw_spans(
    generator: np.random.Generator, length: int, n_spans: int, max_width: int
) -> list[slice]:
    """Places within a length, of widths drawn uniformly from 0 to `max_width`, which fits it."""
    widths = generator.integers(0, max_width, size=n_spans, endpoint=True)
    starts = generator.integers(0, length - widths, endpoint=True)
    return [slice(start, start + width) for start, width in zip(starts, widths, strict=True)]


class TimeMasks(DrawnDataset):
    """Masks stretches of time.

    Args:
        dataset: normalized frames.
        n_masks: in every utterance.
        max_width: of each, in frames; less where all together could exceed :data:`MAX_TIME_SHARE`.
        seed: see the base.
    """

    def __init__(self, dataset: FairseqDataset, n_masks: int, max_width: int, seed: int) -> None:
        super().__init__(dataset, seed)
        self.n_masks = n_masks
        self.max_width = max_width

    def changed(self, item: Item, generator: np.random.Generator) -> Item:
        frames, present = item[0].clone(), item[1]
        max_width = min(self.max_width, int(MAX_TIME_SHARE * len(frames) / self.n_masks))
        for span in draw_spans(generator, len(frames), self.n_masks, max_width):
            frames[span] = 0.0
        return frames, present


class FeatureMasks(DrawnDataset):
    """Masks bands of neighboring features, such as mel bins, throughout an utterance.

    Args:
        dataset: normalized frames.
        n_masks: in every utterance.
        max_width: of each, in features; all together must be narrower than the frames.
        seed: see the base.
    """

    def __init__(self, dataset: FairseqDataset, n_masks: int, max_width: int, seed: int) -> None:
        super().__init__(dataset, seed)
        self.n_masks = n_masks
        self.max_width = max_width

    def changed(self, item: Item, generator: np.random.Generator) -> Item:
        frames, present = item[0].clone(), item[1]
        for span in draw_spans(generator, frames.size(1), self.n_masks, self.max_width):
            frames[:, span] = 0.0
        return frames, present


# -- Words that are left out of a text -------------------------------------------------------------


class TokenDropout(DrawnDataset):
    """Puts a blank in the place of tokens, each with the same chance.

    The boundaries, separators between turns included, and one token of the text at least, stay. Of
    a dialogue that is one of the current turn, whose place is kept track of.

    Args:
        dataset: tokens, with or without context.
        chance: of each token.
        specials: ids that stay.
        blank: the id that takes the place; None = nothing does, and the text becomes shorter.
        seed: see the base.
    """

    def __init__(
        self,
        dataset: FairseqDataset,
        chance: float,
        specials: SpecialIds,
        blank: int | None,
        seed: int,
    ) -> None:
        super().__init__(dataset, seed)
        self.chance = chance
        self.stay = torch.tensor([specials.init, specials.separator, specials.pad])
        self.blank = blank

    def changed(self, item: Item, generator: np.random.Generator) -> Item:
        tokens, present, *focus = item
        start, end = focus[0] if focus else (0, len(tokens))
        words = ~torch.isin(tokens, self.stay)
        dropped = words & torch.from_numpy(generator.random(len(tokens)) < self.chance)
        own = start + words[start:end].nonzero().flatten()
        if len(own) and dropped[own].all():
            dropped[own[generator.integers(len(own))]] = False
        if self.blank is not None:
            return tokens.masked_fill(dropped, self.blank), present, *focus
        kept = ~dropped
        moved = [(int(kept[:start].sum()), int(kept[:end].sum()))] if focus else []
        return tokens[kept], present, *moved


# -- The augmentations that the options ask for, over one leaf -------------------------------------

# What masked language models call the symbol that they learned to see past.
_MASK_SYMBOLS = ("<mask>", "[MASK]")


def augment(modality: str, leaf: FairseqDataset, kind: str, cfg: Any, seed: int) -> FairseqDataset:
    """A leaf of the train split, changed as the options ask; itself, where they ask for nothing.

    For log-mel frames that are computed it is called twice, with the waveforms inside first.

    Args:
        modality: of the leaf; each draws on its own.
        leaf: as :class:`emo_fairseq.data.data_dir.DataDir` makes it.
        kind: one of :data:`emo_fairseq.types.INPUTS`.
        cfg: the task's options, which are :class:`AugmentationConfig`'s.
        seed: of the run.

    Raises:
        UsageError: an option is not understood, or cannot act on these data.
    """
    own_seed = zlib.crc32(f"{seed} {modality}".encode())
    if kind == WAVEFORM:
        return _of_waveforms(leaf, cfg, own_seed)
    if kind == LOG_MEL:
        _check_audio_is_heard(leaf, cfg)
    if kind in (LOG_MEL, FRAMES):
        return _of_frames(modality, leaf, cfg, own_seed)
    if kind == TOKENS and modality == TEXT and cfg.augment_token_dropout:
        blank = _blank(leaf, Path(cfg.data) / TEXT)
        return TokenDropout(leaf, cfg.augment_token_dropout, leaf.specials, blank, own_seed)
    return leaf


def _of_waveforms(leaf: FairseqDataset, cfg: Any, seed: int) -> FairseqDataset:
    # The noise is of the room, and keeps its color whatever the speed of the speech; the gain is of
    # the microphone, which hears both.
    factors, max_samples = speeds(cfg), leaf.max_samples
    if factors:
        leaf = Speed(leaf, factors, max_samples, seed)
    if snr := noise_snr(cfg):
        leaf = AddedNoise(leaf, snr, str(cfg.augment_noise_color), seed)
    if cfg.augment_gain:
        leaf = Gain(leaf, cfg.augment_gain, seed)
    return leaf


def _of_frames(modality: str, leaf: NormalizedFrames, cfg: Any, seed: int) -> FairseqDataset:
    n_features = len(leaf.mean)
    if cfg.augment_time_masks:
        leaf = TimeMasks(leaf, cfg.augment_time_masks, cfg.augment_time_mask_width, seed)
    if n_masks := cfg.augment_feature_masks:
        width = cfg.augment_feature_mask_width
        if n_masks * width >= n_features:
            raise UsageError(
                f"--augment-feature-masks {n_masks} of --augment-feature-mask-width {width}: could "
                f"mask all {n_features} numbers of the frames of {modality}; give fewer, or "
                "narrower ones"
            )
        leaf = FeatureMasks(leaf, n_masks, width, seed)
    return leaf


def _check_audio_is_heard(leaf: NormalizedFrames, cfg: Any) -> None:
    asked = {
        "--augment-noise-snr": cfg.augment_noise_snr,
        "--augment-gain": cfg.augment_gain,
        "--augment-speed": cfg.augment_speed,
    }
    flags = ", ".join(flag for flag, value in asked.items() if value)
    if flags and isinstance(leaf.dataset, StoredFrames):
        raise UsageError(
            f"{flags}: changes audio, but the log-mel frames are read from "
            f"{Path(cfg.data) / 'features' / 'log_mel'}; move that folder away, or leave out "
            "whatever changes the audio"
        )


def _blank(leaf: FairseqDataset, folder: Path) -> int | None:
    """What takes the place of a token: the mask, the unknown symbol, or nothing (a byte-level BPE
    without a mask has neither).
    """
    found = find_symbol(folder, _MASK_SYMBOLS)
    if found is not None:
        return found
    unknown: int = leaf.specials.unknown
    return None if unknown < 0 else unknown
