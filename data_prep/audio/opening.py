"""Open a recording with the reader for its content, independent of its name.

libsndfile decodes the formats that it supports. `data_prep.audio.containers` decodes others (mp4,
m4a, webm, amr, ...), FLAC files without a length, Ogg files of several consecutive streams, and MP3
files of a wrong length.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import soundfile

from data_prep.audio.containers import is_container, is_playlist, open_container
from data_prep.audio.decoding import (
    DEFAULT_LIMITS,
    ArrayReader,
    AudioError,
    AudioLimits,
    Reader,
    SoundfileReader,
    Source,
    UnknownFormatError,
    libsndfile_reason,
)
from data_prep.audio.headers import (
    check_ogg,
    is_chained_ogg,
    refuse_cut_sphere,
    repair_length,
)
from data_prep.audio.mp3 import Length, end_of_id3, length_of
from data_prep.files import lfs_pointers
from data_prep.files.remote import as_path

_HEADER = 1 << 12  # bytes from which the format is detected
_LONG_HEADER = 1 << 16  # bytes in which samples must begin for their size to be repaired
_UNSUPPORTED = 4  # libsndfile's code of a known format in an unsupported encoding
_OGG = b"OggS"


@contextmanager
def open_audio(
    source: Source, source_rate: float | None = None, limits: AudioLimits = DEFAULT_LIMITS
) -> Iterator[Reader]:
    """Open a recording.

    Args:
        source: a path; the content of a file, as bytes or as an open binary file; or an array (T,)
            or (T, channels), floating with full scale 1, int16, int32 or uint8.
        source_rate: sample rate of an array in Hz.
        limits: limits of rate and channels.

    Yields:
        A reader at the first frame.

    Raises:
        AudioError: it is missing, empty, unreadable, truncated or beyond the limits.
    """
    if isinstance(source, np.ndarray):
        reader: Reader = ArrayReader(source, source_rate)
        limits.check_format(reader.rate, reader.channels)
        yield reader
        return
    with _open_file(source) as file, _open_reader(file) as reader:
        limits.check_format(reader.rate, reader.channels)
        yield reader


@contextmanager
def _open_file(source: str | Path | bytes | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, str | Path):
        path = as_path(source)
        try:
            if not path.is_file():
                raise AudioError(_no_file(path), "file-missing")
            # Unbuffered: libsndfile reads from the same descriptor, at the same position.
            file = cast(BinaryIO, path.open("rb", buffering=0))
        except (OSError, ValueError) as error:  # ValueError: NUL in the name
            if isinstance(error, AudioError):
                raise
            raise AudioError(
                f"cannot be opened ({getattr(error, 'strerror', error)})", "file-unreadable"
            ) from None
        with file:
            _refuse_empty(file)
            yield file
        return
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    _refuse_empty(file)
    yield file


def is_sequential(path: str | Path) -> bool:
    """Return whether a part of a file can be read only after all before it, as of m4a and mp4."""
    try:
        with _open_file(path) as file:
            return _is_container(file, file.read(_HEADER))
    except (AudioError, OSError):  # which are reported when it is read
        return False


def _is_container(file: BinaryIO, head: bytes) -> bool:
    """Return whether only FFmpeg decodes a file; parts of AAC of a web stream begin with a tag."""
    if not (begin := end_of_id3(head)):
        return is_container(head)
    file.seek(begin)
    after = file.read(_HEADER)
    file.seek(0)
    return is_container(after)


def _no_file(path: Path) -> str:
    if path.is_dir():
        return "is a folder"
    return "is a pipe or a device; save it first" if path.exists() else "there is no such file"


def _refuse_empty(file: BinaryIO) -> None:
    if not file.seek(0, io.SEEK_END):
        raise AudioError("the file is empty (0 bytes)", "audio-empty")
    file.seek(0)


@contextmanager
def _open_reader(file: BinaryIO) -> Iterator[Reader]:
    head = file.read(_HEADER)
    if b"data" not in head and head[:4] in (b"RIFF", b"RF64", b"caff"):
        head += file.read(_LONG_HEADER)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if is_playlist(head):
        raise UnknownFormatError(
            "unreadable: a playlist, which names other files; give the sound", "audio-unreadable"
        )
    if lfs_pointers.is_lfs_pointer(head):
        raise UnknownFormatError(
            f"unreadable: {lfs_pointers.PROBLEM}; {lfs_pointers.REMEDY}", "audio-unreadable"
        )
    reader = None if _is_container(file, head) else _soundfile_reader(file, head, size)
    if reader is not None:
        with closing(reader):
            yield reader
    else:
        file.seek(0)
        with open_container(file) as container:
            yield container


def _soundfile_reader(file: BinaryIO, head: bytes, size: int) -> SoundfileReader | None:
    """Return a reader by libsndfile; None if it cannot decode all of a format that it supports."""
    repaired, warnings = repair_length(file, head, size)
    if head[:4] == _OGG:
        warnings += check_ogg(file, size)
        if is_chained_ogg(file, head, size):
            return None
    length, n_samples = length_of(file, head)
    if length is Length.WRONG:
        return None
    try:
        reader = SoundfileReader(repaired)
    except soundfile.LibsndfileError as error:
        if error.code == _UNSUPPORTED or head[:4] == _OGG:
            return None
        raise UnknownFormatError(
            f"unreadable: {libsndfile_reason(error)}", "audio-unreadable"
        ) from None
    # AIFF and W64 with 0 samples are also left by a killed recorder.
    is_open = not reader.expected_frames and head[:4] in (b"FORM", b"riff")
    if reader.expected_frames is None or is_open:
        reader.close()
        return None
    refuse_cut_sphere(head, reader.frames)
    if length is Length.ESTIMATED:
        reader.frames, reader.expected_frames = None, n_samples
    reader.warnings = warnings
    return reader


def is_audio(path: Path) -> bool:
    """Return whether a file begins as one of the formats that are decoded, whatever its name.

    >>> is_audio(Path(__file__))
    False
    """
    try:
        with open_audio(path):
            return True
    except AudioError:
        return False
