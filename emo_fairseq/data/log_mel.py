"""Log-mel frames, computed from the waveforms of another leaf."""

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset
from torch import Tensor

from data_prep.audio.frames import num_frames
from data_prep.features.log_mel import frames_of
from emo_fairseq.data.waveform import WaveformDataset


class ComputedFrames(BaseWrapperDataset):
    """Frames of 25 ms every 10 ms: (T, N_MELS) and presence."""

    def __init__(self, waveforms: WaveformDataset) -> None:
        super().__init__(waveforms)
        self._sizes = np.array([num_frames(size) for size in waveforms.sizes])

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        samples, present = self.dataset[index]
        return torch.from_numpy(frames_of(samples.numpy())), present

    @property
    def sizes(self) -> np.ndarray:
        return self._sizes
