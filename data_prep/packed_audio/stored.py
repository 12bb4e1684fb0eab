"""The samples of a packed split, read by mmap; see :mod:`data_prep.packed_audio.card`."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.errors import Fault, ManifestError
from data_prep.files.arrays import UnreadableArrayError, load_array
from data_prep.files.digests import verify
from data_prep.packed_audio.card import CARD_FILE, ENDINGS, PackedSplit
from data_prep.packed_audio.quantizing import IntArray, dequantize
from data_prep.packed_audio.rows import NO_SOURCE, ROW, State
from data_prep.packed_audio.sources import SOURCE


class PackedAudio:
    """The samples of one split, by mmap.

    Args:
        folder: of the files, which were compared with their records.
        split: its name.

    Attributes:
        file: of the samples.
        rows: (N,) of :data:`data_prep.packed_audio.rows.ROW`.
        sources: (F,) of :data:`data_prep.packed_audio.sources.SOURCE`.
        offsets: (N + 1,) where the samples of each row begin.

    Raises:
        ManifestError: the files do not fit each other.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self._of = folder, split
        self.file, rows_file, sources_file = (folder / f"{split}{ending}" for ending in ENDINGS)
        self.rows = _read_table(rows_file, ROW)
        self.sources = _read_table(sources_file, SOURCE)
        self.offsets = np.concatenate([[0], np.cumsum(self.rows["n_samples"], dtype=np.int64)])
        n_bytes, expected = self.file.stat().st_size, 2 * int(self.offsets[-1])
        if n_bytes != expected:
            raise _damaged(self.file, f"{n_bytes} bytes where its rows have {expected}")
        known = self.rows["source"][self.rows["source"] != NO_SOURCE]
        if len(known) and int(known.max()) >= len(self.sources):
            raise _damaged(rows_file, f"a row is of file {known.max()} of {len(self.sources)}")
        self._samples: IntArray = (  # nothing can be mapped of an empty file
            np.asarray(np.memmap(self.file, "<i2", "r")) if n_bytes else np.zeros(0, "<i2")
        )

    def __reduce__(self) -> tuple[Any, ...]:  # a copy of a mapped array would be all samples
        return type(self), self._of

    def __len__(self) -> int:
        return len(self.rows)

    def has_samples(self, row: int) -> bool:
        """Return whether there are samples of a row."""
        return bool(self.rows["n_samples"][row])

    def values(self, row: int) -> IntArray:
        """Return the samples of a row as they are stored, (n_samples,) int16."""
        return self._samples[self.offsets[row] : self.offsets[row + 1]]

    def read(self, row: int, most: int | None = None) -> npt.NDArray[np.float32]:
        """Return the samples of a row, (n_samples,) float32, at most `most` of them."""
        return dequantize(self.values(row)[:most], int(self.rows["shift"][row]))

    def is_intact(self, row: int) -> bool:
        """Return whether the samples of a row are those of their CRC-32."""
        return zlib.crc32(self.values(row).data) == int(self.rows["crc32"][row])

    def check(self, row: int) -> None:
        """Raise ManifestError unless the samples of a row are those of their CRC-32."""
        if not self.is_intact(row):
            raise _damaged(self.file, f"the samples of row {row + 1} are not those written")

    def source_digest(self, row: int) -> str:
        """Return the SHA-256 of the file that a row came from, marked if it was rounded."""
        digest: str = self.sources["sha256"][self.rows["source"][row]].tobytes().hex()
        return digest if self.rows["state"][row] == State.EXACT else f"{digest} in 16 bits"


def _read_table(file: Path, dtype: np.dtype[Any]) -> np.ndarray:
    try:
        table = load_array(file, "r")
    except UnreadableArrayError as error:
        raise _damaged(file, str(error)) from error
    if table.dtype != dtype or table.ndim != 1:
        raise _damaged(file, f"holds {table.dtype} {table.shape}")
    return table


def _damaged(file: Path, problem: str) -> ManifestError:
    remedy = f"run `python -m data_prep.pack_audio` again, or delete {file.parent}"
    return ManifestError(Fault(str(file), None, problem, remedy, "packed-audio-damaged"))


def open_intact(folder: Path, split: str, entry: PackedSplit) -> PackedAudio:
    """Open a split whose tables are those of its records, and whose samples are as many.

    Raises:
        ManifestError: they are not.
    """
    remedy = f"run `python -m data_prep.pack_audio` again, or delete {folder}"
    samples, *tables = names = [f"{split}{ending}" for ending in ENDINGS]
    if sorted(entry.files) != sorted(names):
        raise _damaged(folder / CARD_FILE, f"has no records of the files of {split}")
    for name in tables:
        verify(folder / name, entry.files[name].model_dump(), remedy)
    if not (folder / samples).is_file():
        raise _damaged(folder / samples, "is not there")
    return PackedAudio(folder, split)
