"""Segments of audio files, which are read by seeking and never copied."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.errors import CodedError
from data_prep.files.digests import file_digests
from data_prep.files.remote import as_path
from data_prep.manifest.lazy_rows import LazyRows
from data_prep.manifest.records import SAMPLE_RATE, Utterance
from data_prep.manifest.segment import RecordingSegment

if TYPE_CHECKING:
    from data_prep.audio.decoding import FloatArray

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudioSegment(RecordingSegment):
    """An audio file from `start` to `end`, and the channel that is read; by default all of it.

    Attributes:
        channel: number of the only channel that is read, from 1; None = all, mixed to mono.

    Raises:
        CodedError: see :class:`RecordingSegment`; or there can be no such channel.

    >>> AudioSegment("dialog.wav", 1.5, 4.0).name
    'dialog.wav from 1.5 s to 4 s'
    >>> AudioSegment("call.wav", channel=2).name
    'call.wav, channel 2'
    """

    channel: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channel is not None and self.channel < 1:
            raise CodedError(
                f"{self.path}: channel {self.channel}; channels are numbered from 1",
                "audio-channel-missing",
            )

    @property
    def _span(self) -> str:
        return super()._span + ("" if self.channel is None else f", channel {self.channel}")

    @property
    def key(self) -> str:
        """Return the segment as text for digests, "" for all of a recording."""
        return super().key + ("" if self.channel is None else f" channel {self.channel}")

    @property
    def known_digest(self) -> str | None:
        """Return the digest of the file if the samples were taken from it before; else None."""
        return None

    def load(self, sample_rate: int = SAMPLE_RATE) -> FloatArray:
        """Load (n_samples,) mono float32 samples at `sample_rate`, and log warnings.

        Raises:
            ValueError: from `load_audio`, with the file and a remedy.
        """
        samples, warnings = self.load_with_warnings(sample_rate)
        for warning in warnings:
            logger.warning("%s: %s", self, warning)
        return samples

    def load_with_warnings(
        self, sample_rate: int = SAMPLE_RATE
    ) -> tuple[FloatArray, tuple[str, ...]]:
        """Load as `load`, and return warnings instead of logging them."""
        # Imported here, since commands name segments without numpy and codecs.
        from data_prep.audio.decoding import AudioError
        from data_prep.audio.loading import load_with_warnings

        try:
            return load_with_warnings(
                self.path,
                sample_rate=sample_rate,
                start=self.start,
                end=self.end,
                channel=self.channel,
            )
        except AudioError as error:
            remedy = "check --data-raw, fetch the file again, or drop its row"
            if self.key:
                remedy = "correct start and end, " + remedy
            raise CodedError(f"{self}: {error}; {remedy}", error.code) from error


def as_segment(audio: str | Path | AudioSegment) -> AudioSegment:
    """Convert a path to the segment of the whole file."""
    return audio if isinstance(audio, AudioSegment) else AudioSegment(as_path(audio))


def audio_of(row: Utterance, root: Path) -> AudioSegment | None:
    """Return the audio of a manifest's row, below the folder `root`; None without audio."""
    if row.audio is None:
        return None
    return AudioSegment(root / row.audio, row.start or 0.0, row.end)


class AudioRows(LazyRows[AudioSegment | None]):
    """The audio of a manifest's rows, as `audio_of` returns it; each is made when it is read.

    Args:
        rows: N rows.
        root: the folder that their paths start from.
    """

    def __init__(self, rows: Sequence[Utterance], root: Path) -> None:
        from data_prep.manifest.table import column, values

        self._root = root
        self._paths = values(rows, "audio")
        self._times = [column(rows, name) for name in ("start", "end")]

    def __len__(self) -> int:
        return len(self._paths)

    def row(self, number: int) -> AudioSegment | None:
        path = self._paths[number]
        if path is None:
            return None
        start, end = (times[number].as_py() for times in self._times)
        return AudioSegment(self._root / path, start or 0.0, end)


def waveforms_digest(digests: Sequence[str | None], max_samples: int) -> str:
    """Digest waveforms by the digests of their segments, and by how much is read of each."""
    return hashlib.sha256(json.dumps([max_samples, [*digests]]).encode()).hexdigest()


def audio_digests(audio: Sequence[Path | AudioSegment | None], memory: Path) -> list[str | None]:
    """Return a digest of each segment: the SHA-256 of its file, followed by its times.

    Args:
        audio: segments; None for rows without audio. That of a whole file is its SHA-256 alone.
        memory: file in which digests of files are cached.

    Raises:
        ValueError: a file cannot be read; names it.
    """
    segments = [None if part is None else as_segment(part) for part in audio]
    known = [None if part is None else part.known_digest for part in segments]
    unread = [
        None if part is None or digest is not None else part.path
        for part, digest in zip(segments, known, strict=True)
    ]
    digests = [old or new for old, new in zip(known, file_digests(unread, memory), strict=True)]
    return [
        None if part is None or digest is None else digest + part.key
        for part, digest in zip(segments, digests, strict=True)
    ]
