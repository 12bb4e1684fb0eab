"""Pack the audio of a data dir: every file is read, checked and resampled once, in processes.

Rows of which the audio is packed already, by an earlier run or for another manifest, are copied:
after a change of the manifest or of files only what is new is decoded.
"""

from __future__ import annotations

import logging
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.audio.decoding import AudioError
from data_prep.audio.faults import LENGTH_TOLERANCE, none_exists, unreadable
from data_prep.audio.segment import AudioRows, AudioSegment
from data_prep.engines import Workers, ordered_map
from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.files.digests import FileRecord, file_digest, is_whole
from data_prep.files.lock import locked
from data_prep.manifest.digests import sequence_digest
from data_prep.manifest.lazy_rows import LazyRows
from data_prep.manifest.table import counts, values
from data_prep.packed_audio.card import (
    DIGESTS_FILE,
    FORMAT,
    PackCard,
    PackedSplit,
    SomeRows,
    describe_other_format,
    read_card,
    write_card,
)
from data_prep.packed_audio.decoding import PackedChunk, build_decoder
from data_prep.packed_audio.decoding import decode as decode_chunk
from data_prep.packed_audio.opening import is_of_manifest, source_paths
from data_prep.packed_audio.partial import Note, PartialPack, written_bytes
from data_prep.packed_audio.rows import NO_SOURCE, ROW, Keys, State, keys_digest, row_keys
from data_prep.packed_audio.sources import SOURCE, compare
from data_prep.packed_audio.stored import PackedAudio, open_intact
from data_prep.progress import show_progress
from data_prep.schema import Utterance

logger = logging.getLogger(__name__)

_CHUNK_SAMPLES = 1 << 21  # 4 MiB of 16 bits
_CHUNK_ROWS = 256
_FIRST_LINE = 2  # of a manifest, that is a row
_OTHER_LENGTH = "n_samples of the manifest is not the length of the audio"

Audio = Sequence[AudioSegment | None]
# A map in order over chunks of rows: those of `ordered_map`.
Decode = Callable[[Sequence[Audio]], Iterator[PackedChunk]]


