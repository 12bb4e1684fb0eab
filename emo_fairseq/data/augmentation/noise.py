"""Noise beneath the speech."""

import numpy as np
import torch
from fairseq.data import FairseqDataset

from emo_fairseq.data.augmentation.drawn import DrawnDataset, Item

# Power falls with frequency to this.
COLORS = {"white": 0.0, "pink": 1.0}


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
