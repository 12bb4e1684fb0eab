"""Feature folders of other tools, without a `features.yaml`, in three layouts.

    {split}.npy + {split}.lengths    emotion2vec's: all frames stacked, and a length for each row
    {split}.npy                      (N, C), a vector a row; NaN throughout = the row has none
    {split}/{id}.npy, or {id}.npy    a file a row, (T, C) or (C,); no file or frame: it has none

The first is read as it is. What the others cannot give by mmap is packed into `packed/`, in the
form of the first, when it is first opened, and again when a file has changed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.errors import (
    CodedError,
    Fault,
    ManifestError,
)
from data_prep.features.frame_files import (
    FloatArray,
    StoredFeatures,
    read_array,
    read_frames,
    rows_not_finite,
    write_frames,
)
from data_prep.files.arrays import UnreadableArrayError, load_array
from data_prep.files.digests import (
    FileRecord,
    digest_once,
    file_digests,
    is_whole,
    records_of,
    remember_written,
)
from data_prep.files.documents import (
    Document,
    load_json,
)
from data_prep.files.lock import locked
from data_prep.files.replacing import replacing
from data_prep.manifest.digests import sequence_digest
from data_prep.schema import TRAIN, Utterance


class _Packed(Document):
    """The card of packed features: signature of their source, and the files by name."""

    signature: str
    files: dict[str, FileRecord]


logger = logging.getLogger(__name__)

PACKED = "packed"
_ROWS_AT_ONCE = 4096
_MOST_OF_EMPTY = 1024  # bytes of a file without frames, which is a header of 128


def open_foreign(folder: Path, split: str, rows: Sequence[Utterance]) -> StoredFeatures | None:
    """A split in any of the layouts, or None if the folder has none of it.

    Raises ValueError if the files do not fit each other or the manifest.
    """
    array, lengths = folder / f"{split}.npy", folder / f"{split}.lengths"
    if array.exists() and lengths.exists():
        stored = read_frames(folder, split)
        _check_rows(lengths, len(stored), rows)
        features = StoredFeatures(stored.frames, stored.offsets, _names(array, rows))
    elif array.exists():
        features = _vectors(array, split, rows)
    else:
        files = _files(folder, split, rows)
        if not any(files):
            return None
        features = _one_file_a_row(folder, split, rows, files)
    _check_width(folder, split, features)
    return features


def _names(array: Path, rows: Sequence[Utterance]) -> list[str]:
    return [f"{array}: {row.id}" for row in rows]


def _check_rows(file: Path, n_rows: int, rows: Sequence[Utterance]) -> None:
    if n_rows != len(rows):
        problem = f"{n_rows} rows, but the manifest has {len(rows)}"
        remedy = "it must have one for each row of the manifest, in its order"
        raise ManifestError(Fault(str(file), None, problem, remedy, "features-mismatch"))


def _check_width(folder: Path, split: str, features: StoredFeatures) -> None:
    """Against the train split, whose width the model has."""
    for row_folder in (folder, folder / PACKED):
        train = row_folder / f"{TRAIN}.npy"
        if split != TRAIN and train.exists():
            width, own = read_array(train).shape[1], features.frames.shape[1]
            if width != own:
                raise CodedError(
                    f"{folder / split}.npy: frames of {own} numbers, but those of {train} have "
                    f"{width}; compute both with the same encoder",
                    "features-width",
                )


# -- One vector per row ----------------------------------------------------------------------------


def _read_vectors(array: Path, split: str, rows: Sequence[Utterance]) -> FloatArray:
    vectors = read_array(array)
    if len(vectors) != len(rows):
        problem = f"{len(vectors)} vectors, but the manifest has {len(rows)} rows"
        remedy = f"give one a row, or, of frames, {split}.lengths beside it"
        raise ManifestError(Fault(str(array), None, problem, remedy, "features-mismatch"))
    return vectors


def _vectors(array: Path, split: str, rows: Sequence[Utterance]) -> StoredFeatures:
    vectors = _read_vectors(array, split, rows)
    missing = _are_nan(vectors)
    if not missing.any():
        return StoredFeatures(vectors, np.arange(len(vectors) + 1), _names(array, rows))

    def frames() -> Iterator[FloatArray]:
        for vector, is_missing in zip(vectors, missing, strict=True):
            yield vector[None, :][: int(not is_missing)]

    signature = _stamp(array)
    return _packed(array.parent, split, rows, signature, frames(), vectors.dtype)


def _are_nan(vectors: FloatArray) -> npt.NDArray[np.bool_]:
    """(N,) whether a vector has NaN alone, which marks a missing row."""
    parts = [
        np.isnan(vectors[start : start + _ROWS_AT_ONCE]).all(axis=1)
        for start in range(0, len(vectors), _ROWS_AT_ONCE)
    ]
    return np.concatenate(parts or [np.zeros(0, dtype=bool)])


# -- One file per row ------------------------------------------------------------------------------


def _files(folder: Path, split: str, rows: Sequence[Utterance]) -> list[Path | None]:
    """The file of each row, in the split's own folder or in that of all."""
    row_folder = folder / split if (folder / split).is_dir() else folder
    if not row_folder.is_dir():
        return [None] * len(rows)
    return [_file(row_folder, row) for row in rows]


