"""The audio of containers that libsndfile does not support, decoded by FFmpeg through PyAV.

mp4, m4a, 3gp, mov, webm, mkv, avi, wma, flv, mpeg, aac, amr, wv, ape, and what libsndfile does not
decode of WAV, Ogg and FLAC. PyAV is imported only when such a file is opened: `pip install av`.

FFmpeg opens other files and URLs to which a file refers (HLS, concat, DASH, references in mov).
Here it only gets the bytes of one file, is restricted to demuxers that need no more, and may not
open any other.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from data_prep.audio.decoding import AudioError, Block, FloatArray, UnknownFormatError, discard

# Maximum difference to the length in the header: encoders round up to whole packets.
LOST_SECONDS = 0.25
# A clip that was cut from a stream may begin and end in the middle of a packet.
BROKEN_PACKETS = 2
# ITU-R BS.775: five channels to one. The bass channel (LFE) has no speech and is left out.
_WEIGHTS = {
    **dict.fromkeys(("FL", "FR"), 0.5**0.5),
    "FC": 1.0,
    "LFE": 0.0,
    **dict.fromkeys(("BL", "BR", "SL", "SR"), 0.5),
}
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpeg,mpegts,aac,amr,amrnb,amrwb,wv,ape,wav,"
    "w64,aiff,au,caf,flac,ogg"
)
# Opening a file decodes some of its video, in buffers up to this size.
_PROBED_PIXELS = 2 * 8192 * 4320
DEMUXER_OPTIONS = {
    "format_whitelist": DEMUXERS,
    "protocol_whitelist": "none",
    "max_pixels": str(_PROBED_PIXELS),
}
# Formats without a length in the header: FFmpeg estimates it from the first bit rate.
_UNSTATED = ("aac", "amr", "amrnb", "amrwb")
_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")  # written by mkvmerge, FFmpeg and browsers
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"[playlist]", b"<asx", b"<ASX", b"<?xml", b"<MPD", b"v=0")
# First bytes of files that libsndfile does not support.
_MAGIC = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"0&\xb2u\x8ef\xcf\x11",  # ASF: wma, wmv
    b"FLV\x01",
    b"#!AMR",
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\xff\xf1",  # AAC in ADTS, without and with a checksum
    b"\xff\xf9",
    b"wvpk",
    b"MAC ",
)


def is_playlist(head: bytes) -> bool:
    """Return whether the content is a playlist, whose files are not opened."""
    return head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(_PLAYLISTS)


def is_container(head: bytes) -> bool:
    """Return whether the content begins as a format that only FFmpeg decodes."""
    is_avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    is_mov = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    is_mpegts = head[:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G"
    return head.startswith(_MAGIC) or is_avi or is_mov or is_mpegts


@contextmanager
def open_container(file: BinaryIO) -> Iterator[ContainerReader]:
    """Open the best audio stream of a file, as chosen by FFmpeg.

    Raises:
        AudioError: PyAV is not installed, there is no audio stream, or it cannot be decoded.
    """
    av = load_av()
    _refuse_cut_riff(file)
    try:
        with av.open(file, metadata_errors="replace", options=DEMUXER_OPTIONS) as container:
            stream = container.streams.best("audio")
            if stream is None:
                raise AudioError("holds no audio stream", "audio-stream-missing")
            if stream.codec_context is None:
                raise UnknownFormatError(
                    "unreadable: the codec of its audio is not supported", "audio-unreadable"
                )
            yield ContainerReader(container, stream)
    except av.FFmpegError as error:
        raise UnknownFormatError(f"unreadable: {error.strerror}", "audio-unreadable") from None


class ContainerReader:
    """Read an audio stream; stereo is averaged, surround is mixed as in ITU-R BS.775."""

    is_checked = False

    def __init__(self, container: Any, stream: Any) -> None:
        self.rate = float(stream.codec_context.sample_rate or 0)
        self.channels = int(stream.codec_context.channels or 0)
        self._stated_seconds = stated = _stated_seconds(container, stream)
        self.frames: int | None = None
        self.expected_frames = None if stated is None else int(stated * self.rate)
        self.warnings: tuple[str, ...] = ()
        self._layout: str | None = None
        self._weights = np.full(max(self.channels, 1), 1.0, np.float32)
        self._blocks = self._decode(container, stream)
        self._rest: Block = np.zeros((0, self.channels), np.float32)

    def skip(self, n_frames: int) -> None:
        discard(self, n_frames)

    def read(self, n_frames: int) -> Block:
        parts = [self._rest]
        n_read = len(self._rest)
        while n_read < n_frames and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            n_read += len(block)
        joined = np.concatenate(parts)
        self._rest = joined[n_frames:]
        return joined[:n_frames]

    def mix(self, block: Block) -> FloatArray:
        return np.asarray(block @ self._weights, dtype=np.float32)

    def _decode(self, container: Any, stream: Any) -> Iterator[Block]:
        n_frames = 0
        for frame in self._frames(container, stream):
            self._check_layout(frame)
            n_frames += frame.samples
            yield np.ascontiguousarray(frame.to_ndarray().T, dtype=np.float32)
        stated = self._stated_seconds
        if n_frames and stated is not None and n_frames / self.rate < stated - LOST_SECONDS:
            raise AudioError(
                f"truncated: {n_frames / self.rate:.2f} of {stated:.2f} s decode", "audio-truncated"
            )

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield decoded frames, converted to planar float32. Raises AudioError."""
        av = load_av()
        to_float = av.AudioResampler(format="fltp")  # changes the sample format only
        broken, packets = 0, 0
        for packet in container.demux(stream):
            packets += 1
            try:
                frames = packet.decode()
            except av.FFmpegError:
                broken += 1
                continue
            for frame in frames:
                yield from to_float.resample(frame)
        if broken > BROKEN_PACKETS:
            raise AudioError(
                f"corrupt: {broken} of {packets} packets cannot be decoded", "audio-corrupt"
            )
        if broken and self._stated_seconds is None:
            self.warnings = ("length in doubt: the stream ends or begins within a packet",)

    def _check_layout(self, frame: Any) -> None:
        channels = frame.layout.channels
        if self._layout is None:
            self._layout = frame.layout.name
            self._weights = _weights([channel.name for channel in channels])
        is_same = (frame.sample_rate, len(channels)) == (self.rate, self.channels)
        if not is_same or frame.layout.name != self._layout:
            raise AudioError(
                "changes its sample rate or its channels midway", "audio-changes-format"
            )


