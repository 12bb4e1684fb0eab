"""Audio decoded block by block: files, bytes and arrays behind one interface, the `Reader`.

The format is recognized by content, never by name. libsndfile decodes what it supports; containers
that it does not (mp4, m4a, webm, amr, ...) are decoded by `data_prep.audio.containers`, as is a
FLAC that does not state its length.

A header that states a length is believed: a file that is shorter was cut, and is refused. Recorders
that were killed, and pipes, leave 0 or 0xffffffff where the length belongs: such a WAV extends to
the end of the file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import soundfile

FloatArray = npt.NDArray[np.float32]
Block = npt.NDArray[np.float32]  # (frames, channels), full scale is 1
Source: TypeAlias = str | Path | bytes | BinaryIO | np.ndarray

# What is read of the formats that libsndfile supports; the others have no header that could be
# checked, or are samples of instruments.
FORMATS = frozenset(
    ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "NIST")
)
# Subtypes whose decoded samples lie in [-1, 1] and are finite, so that nothing needs checking.
_INTEGERS = ("PCM_", "ALAC_", "ULAW", "ALAW")
_FULL_SCALE = {np.int16: 2.0**15, np.int32: 2.0**31}

# libsndfile's log where a header states more bytes than the file has. Of WAV, AIFF and AU it names
# the chunk of samples, of W64 and RF64 the whole file.
_SHORT = re.compile(
    r"^\s*(data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE
)
_UNSUPPORTED = 4  # libsndfile's code of a format that it recognizes, in an encoding it does not
_UNKNOWN_FRAMES = 1 << 62
_LONGEST_PAGE = 27 + 255 + 255 * 255  # bytes of an Ogg page
_MARGIN = 1 << 16  # bytes by which placeholders differ from 0xffffffff and 0x7fffffff
_HEADER = 1 << 16  # bytes in which a WAV's chunk of samples begins, or its size is not repaired
_UNKNOWN = b"\xff\xff\xff\xff"  # a length that is not stated
_TAIL = 1024  # bytes after the samples that are no chunk, beyond which a header is doubted


class AudioError(ValueError):
    """What is wrong with one recording, without its name: `truncated: 20000 of 32000 bytes`."""


class UnknownFormatError(AudioError):
    """The content is not audio of a format that can be decoded."""


class TooLongError(AudioError):
    """There are more samples than `AudioLimits` allows."""


@dataclass(frozen=True)
class AudioLimits:
    """What is refused by the header, before anything is decoded.

    Attributes:
        min_rate: lowest sample rate, in Hz; below it resampling would invent most of the samples.
        max_rate: highest sample rate, in Hz.
        max_channels: of a recording.
        max_seconds: of the part that is loaded; also held while decoding, as headers may be wrong.
    """

    min_rate: int = 1_000
    max_rate: int = 1_000_000
    max_channels: int = 32
    max_seconds: float = 6 * 3600.0

    def check_format(self, rate: float, channels: int) -> None:
        """Raise AudioError for a rate or a number of channels beyond the limits."""
        if not self.min_rate <= rate <= self.max_rate:
            supported = f"{self.min_rate} to {self.max_rate} Hz"
            raise AudioError(f"a sample rate of {rate:.10g} Hz; supported are {supported}")
        if not 1 <= channels <= self.max_channels:
            raise AudioError(f"{channels} channels; supported are 1 to {self.max_channels}")

    def check_length(self, frames: int, rate: float) -> None:
        """Raise TooLongError for more frames at `rate` than `max_seconds` allows."""
        if frames > self.max_seconds * rate:
            raise TooLongError(
                f"{frames / rate:.1f} s long or more, over the limit of {self.max_seconds:g} s"
            )


DEFAULT_LIMITS = AudioLimits()


class Reader(Protocol):
    """An opened recording.

    Attributes:
        rate: in Hz.
        channels: number of them.
        frames: samples per channel, None where the header does not state them.
        expected_frames: about as many as there will be, None where that is unknown.
        is_checked: every sample is finite and in [-1, 1] by its format.
        subtype: how the samples are stored, in soundfile's words.
        warnings: what is odd about the header.
    """

    rate: float
    channels: int
    frames: int | None
    expected_frames: int | None
    is_checked: bool
    subtype: str
    warnings: tuple[str, ...]

    def skip(self, n_frames: int) -> None:
        """Go on `n_frames` later, which may be behind the end."""

    def read(self, n_frames: int) -> Block:
        """The next frames, at most `n_frames`; none at the end."""

    def mix(self, block: Block) -> FloatArray:
        """(frames, channels) to mono (frames,)."""


@contextmanager
def open_audio(
    source: Source, source_rate: float | None = None, limits: AudioLimits = DEFAULT_LIMITS
) -> Iterator[Reader]:
    """Open a recording.

    Args:
        source: a path; the content of a file, as bytes or as an open binary file; or an array (T,)
            or (T, channels), floating with full scale 1, int16, int32 or uint8.
        source_rate: in Hz, of an array.
        limits: on rate and channels.

    Raises:
        AudioError: it is absent, empty, unreadable, cut short or beyond the limits.
    """
    if isinstance(source, np.ndarray):
        reader: Reader = ArrayReader(source, source_rate)
        limits.check_format(reader.rate, reader.channels)
        yield reader
        return
    with _open_file(source) as file, _open_reader(file) as reader:
        limits.check_format(reader.rate, reader.channels)
        yield reader


class ArrayReader:
    """Samples in memory, scaled as libsndfile scales integers."""

    def __init__(self, samples: np.ndarray, rate: float | None) -> None:
        if samples.ndim not in (1, 2) or samples.dtype.kind not in "fiu":
            raise AudioError(
                f"audio of {samples.dtype} {samples.shape}; give a file, or numbers (T,) or "
                "(T, channels)"
            )
        self._full_scale = _FULL_SCALE.get(samples.dtype.type, 1.0)
        self._is_unsigned = samples.dtype == np.uint8
        self.is_checked = samples.dtype.type in _FULL_SCALE or self._is_unsigned
        if samples.dtype.kind in "iu" and not self.is_checked:
            raise AudioError(
                f"audio of {samples.dtype}, whose full scale is unknown; give int16, int32, uint8, "
                "or floating numbers in [-1, 1]"
            )
        if rate is None:
            raise AudioError("an array does not state its sample rate; give sample_rate in Hz")
        if not isinstance(rate, int | float | np.number) or not np.isfinite(rate):
            raise AudioError(f"a sample rate of {rate}; give a number in Hz")
        self.rate = float(rate)
        self.subtype = str(samples.dtype)
        self._samples = samples if samples.ndim == 2 else samples[:, None]
        self.frames, self.channels = self._samples.shape
        if self.channels > DEFAULT_LIMITS.max_channels:
            raise AudioError(
                f"audio of {self.channels} channels, by its shape {samples.shape}; channels are "
                "the second axis, so transpose it"
            )
        self.expected_frames = self.frames
        self.warnings: tuple[str, ...] = ()
        self._position = 0

    def skip(self, n_frames: int) -> None:
        self._position += n_frames

    def read(self, n_frames: int) -> Block:
        block = self._samples[self._position : self._position + n_frames]
        self._position += len(block)
        if self._is_unsigned:
            return (block.astype(np.float32) - np.float32(128)) / np.float32(128)
        if self.is_checked:
            return np.asarray(block / self._full_scale, dtype=np.float32)
        with np.errstate(over="ignore"):  # to infinity, which is refused
            return block.astype(np.float32)

    def mix(self, block: Block) -> FloatArray:
        return average(block)


class SoundfileReader:
    """A file that libsndfile decodes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sound = _open_sound(file)
        self._position = 0
        try:
            if self._sound.format not in FORMATS:
                raise UnknownFormatError(
                    f"unreadable: files of the format {self._sound.format} are not supported; "
                    "convert it to WAV or FLAC"
                )
            _refuse_cut(self._sound.extra_info)
        except AudioError:
            self._sound.close()
            raise
        self.rate = self._sound.samplerate
        self.channels = self._sound.channels
        states_length = self._sound.frames < _UNKNOWN_FRAMES
        self.frames = self.expected_frames = self._sound.frames if states_length else None
        self.subtype = str(self._sound.subtype)
        self.is_checked = self.subtype.startswith(_INTEGERS)
        self.warnings: tuple[str, ...] = ()
        self._position = 0  # which libsndfile does not tell where it cannot seek

    def skip(self, n_frames: int) -> None:
        if not n_frames:
            return
        try:
            self._sound.seek(self._position + n_frames)
            self._position += n_frames
        except soundfile.SoundFileError:  # GSM 6.10 cannot be sought in
            n_frames += self._position
            self._sound.close()
            self._file.seek(0)
            self._sound, self._position = _open_sound(self._file), 0
            discard(self, n_frames)

    def read(self, n_frames: int) -> Block:
        try:
            block: Block = self._sound.read(n_frames, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError(f"unreadable: {_reason(error)}") from None
        self._position += len(block)
        return block

    def mix(self, block: Block) -> FloatArray:
        return average(block)

    def close(self) -> None:
        """Release libsndfile's handle."""
        self._sound.close()


def average(block: Block) -> FloatArray:
    """(frames, channels) to mono (frames,), all channels alike."""
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)


