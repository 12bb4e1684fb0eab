"""Segments whose samples are read from packed audio, wherever audio of files would be decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.audio.segment import AudioRows, AudioSegment
from data_prep.manifest.lazy_rows import LazyRows
from data_prep.packed_audio.opening import open_packed
from data_prep.packed_audio.stored import PackedAudio
from data_prep.schema import SAMPLE_RATE, Utterance

if TYPE_CHECKING:
    from data_prep.audio.decoding import FloatArray

# From the name of a split and its rows to their audio; None = a row has none.
AudioOf = Callable[[str, Sequence[Utterance]], Sequence[AudioSegment | None]]


@dataclass(frozen=True)
class PackedSegment(AudioSegment):
    """A segment with its samples.

    Attributes:
        packed: of the split.
        row: of it, which has samples.
    """

    packed: PackedAudio = field(kw_only=True)
    row: int = field(kw_only=True)

    @property
    def known_digest(self) -> str:
        return self.packed.source_digest(self.row)

    def load_with_warnings(
        self, sample_rate: int = SAMPLE_RATE
    ) -> tuple[FloatArray, tuple[str, ...]]:
        """Read the samples; what is odd about them was reported when they were packed.

        Raises:
            ManifestError: they are damaged.
        """
        if sample_rate != SAMPLE_RATE:
            return super().load_with_warnings(sample_rate)
        self.packed.check(self.row)
        return self.packed.read(self.row), ()


class PackedRows(LazyRows[AudioSegment | None]):
    """The audio of a manifest's rows; of those that could not be packed, their files.

    Args:
        packed: N rows.
        audio: N segments; None = a row has no audio.
    """

    def __init__(self, packed: PackedAudio, audio: Sequence[AudioSegment | None]) -> None:
        self._packed = packed
        self._audio = audio

    def __len__(self) -> int:
        return len(self._audio)

    def row(self, number: int) -> AudioSegment | None:
        part = self._audio[number]
        if part is None or not self._packed.has_samples(number):
            return part
        times = part.path, part.start, part.end, part.channel
        return PackedSegment(*times, packed=self._packed, row=number)


def audio_of_splits(data_dir: Path, root: Path, folder: Path | None) -> AudioOf:
    """Return the function from a split to its audio, packed where it is and is up to date."""
    opened: dict[str, Sequence[AudioSegment | None]] = {}

    def audio(split: str, rows: Sequence[Utterance]) -> Sequence[AudioSegment | None]:
        if split not in opened:
            files = AudioRows(rows, root)
            manifest = data_dir / f"{split}.tsv"
            packed = folder and open_packed(folder, manifest, rows, root, SAMPLE_RATE)
            opened[split] = PackedRows(packed, files) if packed else files
        return opened[split]

    return audio
