"""The packed rows of a split that is not finished: a journal that an interrupted run continues.

`FOLDER/.SPLIT.partial/` holds the samples of the first rows, both tables as far as they go, a line
for each row that is reported at the end, and the key of all that they depend on. Every file is only
appended to. When a run continues, the samples are compared with their CRC-32, and all is cut off
after the last row that is whole.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from data_prep.files.digests import FileRecord, records_of
from data_prep.files.replacing import replacing
from data_prep.packed_audio.card import ENDINGS
from data_prep.packed_audio.quantizing import IntArray
from data_prep.packed_audio.rows import NO_SOURCE, ROW, Keys, State
from data_prep.packed_audio.sources import SOURCE

logger = logging.getLogger(__name__)

_NAMES = ("samples", "rows", "files", "notes")
_KEY_FILE = "key"


def written_bytes(folder: Path, split: str) -> int:
    """Return the size of the samples that an interrupted run has written."""
    file = folder / f".{split}.partial" / "samples"
    return file.stat().st_size if file.is_file() else 0


class Note(NamedTuple):
    """What is reported of a row: a warning, or the error that it cannot be read.

    Attributes:
        row: its number.
        text: the warning or the error.
        code: of the error; "" for a warning.
    """

    row: int
    text: str
    code: str = ""


class PartialPack:
    """The files of one split while they are written.

    Args:
        folder: of the packed audio; locked by the caller.
        split: its name.
        key: digest of all that the samples depend on besides the files; a journal of another is
            removed.

    Attributes:
        notes: of the rows that are written.
    """

    def __init__(self, folder: Path, split: str, key: str) -> None:
        self._folder, self._split = folder, split
        self._partial = folder / f".{split}.partial"
        if not self._is_of(key):
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir(parents=True)
            (self._partial / _KEY_FILE).write_text(key, encoding="utf-8")
        self._files: dict[str, BinaryIO] = {
            name: (self._partial / name).open("ab+") for name in _NAMES
        }
        self._rows = self._read_table("rows", ROW)
        self._sources = self._read_table("files", SOURCE)
        self._n_samples = 0
        self._sha256 = hashlib.sha256()
        self.notes: list[Note] = []

    def _is_of(self, key: str) -> bool:
        with suppress(OSError, UnicodeDecodeError):
            return (self._partial / _KEY_FILE).read_text(encoding="utf-8") == key
        return False

    def _read_table(self, name: str, dtype: np.dtype) -> list[np.ndarray]:
        content = (self._partial / name).read_bytes()
        return [np.frombuffer(content, dtype, len(content) // dtype.itemsize)]

    @property
    def rows(self) -> np.ndarray:
        """(n,) of :data:`data_prep.packed_audio.rows.ROW`, of the rows that are written."""
        self._rows = [np.concatenate(self._rows)]
        return self._rows[0]

    @property
    def sources(self) -> np.ndarray:
        """(f,) of :data:`data_prep.packed_audio.sources.SOURCE`, of their files."""
        self._sources = [np.concatenate(self._sources)]
        return self._sources[0]

    def keep(self, keys: Keys, most: int) -> int:
        """Cut off what is not whole, or not to be kept; called once, before rows are added.

        Args:
            keys: (N, 16) of the rows of the split.
            most: number of rows that may be kept.

        Returns:
            The number of rows that are kept.
        """
        n_rows = self._count_whole(keys, min(most, len(keys)))
        rows = self.rows[:n_rows]
        known = rows["source"][rows["source"] != NO_SOURCE]
        n_sources = int(known.max()) + 1 if len(known) else 0  # numbered as rows name them
        self._rows, self._sources = [rows], [self.sources[:n_sources]]
        self._files["rows"].truncate(rows.nbytes)
        self._files["files"].truncate(self.sources.nbytes)
        self._files["samples"].truncate(2 * self._n_samples)
        notes = [note for note in self._read_notes() if note.row < n_rows]
        self._files["notes"].truncate(0)
        self._write_notes(notes)
        if n_rows:
            logger.warning("%s: %s continues after %d rows", self._folder, self._split, n_rows)
        return n_rows

    def _count_whole(self, keys: Keys, most: int) -> int:
        """Return how many rows are those of the split, with their samples."""
        file = self._files["samples"]
        file.seek(0)
        for number, row in enumerate(self.rows[:most]):
            has_audio = bool(keys[number].any())
            is_expected = np.array_equal(row["key"], keys[number])
            if not is_expected or has_audio == (row["state"] == State.NO_AUDIO):
                return number
            if row["n_samples"] and row["source"] >= len(self.sources):
                return number
            content = file.read(2 * int(row["n_samples"]))
            if zlib.crc32(content) != row["crc32"]:
                return number
            self._sha256.update(content)
            self._n_samples += int(row["n_samples"])
        return min(most, len(self.rows))

    def _read_notes(self) -> Iterator[Note]:
        file = self._files["notes"]
        file.seek(0)
        for line in file.read().split(b"\n"):
            with suppress(ValueError, TypeError):  # the last line of a run that was killed
                yield Note(*json.loads(line))

    def _write_notes(self, notes: Sequence[Note]) -> None:
        self.notes += notes
        self._files["notes"].write(b"".join(json.dumps(note).encode() + b"\n" for note in notes))

    def add(
        self, rows: np.ndarray, samples: IntArray, sources: np.ndarray, notes: Sequence[Note]
    ) -> None:
        """Append rows.

        Args:
            rows: (n,) of them.
            samples: of all of them, stacked.
            sources: (f,) of files that no row before was of.
            notes: of them.

        Raises:
            OSError: the disk is full, or another reason; names the file.
        """
        samples = np.ascontiguousarray(samples, "<i2")
        self._sha256.update(samples.data)
        self._n_samples += len(samples)
        self._rows.append(rows)
        self._sources.append(sources)
        for name, array in (("samples", samples), ("files", sources), ("rows", rows)):
            if name == "rows":  # the last: what a row refers to, is written before
                self._write_notes(notes)
                self._files["notes"].flush()
            self._write(name, array)

    def _write(self, name: str, array: np.ndarray) -> None:
        try:
            self._files[name].write(array.tobytes())
            self._files[name].flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._partial / name)) from error

    def finish(self) -> dict[str, FileRecord]:
        """Move the files to their places, and return their records. Call it once."""
        for file in self._files.values():
            file.close()
        samples, *tables = (f"{self._split}{ending}" for ending in ENDINGS)
        size = 2 * self._n_samples
        with replacing(self._folder / samples, is_locked=True) as part:
            (self._partial / "samples").replace(part)
        for name, table in zip(tables, (self.rows, self.sources), strict=True):
            with replacing(self._folder / name, is_locked=True) as part, part.open("wb") as file:
                np.save(file, table)
        shutil.rmtree(self._partial)
        records = {name: FileRecord(**x) for name, x in records_of(self._folder, tables).items()}
        return {samples: FileRecord(size=size, sha256=self._sha256.hexdigest()), **records}