def discard(reader: Reader, n_frames: int) -> None:
    """Decode so many frames, and forget them."""
    while n_frames > 0 and (n_read := len(reader.read(min(n_frames, 1 << 16)))):
        n_frames -= n_read


@contextmanager
def _open_file(source: str | Path | bytes | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, str | Path):
        path = Path(source)
        try:
            if not path.is_file():
                raise AudioError("is a folder" if path.is_dir() else "there is no such file")
            # Unbuffered: libsndfile reads from the same descriptor, at the same position.
            file = cast(BinaryIO, path.open("rb", buffering=0))
        except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
            if isinstance(error, AudioError):
                raise
            raise AudioError(f"cannot be opened ({getattr(error, 'strerror', error)})") from None
        with file:
            _refuse_empty(file)
            yield file
        return
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    _refuse_empty(file)
    yield file


def _refuse_empty(file: BinaryIO) -> None:
    if not file.seek(0, io.SEEK_END):
        raise AudioError("the file is empty (0 bytes)")
    file.seek(0)


@contextmanager
def _open_reader(file: BinaryIO) -> Iterator[Reader]:
    from data_prep.audio import containers

    head = file.read(_HEADER)
    if containers.is_playlist(head):
        raise UnknownFormatError("unreadable: a playlist, which names other files; give the sound")
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if containers.is_container(head):
        with containers.open_container(file) as container:
            yield container
        return
    repaired, warnings = _repaired(file, head, size)
    if head[:4] == b"OggS":
        warnings += _check_ogg(file, size)
    try:
        reader = SoundfileReader(repaired)
    except soundfile.LibsndfileError as error:
        if error.code != _UNSUPPORTED or not containers.is_audio_container(head):
            raise UnknownFormatError(f"unreadable: {_reason(error)}") from None
        file.seek(0)
        with containers.open_container(file) as container:
            yield container
        return
    try:
        if reader.frames is None or (not reader.frames and containers.is_audio_container(head)):
            file.seek(0)
            with containers.open_container(file) as container:
                yield container
            return
        _refuse_cut_sphere(head, reader.frames)
        reader.warnings = warnings
        yield reader
    finally:
        reader.close()