def _file(row_folder: Path, row: Utterance) -> Path | None:
    remedy = "give the row a shorter id, or stack the frames of all rows in {split}.npy"
    file = row_folder / f"{row.id}.npy"
    if ".." in file.relative_to(row_folder).parts:
        problem = f"the id {row.id!r} names a file outside of the folder"
        raise ManifestError(Fault(str(row_folder), None, problem, remedy, "features-mismatch"))
    try:
        file.stat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # a name that is too long, or holds NUL
        problem = f"the id {row.id[:60]!r} of {len(row.id)} characters can name no file ({error})"
        raise ManifestError(
            Fault(str(row_folder), None, problem, remedy, "file-unreadable")
        ) from error
    return file


def _one_file_a_row(
    folder: Path, split: str, rows: Sequence[Utterance], files: Sequence[Path | None]
) -> StoredFeatures:
    first = _read_row(next(file for file in files if file is not None))
    dtype = np.float16 if first.dtype == np.float16 else np.float32
    signature = sequence_digest(
        (row.id, None if file is None else _stamp(file))
        for row, file in zip(rows, files, strict=True)
    )
    none = np.zeros((0, first.shape[1]), dtype)
    frames = (none if file is None else _read_row(file) for file in files)
    return _packed(folder, split, rows, signature, frames, dtype)


def _read_row(file: Path) -> FloatArray:
    """(T, C) frames of one file; (C,) becomes (1, C)."""
    try:
        array = load_array(file)
    except UnreadableArrayError as error:
        raise ManifestError(
            Fault(str(file), None, str(error), "write it again", "array-unreadable")
        ) from error
    if array.ndim not in (1, 2) or array.dtype.kind != "f":
        problem = f"holds {array.dtype} {array.shape}, not floating (T, C) or (C,)"
        raise ManifestError(Fault(str(file), None, problem, "write it again", "array-shape"))
    if not array.shape[-1]:
        problem = "its frames have no numbers (a width of 0)"
        raise ManifestError(Fault(str(file), None, problem, "write it again", "array-shape"))
    return array if array.ndim == 2 else array[None, :]


def has_frames(file: Path) -> bool:
    """Return whether the file of a row has frames; it is refused later if it cannot be read."""
    if file.stat().st_size > _MOST_OF_EMPTY:
        return True
    try:
        return load_array(file).shape[:1] != (0,)
    except UnreadableArrayError:
        return True


def _stamp(file: Path) -> str:
    status = file.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _packed(
    folder: Path,
    split: str,
    rows: Sequence[Utterance],
    signature: str,
    frames: Iterable[FloatArray],
    dtype: npt.DTypeLike,
) -> StoredFeatures:
    """Pack the frames, unless that was done from the same files; signed last."""
    target = folder / PACKED
    signed = target / f"{split}.signature"
    try:
        with locked(target / ".lock"):
            if not _is_packed(target, signed, signature):
                signed.unlink(missing_ok=True)
                logger.info("%s: packing %s into %s", folder, split, target)
                names = _names(folder / split, rows)
                write_frames(target, split, frames, dtype, names.__getitem__)
                records = records_of(target, (f"{split}.npy", f"{split}.lengths"))
                remember_written(target, records)
                with replacing(signed, is_locked=True) as part:
                    text = json.dumps({"signature": signature, "files": records})
                    part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CodedError(
            f"{target}: cannot be written ({error.strerror}); let it be, or give the features as "
            f"{split}.npy and {split}.lengths",
            "file-not-writable",
        ) from error
    return read_frames(target, split)


