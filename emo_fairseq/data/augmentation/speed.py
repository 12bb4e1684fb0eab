"""Faster or slower speech."""

from collections.abc import Sequence

import numpy as np
import soxr
import torch
from fairseq.data import FairseqDataset

from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.augmentation.drawn import DrawnDataset, Item
from emo_fairseq.data.waveform import MIN_SAMPLES


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
