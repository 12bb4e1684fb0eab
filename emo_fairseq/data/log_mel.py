"""The log-mel leaf: filterbank frames of a waveform, normalised by the corpus's statistics."""

from dataclasses import dataclass

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset
from torch import Tensor

from data_prep.audio import log_mel, num_frames
from emo_fairseq.data.collate import pad_right
from emo_fairseq.data.waveform import WaveformDataset

N_MELS = 80


@dataclass(frozen=True)
class LogMelStatistics:
    """Mean and standard deviation of each mel band, each a list of N_MELS floats.

    Over the corpus, not over the utterance: how loud somebody speaks is part of the emotion.
    """

    mean: list[float]
    std: list[float]

    @classmethod
    def fit(cls, waveforms: WaveformDataset, n_utterances: int, seed: int) -> "LogMelStatistics":
        """From a random sample of at most `n_utterances` rows that have audio."""
        rows = np.flatnonzero([path is not None for path in waveforms.paths])
        order = np.random.default_rng(seed).permutation(rows)[:n_utterances]
        frames = np.concatenate([log_mel(waveforms[row][0].numpy(), n_mels=N_MELS) for row in order])
        return cls(frames.mean(axis=0).tolist(), np.maximum(frames.std(axis=0), 1e-5).tolist())


class LogMelDataset(BaseWrapperDataset):
    """Frames of 25 ms every 10 ms, (T, N_MELS), of the waveforms of another leaf."""

    def __init__(self, waveforms: WaveformDataset, statistics: LogMelStatistics) -> None:
        super().__init__(waveforms)
        self.mean = torch.tensor(statistics.mean)
        self.std = torch.tensor(statistics.std)
        self._sizes = np.array([num_frames(size) for size in waveforms.sizes])

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        samples, present = self.dataset[index]
        frames = torch.from_numpy(log_mel(samples.numpy(), n_mels=N_MELS))
        return (frames - self.mean) / self.std, present

    @property
    def sizes(self) -> np.ndarray:
        return self._sizes

    def collater(self, samples: list[tuple[Tensor, bool]]) -> dict[str, Tensor]:
        """``frames`` (B, T, N_MELS), ``padding_mask`` (B, T), ``present`` (B,)."""
        frames, padding_mask = pad_right([sample[0] for sample in samples], 0.0)
        present = torch.tensor([sample[1] for sample in samples])
        return {"frames": frames, "padding_mask": padding_mask, "present": present}
