"""Readers that decode audio block by block: of arrays, and of files by libsndfile.

A file that is shorter than the length in its header was truncated, and is refused.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile

from data_prep.errors import CodedError

FloatArray = npt.NDArray[np.float32]
Block = npt.NDArray[np.float32]  # (frames, channels), full scale is 1
Source: TypeAlias = str | Path | bytes | BinaryIO | np.ndarray

# Accepted formats of libsndfile; the others have no header to check, or are instrument samples.
FORMATS = frozenset(
    ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "NIST")
)
# Subtypes whose decoded samples are finite and in [-1, 1], and so need no check.
_INTEGERS = ("PCM_", "ALAC_", "ULAW", "ALAW")
_FULL_SCALE = {np.int16: 2.0**15, np.int32: 2.0**31}

# libsndfile's log where a header states more bytes than the file has: of the chunk of samples in
# WAV, AIFF and AU, of the whole file in W64 and RF64.
_SHORT = re.compile(
    r"^\s*(data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE
)
_UNKNOWN_FRAMES = 1 << 62
# Frames decoded before a segment, by the beginning of the subtype. A frame of MP3 may depend on up
# to ten earlier ones. After a seek within a stream of Vorbis, libsndfile overlaps the first block
# (of up to 8192 frames) with that from which it came.
_PREROLL = {"MPEG": 16 * 1152, "VORBIS": 2 * 8192}
# Formats whose samples end where the decoder stops to read, and how many bytes tags may have there.
_COMPRESSED = ("FLAC", "OGG")
_REST = 1 << 12
_MARGIN = 1 << 16  # maximum difference of placeholders to 0xffffffff and 0x7fffffff


class AudioError(CodedError):
    """An invalid recording; the message does not name it: `truncated: 20000 of 32000 bytes`."""


class UnknownFormatError(AudioError):
    """The content is not audio of a supported format."""


class TooLongError(AudioError):
    """The recording is longer than `AudioLimits` allows."""


@dataclass(frozen=True)
class AudioLimits:
    """Limits of accepted audio, checked by the header before decoding.

    Attributes:
        min_rate: minimum sample rate in Hz; below it most samples would be interpolated.
        max_rate: maximum sample rate in Hz.
        max_channels: maximum number of channels.
        max_seconds: maximum length of the loaded part; also checked while decoding, since headers
            may be wrong.
    """

    min_rate: int = 1_000
    max_rate: int = 1_000_000
    max_channels: int = 32
    max_seconds: float = 6 * 3600.0

    def check_format(self, rate: float, channels: int) -> None:
        """Raise AudioError if the rate or the number of channels exceeds the limits."""
        if not self.min_rate <= rate <= self.max_rate:
            supported = f"{self.min_rate} to {self.max_rate} Hz"
            raise AudioError(
                f"a sample rate of {rate:.10g} Hz; supported are {supported}", "audio-sample-rate"
            )
        if not 1 <= channels <= self.max_channels:
            raise AudioError(
                f"{channels} channels; supported are 1 to {self.max_channels}", "audio-channels"
            )

    def check_length(self, frames: int, rate: float) -> None:
        """Raise TooLongError if so many frames at `rate` are longer than `max_seconds`."""
        if frames > self.max_seconds * rate:
            raise TooLongError(
                f"{frames / rate:.1f} s long or more, over the limit of {self.max_seconds:g} s",
                "audio-too-long",
            )


DEFAULT_LIMITS = AudioLimits()


class Reader(Protocol):
    """Protocol of an opened recording.

    Attributes:
        rate: sample rate in Hz.
        channels: number of channels.
        frames: samples per channel; None if the header does not state them.
        expected_frames: estimate of `frames`; None if unknown.
        is_checked: whether the format guarantees samples that are finite and in [-1, 1].
        warnings: warnings about the header.
    """

    rate: float
    channels: int
    frames: int | None
    expected_frames: int | None
    is_checked: bool
    warnings: tuple[str, ...]

    def skip(self, n_frames: int) -> None:
        """Skip `n_frames`, possibly beyond the end."""

    def read(self, n_frames: int) -> Block:
        """Return the next frames, at most `n_frames`; empty at the end."""

    def mix(self, block: Block) -> FloatArray:
        """Mix (frames, channels) to mono (frames,)."""


class ArrayReader:
    """Read samples in memory; integers are scaled as by libsndfile."""

    def __init__(self, samples: np.ndarray, rate: float | None) -> None:
        if samples.ndim not in (1, 2) or samples.dtype.kind not in "fiu":
            raise AudioError(
                f"audio of {samples.dtype} {samples.shape}; give a file, or numbers (T,) or "
                "(T, channels)",
                "audio-array-shape",
            )
        self._full_scale = _FULL_SCALE.get(samples.dtype.type, 1.0)
        self._is_unsigned = samples.dtype == np.uint8
        self.is_checked = samples.dtype.type in _FULL_SCALE or self._is_unsigned
        if samples.dtype.kind in "iu" and not self.is_checked:
            raise AudioError(
                f"audio of {samples.dtype}, whose full scale is unknown; give int16, int32, uint8, "
                "or floating numbers in [-1, 1]",
                "audio-array-type",
            )
        if rate is None:
            raise AudioError(
                "an array does not state its sample rate; give sample_rate in Hz",
                "audio-sample-rate",
            )
        if not isinstance(rate, int | float | np.number) or not np.isfinite(rate):
            raise AudioError(f"a sample rate of {rate}; give a number in Hz", "audio-sample-rate")
        self.rate = float(rate)
        self._samples = samples if samples.ndim == 2 else samples[:, None]
        self.frames, self.channels = self._samples.shape
        if self.channels > DEFAULT_LIMITS.max_channels:
            raise AudioError(
                f"audio of {self.channels} channels, by its shape {samples.shape}; channels are "
                "the second axis, so transpose it",
                "audio-channels",
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
    """Read a file by libsndfile."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sound = _open_sound(file)
        self._position = 0
        try:
            if self._sound.format not in FORMATS:
                raise UnknownFormatError(
                    f"unreadable: files of the format {self._sound.format} are not supported; "
                    "convert it to WAV or FLAC",
                    "audio-unreadable",
                )
            _refuse_cut(self._sound.extra_info)
        except AudioError:
            self._sound.close()
            raise
        self.rate = self._sound.samplerate
        self.channels = self._sound.channels
        states_length = self._sound.frames < _UNKNOWN_FRAMES
        self.expected_frames = self._sound.frames if states_length else None
        subtype = self._sound.subtype
        # The number of MPEG frames in a WAV is an estimate.
        is_estimate = subtype.startswith("MPEG") and self._sound.format != "MP3"
        self.frames = None if is_estimate else self.expected_frames
        self.is_checked = subtype.startswith(_INTEGERS)
        self.warnings: tuple[str, ...] = ()
        self._position = 0  # tracked here, since libsndfile has none without seeking

    def skip(self, n_frames: int) -> None:
        subtype = self._sound.subtype
        preroll = next((n for name, n in _PREROLL.items() if subtype.startswith(name)), 0)
        if n_frames <= preroll:
            discard(self, n_frames)
            return
        try:
            self._sound.seek(self._position + n_frames - preroll)
            self._position += n_frames - preroll
            discard(self, preroll)
        except soundfile.SoundFileError:  # GSM 6.10 is not seekable
            n_frames += self._position
            self._sound.close()
            self._file.seek(0)
            self._sound, self._position = _open_sound(self._file), 0
            discard(self, n_frames)

    def read(self, n_frames: int) -> Block:
        try:
            block: Block = self._sound.read(n_frames, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError(
                f"unreadable: {libsndfile_reason(error)}", "audio-unreadable"
            ) from None
        self._position += len(block)
        if self._position == self.expected_frames and self._sound.format in _COMPRESSED:
            self._note_rest()
        return block

    def _note_rest(self) -> None:
        """Warn if the file goes on after the samples that its header counts, as joined files do."""
        position = self._file.tell()
        rest = self._file.seek(0, io.SEEK_END) - position
        self._file.seek(position)
        if rest > _REST:
            counted = f"the {self._position} samples that the header counts"
            self.warnings += (f"length in doubt: {rest} bytes follow {counted}",)

    def mix(self, block: Block) -> FloatArray:
        return average(block)

    def close(self) -> None:
        """Release libsndfile's handle."""
        self._sound.close()


class PatchedFile:
    """A file with some bytes replaced; seeking before the beginning has no effect."""

    def __init__(self, file: BinaryIO, patches: dict[int, bytes] | None = None) -> None:
        self._file = file
        self._patches = patches or {}

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (ValueError, OSError):  # cffi would print it with a traceback, and not raise it
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


def average(block: Block) -> FloatArray:
    """Average the channels of (frames, channels) to mono (frames,)."""
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)