def _is_packed(target: Path, signed: Path, signature: str) -> bool:
    """Return whether the packed features are of the same files, and complete."""
    if not signed.exists():
        return False
    try:
        card = load_json(signed, _Packed, remedy="it is packed again")
    except ManifestError as error:
        logger.info("%s", error)
        return False
    records = {name: record.model_dump() for name, record in card.files.items()}
    return card.signature == signature and is_whole(target, records)


# -- Faults ----------------------------------------------------------------------------------------


def find_foreign_faults(folder: Path, split: str, rows: Sequence[Utterance]) -> Iterator[Fault]:
    """Read all features of a split, and yield their faults; nothing is written."""
    array, lengths = folder / f"{split}.npy", folder / f"{split}.lengths"
    try:
        if array.exists() and lengths.exists():
            stored = read_frames(folder, split)
            _check_rows(lengths, len(stored), rows)
            odd = [rows[row].id for row in rows_not_finite(stored)]
        elif array.exists():
            vectors = _read_vectors(array, split, rows)
            odd = [rows[row].id for row in np.flatnonzero(_partly_finite(vectors)).tolist()]
        else:
            yield from _file_faults(_files(folder, split, rows))
            return
    except ManifestError as error:
        yield error.as_fault(folder)
        return
    for name in odd:
        yield _nonfinite(array, name)


def _partly_finite(vectors: FloatArray) -> npt.NDArray[np.bool_]:
    """(N,) whether a vector has NaN or infinity; one of NaN alone is a missing row."""
    is_whole, is_missing = np.isfinite(vectors).all(axis=1), np.isnan(vectors).all(axis=1)
    return np.asarray(~(is_whole | is_missing), dtype=bool)


def _file_faults(files: Iterable[Path | None]) -> Iterator[Fault]:
    width = None
    for file in files:
        if file is None:
            continue
        try:
            frames = _read_row(file)
        except ManifestError as error:
            yield error.as_fault(file)
            continue
        width = frames.shape[1] if width is None else width
        if frames.shape[1] != width:
            problem = f"frames of {frames.shape[1]} numbers, {width} before it"
            yield Fault(str(file), None, problem, "compute all with one encoder", "features-width")
        if not np.isfinite(frames).all():
            yield _nonfinite(file, file.stem)


def _nonfinite(file: Path, name: str) -> Fault:
    problem = f"the frames of {name} are NaN or infinite"
    return Fault(
        str(file),
        None,
        problem,
        "compute them again, or take them out (a length of 0)",
        "features-not-finite",
    )


def are_missing_foreign(
    folder: Path, split: str, rows: Sequence[Utterance]
) -> npt.NDArray[np.bool_]:
    """Return which rows have no features, (N,); nothing is written.

    Raises:
        ManifestError: the files do not fit the manifest.
    """
    array, lengths = folder / f"{split}.npy", folder / f"{split}.lengths"
    if array.exists() and lengths.exists():
        stored = read_frames(folder, split)
        _check_rows(lengths, len(stored), rows)
        return np.diff(stored.offsets) == 0
    if array.exists():
        return _are_nan(_read_vectors(array, split, rows))
    files = _files(folder, split, rows)
    return np.array([file is None or not has_frames(file) for file in files], dtype=bool)


# -- Digests ---------------------------------------------------------------------------------------


def foreign_digest(folder: Path, split: str, rows: Sequence[Utterance]) -> str:
    """The digest of a split's files, whichever of the layouts they have; empty without any.

    Raises:
        ValueError: a file cannot be read, or an id can name none.
    """
    array, lengths = folder / f"{split}.npy", folder / f"{split}.lengths"
    if array.exists():
        return sequence_digest(
            (file.suffix, digest_once(file)) for file in (array, lengths) if file.exists()
        )
    files = _files(folder, split, rows)
    if not any(files):
        return ""
    digests = file_digests(files, folder / PACKED / ".digests.json")
    return sequence_digest(zip((row.id for row in rows), digests, strict=True))