def _open_sound(file: BinaryIO) -> soundfile.SoundFile:
    """By its descriptor where that is ours: faster, and no name from which to guess a format."""
    if isinstance(file, io.FileIO):
        return soundfile.SoundFile(file.fileno(), closefd=False)
    return soundfile.SoundFile(file if isinstance(file, _Seekable) else _Seekable(file))


class _Seekable:
    """A file with some bytes replaced, in which a broken header may seek before the beginning."""

    def __init__(self, file: BinaryIO, patches: dict[int, bytes] | None = None) -> None:
        self._file = file
        self._patches = patches or {}

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (ValueError, OSError):  # which cffi would print, with its traceback, and not raise
            return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()
        content = self._file.read(size)
        if not any(
            start < at + len(new) and at < start + len(content) for at, new in self._patches.items()
        ):
            return content
        changed = bytearray(content)
        for at, new in self._patches.items():
            for index, byte in enumerate(new, start=at - start):
                if 0 <= index < len(changed):
                    changed[index] = byte
        return bytes(changed)


def _repaired(file: BinaryIO, head: bytes, size: int) -> tuple[BinaryIO, tuple[str, ...]]:
    """A file whose samples are stated as 0 bytes, but go on to its end, with that length.

    Also returns what to warn of, where a WAV states fewer samples than it has.
    """
    patches = _repaired_au(head, size) or _repaired_caf(head, size) or _repaired_rf64(head, size)
    if patches:
        return cast(BinaryIO, _Seekable(file, patches)), ()
    chunk = _data_chunk(head)
    if chunk is None:
        return file, ()
    at, stated = chunk
    begin = at + 8
    tail = size - begin - stated
    if tail <= _TAIL * bool(stated) or _are_chunks(file, begin + stated + stated % 2, size):
        return file, ()
    if stated:
        return file, (
            f"length in doubt: the header counts {stated} of {size - begin} bytes of sound",
        )
    return cast(BinaryIO, _Seekable(file, {4: _UNKNOWN, at + 4: _UNKNOWN})), ()