@dataclass(frozen=True)
class SplitToPack:
    """One split of a data dir.

    Attributes:
        manifest: `{split}.tsv`.
        rows: of it.
        root: folder that its audio paths start from.
        sample_rate: in Hz.
    """

    manifest: Path
    rows: Sequence[Utterance]
    root: Path
    sample_rate: int

    @property
    def name(self) -> str:
        """Name of the split."""
        return self.manifest.stem

    @property
    def n_bytes(self) -> int:
        """Size of its samples by the manifest."""
        return 2 * int(self.lengths.sum())

    @cached_property
    def audio(self) -> AudioRows:
        """Audio of the rows."""
        return AudioRows(self.rows, self.root)

    @cached_property
    def paths(self) -> Sequence[str | None]:
        """Paths of the rows' files, in the folder `root`."""
        return values(self.rows, "audio")

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(N,) samples of the rows by the manifest; 0 = missing."""
        return counts(self.rows, "n_samples")

    def fault(self, row: int, error: AudioError) -> Fault:
        """Return the fault of a row whose audio cannot be read."""
        return unreadable(str(self.manifest), row + _FIRST_LINE, self.rows[row], error)


def pack(splits: Sequence[SplitToPack], folder: Path, workers: Workers) -> list[Fault]:
    """Pack the splits that are not packed, or not as they are now.

    Returns:
        A fault for each row whose audio cannot be read. The others are packed.

    Raises:
        CodedError: there is not enough space, no recording exists, or the card is invalid.
    """
    faults: list[Fault] = []
    waiting: list[SplitToPack] = []
    with locked(folder / ".lock"):
        card = _read_or_new(folder, splits[0].sample_rate)
        for split in splits:
            failed = _failed_again(folder, card, split)
            if failed is None:
                waiting.append(split)
            else:
                faults += failed
        if waiting:
            _check_space(folder, waiting)
            _check_root(waiting)
            build = partial(build_decoder, splits[0].sample_rate)
            with ordered_map(build, workers, at_once=1) as decode:
                for split in waiting:
                    faults += _pack_split(folder, card, split, decode)
    return faults


def _read_or_new(folder: Path, sample_rate: int) -> PackCard:
    card = read_card(folder)
    if card is not None and (other := describe_other_format(card)):
        logger.warning("%s: %s; it is packed again", folder, other)
    if card is None or (card.format, card.sample_rate) != (FORMAT, sample_rate):
        return PackCard(format=FORMAT, sample_rate=sample_rate)
    return card


def _failed_again(folder: Path, card: PackCard, split: SplitToPack) -> list[Fault] | None:
    """Return the faults of a split that is packed; None if it has to be packed.

    It is packed if its files are whole, and its audio is as it was: what could not be read then,
    cannot be read now.
    """
    entry = card.splits.get(split.name)
    if entry is None or not is_of_manifest(entry, split.manifest, split.rows):
        return None
    if not is_whole(folder, {name: record.model_dump() for name, record in entry.files.items()}):
        return None
    try:
        packed = open_intact(folder, split.name, entry)
    except ManifestError:  # its card is damaged, of which the next step warns
        return None
    paths = source_paths(packed, split.rows, split.root)
    if len(compare(packed.sources, paths, folder / DIGESTS_FILE).changed):
        return None
    failed = np.flatnonzero(packed.rows["state"] == State.UNREADABLE).tolist()
    again = decode_chunk(split.sample_rate, [split.audio[row] for row in failed])
    if len(again.errors) < len(failed):
        return None
    logger.info("%s: %s is up to date, skipped", folder, split.name)
    return [split.fault(row, again.errors[index]) for index, row in enumerate(failed)]


def _check_space(folder: Path, splits: Sequence[SplitToPack]) -> None:
    """Refuse before the first file is decoded what would fill the disk."""
    needed = sum(split.n_bytes - written_bytes(folder, split.name) for split in splits)
    free = shutil.disk_usage(folder).free
    if needed > 0:
        names = ", ".join(split.name for split in splits)
        logger.info("%s: audio of %s is %s", folder, names, in_gigabytes(needed))
    if needed > free:
        raise CodedError(
            f"{folder}: the audio needs {in_gigabytes(needed)}, and {in_gigabytes(free)} are free; "
            "free some space, or choose another folder",
            "disk-too-small",
        )


def _check_root(splits: Sequence[SplitToPack]) -> None:
    """Refuse a folder in which no recording exists."""
    for split in splits:
        paths = (split.root / path for path in split.paths if path is not None)
        if fault := none_exists(paths, split.root):
            raise ManifestError(fault)


def in_gigabytes(n_bytes: int) -> str:
    """Format a size.

    >>> in_gigabytes(2_340_000_000)
    '2.34 GB'
    """
    return f"{n_bytes / 1e9:.2f} GB"


def _pack_split(folder: Path, card: PackCard, split: SplitToPack, decode: Decode) -> list[Fault]:
    keys = row_keys(split.rows)
    earlier = _Earlier.of(folder, card, split, keys)
    identity = [("format", str(FORMAT)), ("rate", str(split.sample_rate))]
    key = sequence_digest([*identity, ("rows", keys_digest(keys))])
    partial_pack = PartialPack(folder, split.name, key)
    first = partial_pack.keep(keys, _count_unchanged(partial_pack, split, folder))
    with show_progress(f"packed audio {split.name}", len(split.rows)) as update:
        update(first)
        for n_rows in _Rows(split, keys, partial_pack, earlier).over(first, decode):
            update(n_rows)
    # Not vouched for while its files are exchanged.
    if card.splits.pop(split.name, None) is not None:
        write_card(folder, card)
    notes, rows = partial_pack.notes, partial_pack.rows
    card.splits[split.name] = _describe(split, keys, rows, notes, partial_pack.finish())
    write_card(folder, card)
    return [split.fault(note.row, AudioError(note.text, note.code)) for note in notes if note.code]


def _count_unchanged(partial_pack: PartialPack, split: SplitToPack, folder: Path) -> int:
    """Return how many rows of an interrupted run come before the first whose file has changed."""
    rows = partial_pack.rows[: len(split.rows)]
    sources = partial_pack.sources
    known = rows["source"] != NO_SOURCE
    if not known.any():
        return len(rows)
    numbers, first = np.unique(rows["source"], return_index=True)
    is_file = numbers < len(sources)
    paths = [f"{split.root}/{split.paths[row]}" for row in first[is_file].tolist()]
    changed = compare(sources[numbers[is_file]], paths, folder / DIGESTS_FILE).changed
    return int(first[is_file][changed].min(initial=len(rows)))


def _describe(
    split: SplitToPack,
    keys: Keys,
    rows: np.ndarray,
    notes: Sequence[Note],
    files: dict[str, FileRecord],
) -> PackedSplit:
    states, shifts = rows["state"], rows["shift"].astype(np.int64)
    rounded = states == State.ROUNDED
    odd: dict[str, list[str]] = defaultdict(list)
    for note in notes:
        if not note.code:
            odd[note.text.partition(":")[0]].append(split.rows[note.row].id)
    failed = [split.rows[note.row].id for note in notes if note.code]
    return PackedSplit(
        manifest=keys_digest(keys),
        manifest_file=file_digest(split.manifest),
        rows=len(rows),
        without_audio=int((states == State.NO_AUDIO).sum()),
        exact=int((states == State.EXACT).sum()),
        rounded=int(rounded.sum()),
        halved=int((shifts > 0).sum()),
        unreadable=SomeRows.of(failed),
        samples=int(rows["n_samples"].sum(dtype=np.int64)),
        max_error=float(0.5 * 2.0 ** shifts[rounded].max()) if rounded.any() else 0.0,
        warnings={kind: SomeRows.of(ids) for kind, ids in odd.items()},
        files=files,
    )


# -- Rows that an earlier run packed ---------------------------------------------------------------


@dataclass(frozen=True)
class _Earlier:
    """The packed audio of a split as it was, and which of its rows are used again.

    Attributes:
        packed: the audio.
        row_of: (N,) for each row of the split the row that has its samples; -1 = none.
    """

    packed: PackedAudio | None
    row_of: npt.NDArray[np.int64]

    @classmethod
    def of(cls, folder: Path, card: PackCard, split: SplitToPack, keys: Keys) -> _Earlier:
        """Return what there is; nothing if it is damaged."""
        row_of = np.full(len(keys), -1)
        entry = card.splits.get(split.name)
        if entry is None:
            return cls(None, row_of)
        try:
            packed = open_intact(folder, split.name, entry)
        except ManifestError as error:
            logger.warning("%s; every file is decoded again", error)
            return cls(None, row_of)
        is_usable = (packed.rows["n_samples"] > 0) & (packed.rows["is_odd"] == 0)
        usable = np.flatnonzero(is_usable).tolist()
        rows = {packed.rows["key"][row].tobytes(): row for row in usable}
        row_of[:] = [rows.get(key.tobytes(), -1) for key in keys]
        packed_rows = np.flatnonzero(row_of >= 0)
        numbers, first = np.unique(packed.rows["source"][row_of[packed_rows]], return_index=True)
        paths = [f"{split.root}/{split.paths[row]}" for row in packed_rows[first].tolist()]
        changed = compare(packed.sources[numbers], paths, folder / DIGESTS_FILE).changed
        is_changed = np.isin(packed.rows["source"][row_of[packed_rows]], numbers[changed])
        row_of[packed_rows[is_changed]] = -1
        row_of[[row for row in packed_rows.tolist() if not packed.is_intact(int(row_of[row]))]] = -1
        if n_rows := int((row_of >= 0).sum()):
            logger.info("%s: %s has %d rows already", folder, split.name, n_rows)
        return cls(packed, row_of)


# -- Chunks of rows --------------------------------------------------------------------------------


class _Chunks(LazyRows[Audio]):
    """The audio of chunks of rows, made when it is requested.

    Args:
        split: of the rows.
        bounds: first row of each chunk, and the number of rows.
        skipped: (N,) rows that are not decoded.
    """

    def __init__(
        self, split: SplitToPack, bounds: Sequence[int], skipped: npt.NDArray[np.bool_]
    ) -> None:
        self._split, self._bounds, self._skipped = split, bounds, skipped

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def row(self, number: int) -> Audio:
        return [
            None if self._skipped[row] else self._split.audio[row]
            for row in range(self._bounds[number], self._bounds[number + 1])
        ]


def _bounds(split: SplitToPack, first: int, skipped: npt.NDArray[np.bool_]) -> list[int]:
    """Return where chunks of at most some rows, and some samples by the manifest, begin."""
    bounds, n_samples = [first], 0
    for row in range(first, len(split.rows)):
        own = 0 if skipped[row] else int(split.lengths[row])
        is_full = n_samples + own > _CHUNK_SAMPLES or row - bounds[-1] == _CHUNK_ROWS
        if is_full and row > bounds[-1]:
            bounds.append(row)
            n_samples = 0
        n_samples += own
    return [*bounds, len(split.rows)] if bounds[-1] < len(split.rows) else bounds


@dataclass
class _Rows:
    """The rows of a split on their way from processes and from an earlier run to the files."""

    split: SplitToPack
    keys: Keys
    partial_pack: PartialPack
    earlier: _Earlier

    def over(self, first: int, decode: Decode) -> Iterator[int]:
        """Write the rows from `first` on, and yield the number of rows of each chunk."""
        self._numbers = self._known_files()
        skipped = self.earlier.row_of >= 0
        bounds = _bounds(self.split, first, skipped)
        chunks = decode(_Chunks(self.split, bounds, skipped))
        for start, stop, chunk in zip(bounds[:-1], bounds[1:], chunks, strict=True):
            self._write(start, stop, chunk)
            yield stop - start

    def _known_files(self) -> dict[str, tuple[int, bytes]]:
        """Return number and digest of the files of rows that are written already, by path."""
        rows, sources = self.partial_pack.rows, self.partial_pack.sources
        known = {}
        for row in np.flatnonzero(rows["source"] != NO_SOURCE).tolist():
            number = int(rows["source"][row])
            known[str(self.split.paths[row])] = number, sources["sha256"][number].tobytes()
        return known

    def _write(self, start: int, stop: int, chunk: PackedChunk) -> None:
        rows = np.zeros(stop - start, ROW)
        rows["key"] = self.keys[start:stop]
        new_sources: list[np.ndarray] = []
        samples: list[np.ndarray] = []
        notes: list[Note] = []
        position = 0
        for index, row in enumerate(rows):
            number = start + index
            of_chunk = chunk.rows[index]
            values = chunk.samples[position : position + int(of_chunk["n_samples"])]
            position += len(values)
            source: np.ndarray | None = None
            earlier = int(self.earlier.row_of[number])
            if earlier >= 0 and self.earlier.packed is not None:
                of_chunk = self.earlier.packed.rows[earlier]
                values = self.earlier.packed.values(earlier)
                source = self.earlier.packed.sources[of_chunk["source"]]
            elif of_chunk["n_samples"]:
                source = chunk.sources[of_chunk["source"]]
            for name in ("n_samples", "crc32", "shift", "state"):
                row[name] = of_chunk[name]
            row["source"] = NO_SOURCE
            if source is not None:
                row["source"] = self._number_of(number, source, new_sources)
            samples.append(values)
            own_notes = self._notes_of(number, index, len(values), chunk)
            row["is_odd"] = bool(own_notes)
            notes += own_notes
        stacked = np.concatenate([np.zeros(0, "<i2"), *samples])
        self.partial_pack.add(rows, stacked, np.array(new_sources, SOURCE), notes)

    def _number_of(self, row: int, source: np.ndarray, new: list[np.ndarray]) -> int:
        """Return the number of the file of a row, which is added to the table if it is new."""
        path = str(self.split.paths[row])
        digest = source["sha256"].tobytes()
        if path not in self._numbers:
            self._numbers[path] = len(self._numbers), digest
            new.append(source)
        number, known = self._numbers[path]
        if digest != known:
            raise CodedError(
                f"{self.split.root / path}: changes while it is packed; wait until it is written, "
                "and run the command again",
                "file-changed",
            )
        return number

    def _notes_of(self, number: int, index: int, n_samples: int, chunk: PackedChunk) -> list[Note]:
        if error := chunk.errors.get(index):
            return [Note(number, str(error), error.code or "audio-unreadable")]
        notes = [Note(number, text) for text in chunk.warnings.get(index, ())]
        expected = int(self.split.lengths[number])
        if n_samples and abs(n_samples - (expected or n_samples)) > LENGTH_TOLERANCE:
            notes.append(Note(number, _OTHER_LENGTH))
        return notes
