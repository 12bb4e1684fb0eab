"""The modality datasets of audio: waveforms, and the log-mel frames computed from them."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, FairseqDataset
from torch import Tensor

from data_prep.audio.decoding import FloatArray
from data_prep.audio.faults import LENGTH_TOLERANCE
from data_prep.audio.frames import num_frames_of
from data_prep.audio.part import WINDOW_MS
from data_prep.audio.segment import AudioSegment, as_segment, audio_digests
from data_prep.features.log_mel import frames_of
from data_prep.packed_audio.stored import PackedAudio
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.input_limits import MIN_SAMPLES
from emo_fairseq.data.modality_dataset import collate_padded
from emo_fairseq.data.row_warnings import RowWarnings
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)


class WaveformDataset(FairseqDataset):
    """Waveforms, each decoded once a batch.

    An item is ((T,) float32 samples at 16 kHz, presence). A row without audio is one window of
    zeros that is not present, so no fusion attends to it. What is odd about a row, such as digital
    silence, or another length than that in the manifest, is logged once.

    Args:
        audio: N files or segments of files, None where the row has no audio.
        n_samples: (N,) their lengths at 16 kHz in the manifest, for batching; 0 where it has none.
        max_samples: longer audio is truncated to this.
        names: N names of the rows, for messages.

    Raises:
        UsageError: a row is shorter than a window by the manifest or, when it is read, cannot be
            decoded; names the row.
    """

    def __init__(
        self,
        audio: Sequence[Path | AudioSegment | None],
        n_samples: np.ndarray,
        max_samples: int,
        names: Sequence[str],
    ) -> None:
        super().__init__()
        self.names = names
        self.audio = audio
        self._check_lengths(n_samples)
        self.n_samples = n_samples
        self.max_samples = max_samples
        self.sizes = np.clip(n_samples, MIN_SAMPLES, max_samples)
        further = "further such rows are not logged; data_prep.validate lists them all"
        self._warnings = RowWarnings(logger, names, further)

    def _check_lengths(self, n_samples: np.ndarray) -> None:
        """Refuse at the start what would stop the training in the middle of an epoch."""
        short = np.flatnonzero((n_samples > 0) & (n_samples < MIN_SAMPLES)).tolist()
        rows = [row for row in short if self.audio[row] is not None]
        if rows:
            first = rows[0]
            raise UsageError(
                f"{self.names[first]}: {self.audio[first]}: {n_samples[first]} samples are less "
                f"than one window of {WINDOW_MS} ms, as in {len(rows)} rows in all; drop them",
                "audio-too-short",
            )

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        samples = self._read(index)
        if samples is None:
            return torch.zeros(MIN_SAMPLES), False
        return torch.from_numpy(samples[: self.max_samples]), True

    def _read(self, index: int) -> FloatArray | None:
        part = self.audio[index]
        if part is None:
            return None
        audio = as_segment(part)
        try:
            samples, warnings = audio.load_with_warnings(SAMPLE_RATE)
        except ValueError as error:
            code = getattr(error, "code", "") or "audio-unreadable"
            raise UsageError(f"{self.names[index]}: {error}", code) from error
        expected = int(self.n_samples[index])
        if expected and abs(len(samples) - expected) > LENGTH_TOLERANCE:
            other = f"has {len(samples)} samples where n_samples of the manifest is {expected}"
            remedy = "by which rows are batched and truncated ones are counted; prepare them again"
            warnings = (*warnings, f"{other}, {remedy}")
        if warnings:
            self._warnings.warn(index, f"{audio}: {'; '.join(warnings)}")
        return samples

    def __len__(self) -> int:
        return len(self.audio)

    def content(self, memory: Path) -> list[str | None]:
        """Return a digest of the audio of each row; None where it has none.

        Args:
            memory: file in which digests of files are cached.

        Raises:
            UsageError: a file cannot be read.
        """
        return audio_digests(self.audio, memory)

    def collater(self, samples: list[tuple[Tensor, bool]]) -> dict[str, Tensor]:
        """Return ``waveform`` and ``padding_mask`` (B, T), ``present`` (B,)."""
        return collate_padded(samples, "waveform")


class PackedWaveforms(WaveformDataset):
    """Waveforms that are decoded already, from disk by mmap.

    A row that could not be packed is read from its file, which is refused, or by now correct.

    Args:
        packed: the N rows of one split on disk, or of several, one after the other.
        audio: N segments, None where the row has no audio.
        n_samples: (N,) their lengths in the manifest.
        max_samples: longer audio is truncated to this.
        names: N names of the rows, for messages.
    """

    def __init__(
        self,
        packed: Sequence[PackedAudio],
        audio: Sequence[Path | AudioSegment | None],
        n_samples: np.ndarray,
        max_samples: int,
        names: Sequence[str],
    ) -> None:
        super().__init__(audio, n_samples, max_samples, names)
        self._packed = packed
        self._first = np.cumsum([0, *map(len, packed)])  # row of each split
        # Shared, for the worker processes of an epoch are new ones.
        self._checked = torch.zeros(len(audio), dtype=torch.bool).share_memory_()

    def _locate(self, index: int) -> tuple[PackedAudio, int]:
        part = int(np.searchsorted(self._first, index, side="right")) - 1
        return self._packed[part], index - int(self._first[part])

    def _read(self, index: int) -> FloatArray | None:
        packed, row = self._locate(index)
        if not packed.has_samples(row):
            return super()._read(index)
        if not self._checked[index]:
            packed.check(row)
            self._checked[index] = True
        return packed.read(row, self.max_samples)

    def content(self, memory: Path) -> list[str | None]:
        """Return the digests that were taken when the audio was packed."""
        digests: list[str | None] = [None] * len(self)
        unpacked = []
        for index in range(len(self)):
            packed, row = self._locate(index)
            if not packed.has_samples(row):
                unpacked.append(index)
            elif (audio := self.audio[index]) is not None:
                digests[index] = packed.source_digest(row) + as_segment(audio).key
        if unpacked:
            others = audio_digests([self.audio[index] for index in unpacked], memory)
            for index, digest in zip(unpacked, others, strict=True):
                digests[index] = digest
        return digests


class InMemoryWaveforms(WaveformDataset):
    """Waveforms that are decoded already.

    Args:
        waveforms: N arrays (T,) of mono samples at 16 kHz, None where a row has none.
        max_samples: a longer one is truncated to this.
    """

    def __init__(self, waveforms: Sequence[FloatArray | None], max_samples: int) -> None:
        lengths = np.array([0 if samples is None else len(samples) for samples in waveforms])
        n_rows = len(waveforms)
        super().__init__([None] * n_rows, lengths, max_samples, [""] * n_rows)
        self.waveforms = waveforms

    def _read(self, index: int) -> FloatArray | None:
        return self.waveforms[index]


class ComputedFrames(BaseWrapperDataset):
    """Computes log-mel frames (T, N_MELS) of another dataset's waveforms, 25 ms every 10 ms."""

    def __init__(self, waveforms: WaveformDataset) -> None:
        super().__init__(waveforms)
        self._sizes = num_frames_of(waveforms.sizes)

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        samples, present = self.dataset[index]
        return torch.from_numpy(frames_of(samples.numpy())), present

    @property
    def sizes(self) -> np.ndarray:
        return self._sizes