def _repaired_au(head: bytes, size: int) -> dict[int, bytes]:
    begin = int.from_bytes(head[4:8], "big")
    is_open = head[:4] == b".snd" and head[8:12] == bytes(4) and size > begin
    return {8: _UNKNOWN} if is_open else {}


def _repaired_caf(head: bytes, size: int) -> dict[int, bytes]:
    """Core Audio's own way to state no length is -1, which libsndfile does not support."""
    at = 8
    while head[:4] == b"caff" and at + 12 <= len(head):
        stated = int.from_bytes(head[at + 4 : at + 12], "big", signed=True)
        if head[at : at + 4] == b"data":
            is_open = stated in (-1, 0) and size > at + 16  # 4 bytes count the edits
            return {at + 4: (size - at - 12).to_bytes(8, "big")} if is_open else {}
        at += 12 + max(stated, 0)
    return {}


def _repaired_rf64(head: bytes, size: int) -> dict[int, bytes]:
    at, data = head.find(b"ds64"), head.find(b"data")
    is_open = head[:4] == b"RF64" and at > 0 and head[at + 16 : at + 24] == bytes(8)
    if not is_open or data < 0 or size <= data + 8:
        return {}
    sizes = (size - 8).to_bytes(8, "little") + (size - data - 8).to_bytes(8, "little")
    return {at + 8: sizes}


def _data_chunk(head: bytes) -> tuple[int, int] | None:
    """Where the chunk of samples begins in a WAV, and the bytes that it states."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    at = 12
    while at + 8 <= len(head):
        size = int.from_bytes(head[at + 4 : at + 8], "little")
        if head[at : at + 4] == b"data":
            return at, size
        at += 8 + size + size % 2
    return None


def _are_chunks(file: BinaryIO, at: int, size: int) -> bool:
    """Whether all from `at` to the file's end are chunks, such as LIST: no samples."""
    try:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(8)
            if not all(0x20 <= byte < 0x7F for byte in head[:4]):
                return False
            length = int.from_bytes(head[4:], "little")
            at += 8 + length + length % 2
        return at <= size + 1
    finally:
        file.seek(0)


def _check_ogg(file: BinaryIO, size: int) -> tuple[str, ...]:
    """Refuse an Ogg that ends within a page; warn of one whose last page is not marked as such."""
    begin = max(0, size - _LONGEST_PAGE)
    file.seek(begin)
    tail = file.read(_LONGEST_PAGE)
    file.seek(0)
    at = tail.rfind(b"OggS")
    n_segments = tail[at + 26 : at + 27]
    table = tail[at + 27 : at + 27 + n_segments[0]] if n_segments else b""
    if at < 0 or not n_segments or at + 27 + len(table) + sum(table) > len(tail):
        raise AudioError(f"truncated: its last page is incomplete, {size} bytes are there")
    is_last = tail[at + 5] & 4
    return () if is_last else ("length in doubt: the end of the stream is missing",)


def _refuse_cut_sphere(head: bytes, frames: int | None) -> None:
    """NIST SPHERE states samples per channel in a text header."""
    stated = re.search(rb"^sample_count -i (\d{1,15})\s*$", head[:1024], re.MULTILINE)
    if head[:7] == b"NIST_1A" and stated and frames is not None and frames < int(stated[1]):
        raise AudioError(f"truncated: {frames} of {int(stated[1])} samples decode")


def _refuse_cut(log: str) -> None:
    for name, stated, actual in _SHORT.findall(log):
        size, there = int(stated), int(actual)
        if there < size and not _is_placeholder(size, is_long=name in ("riff", "Riff size")):
            raise AudioError(f"truncated: {there} of {size} bytes of sound")


def _is_placeholder(size: int, is_long: bool) -> bool:
    """Whether it states no length, as of recorders that could not know it."""
    if is_long:
        return size >= _UNKNOWN_FRAMES
    return size >= 0xFFFFFFFF - _MARGIN or 0x7FFFFFFF - _MARGIN <= size <= 0x80000000


def _reason(error: Exception) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string)
    return str(error).strip()