def discard(reader: Reader, n_frames: int) -> None:
    """Decode and discard `n_frames`."""
    while n_frames > 0 and (n_read := len(reader.read(min(n_frames, 1 << 16)))):
        n_frames -= n_read


def _open_sound(file: BinaryIO) -> soundfile.SoundFile:
    """Open by descriptor if possible: faster, and without a name to guess a format from."""
    if isinstance(file, io.FileIO):
        return _Sound(file.fileno(), closefd=False)
    return _Sound(file if isinstance(file, PatchedFile) else PatchedFile(file))


class _Sound(soundfile.SoundFile):
    """A file that is read sequentially, without seeking after each read.

    soundfile seeks to the current position after every read of a seekable file. In MP3 that loses
    the bits needed by the next frames: up to 0.3 s after every block would be silent.
    """

    def seekable(self) -> bool:
        return False


def _refuse_cut(log: str) -> None:
    for name, stated, actual in _SHORT.findall(log):
        size, n_bytes = int(stated), int(actual)
        if n_bytes < size and not _is_placeholder(size, is_long=name in ("riff", "Riff size")):
            raise AudioError(f"truncated: {n_bytes} of {size} bytes of sound", "audio-truncated")


def _is_placeholder(size: int, is_long: bool) -> bool:
    """Return whether a size is a placeholder, as written by recorders that cannot seek."""
    if is_long:
        return size >= _UNKNOWN_FRAMES
    return size >= 0xFFFFFFFF - _MARGIN or 0x7FFFFFFF - _MARGIN <= size <= 0x80000000


def libsndfile_reason(error: Exception) -> str:
    """Return the message of libsndfile or of the system, without the name of the file."""
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string)
    return str(error).strip()