def _stated_seconds(container: Any, stream: Any) -> float | None:
    """Return the length of an audio stream by its header, Matroska's tag, or the container."""
    if container.format.name in _UNSTATED:
        return None
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if (seconds := tagged_seconds(stream)) is not None:
        return seconds
    is_stated = container.format.name in ("matroska,webm", "flv", "asf")
    if is_stated and container.duration and not container.streams.video:
        return float(container.duration / 1e6)  # FFmpeg's unit of time
    return None


def tagged_seconds(stream: Any) -> float | None:
    """Return the length by the tag that Matroska has for each stream; None without one."""
    if tag := _DURATION.fullmatch(stream.metadata.get("DURATION", "")):
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3])
    return None


def _weights(names: list[str]) -> FloatArray:
    """Return the weights of channels by their names; they sum to 1."""
    known = all(name in _WEIGHTS for name in names)
    weights = np.array([_WEIGHTS[name] if known else 1.0 for name in names])
    if not weights.sum():
        weights = np.ones(len(names))
    return (weights / weights.sum()).astype(np.float32)


def _refuse_cut_riff(file: BinaryIO) -> None:
    """Raise AudioError for a truncated avi, which FFmpeg decodes without an error."""
    head = file.read(12)
    size = file.seek(0, 2)
    file.seek(0)
    stated = 8 + int.from_bytes(head[4:8], "little")
    if head[:4] == b"RIFF" and head[8:] == b"AVI " and size < stated:
        raise AudioError(f"truncated: {size} of {stated} bytes", "audio-truncated")


def load_av() -> Any:
    """Import and return the module `av`. Raises AudioError if PyAV is not installed."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise AudioError(
            "decoding this format needs PyAV: `pip install av`", "library-missing"
        ) from error
