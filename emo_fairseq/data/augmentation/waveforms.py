"""Augmentation of waveforms: gain, noise, voices of others, transforms, speed."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import soxr
import torch
from fairseq.data import FairseqDataset

from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.augmentation.audio_transforms import AudioTransforms
from emo_fairseq.data.augmentation.augmented_dataset import AugmentedDataset, Item
from emo_fairseq.data.input_limits import MIN_SAMPLES

# The power falls as the frequency to this exponent.
COLORS = {"white": 0.0, "pink": 1.0}


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

    def settings(self, digest_of: Callable[[FairseqDataset], str]) -> list[Any]:
        return [self.decibels]

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

    def settings(self, digest_of: Callable[[FairseqDataset], str]) -> list[Any]:
        return [*self.snr, self.color]

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

    def settings(self, digest_of: Callable[[FairseqDataset], str]) -> list[Any]:
        return [*self.speakers, self.n_speakers, *self.snr, digest_of(self.voices)]

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
    """Applies transforms of audiomentations, as a YAML file lists them.

    Sizes stay those of the wrapped dataset, and are estimates where a transform changes lengths.

    Args:
        dataset: waveforms.
        file: YAML that lists the transforms.
        max_samples: what becomes longer is truncated to this.
        seed: see :class:`AugmentedDataset`.

    Raises:
        UsageError: see :class:`emo_fairseq.data.augmentation.audio_transforms.AudioTransforms`.
    """

    def __init__(self, dataset: FairseqDataset, file: str, max_samples: int, seed: int) -> None:
        super().__init__(dataset, seed)
        self.transforms = AudioTransforms(file)
        self.max_samples = max_samples

    def settings(self, digest_of: Callable[[FairseqDataset], str]) -> list[Any]:
        return [self.transforms.content(), self.max_samples]

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

    def settings(self, digest_of: Callable[[FairseqDataset], str]) -> list[Any]:
        return [*self.factors, self.max_samples]

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        samples, present = item
        factor = self.factors[int(generator.integers(len(self.factors)))]
        if factor == 1:
            return item
        return _within_limits(at_speed(samples.numpy(), factor), self.max_samples), present
