"""The audio of containers that libsndfile does not support, decoded by FFmpeg through PyAV.

mp4, m4a, 3gp, mov, webm, mkv, avi, wma, flv, mpeg, aac, amr, wv, ape, and what libsndfile does not
decode of WAV, Ogg, FLAC and MP3. PyAV is imported when such a file is opened: `pip install av`.

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
# A gap between the times of two packets is longer than their rounding: packets were lost, or not
# sent while nobody spoke. One of an hour or more is a jump of the clock.
_GAP_SECONDS, _JUMP_SECONDS = 0.1, 3600.0
_SILENT_FRAMES = 1 << 16  # of a block of silence
# By how much sound and pictures of a file may begin at other times.
_OFFSET_SECONDS = 0.1
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
    "w64,aiff,au,caf,flac,ogg,mp3"
)
# Opening a file decodes some of its video, in buffers up to this size.
_PROBED_PIXELS = 2 * 8192 * 4320
DEMUXER_OPTIONS = {
    "format_whitelist": DEMUXERS,
    "protocol_whitelist": "none",
    "max_pixels": str(_PROBED_PIXELS),
}
# Its lengths are from time 0 on, whenever a stream begins.
COUNTS_FROM_ZERO = "matroska"
# Formats without a length in the header: FFmpeg estimates it from the first bit rate.
_UNSTATED = ("aac", "amr", "amrnb", "amrwb", "mp3")
# The last page has the length of its stream alone, and those that open_container gets are chained.
_CHAINED = "ogg"
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
        self.warnings = (*_several_streams(container, stream), *_other_start(container, stream))
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
        """Yield the samples; what is missing by the times of packets is silence, as in players."""
        n_frames, begin, missing, noted = 0, None, 0.0, self.warnings
        has_times = container.format.name not in _UNSTATED
        for frame in self._frames(container, stream):
            self._check_layout(frame)
            if has_times and frame.time is not None:
                begin = frame.time if begin is None else begin
                gap = frame.time - begin - n_frames / self.rate
                if _GAP_SECONDS < gap < _JUMP_SECONDS:
                    missing += gap
                    self.warnings = (*noted, f"gaps in its times: {missing:.2f} s, read as silence")
                    for n_silent in _parts(round(gap * self.rate)):
                        n_frames += n_silent
                        yield np.zeros((n_silent, self.channels), np.float32)
                elif gap >= _JUMP_SECONDS:
                    begin += gap
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
            self.warnings += ("length in doubt: the stream ends or begins within a packet",)

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


def _several_streams(container: Any, stream: Any) -> tuple[str, ...]:
    """Return the warning of a file with several audio streams, such as languages or microphones."""
    streams = container.streams.audio
    if len(streams) < 2:
        return ()
    number = [other.index for other in streams].index(stream.index) + 1
    return (f"several audio streams: number {number} of {len(streams)} is read",)


def _other_start(container: Any, stream: Any) -> tuple[str, ...]:
    """Return the warning of a file whose sound and pictures do not begin together."""
    cover = load_av().stream.Disposition.attached_pic
    pictures = next((x for x in container.streams.video if not x.disposition & cover), None)
    if pictures is None or None in (pictures.start_time, stream.start_time):
        return ()
    begins = [float(x.start_time * x.time_base) for x in (stream, pictures)]
    if abs(begins[0] - begins[1]) <= _OFFSET_SECONDS:
        return ()
    seconds, which = abs(begins[0] - begins[1]), "after" if begins[0] > begins[1] else "before"
    warning = f"sound begins {which} the pictures: by {seconds:.2f} s; times of each count from its"
    return (f"{warning} own beginning",)


def _parts(n_frames: int) -> Iterator[int]:
    """Yield the lengths of blocks of silence."""
    for start in range(0, n_frames, _SILENT_FRAMES):
        yield min(_SILENT_FRAMES, n_frames - start)


def _stated_seconds(container: Any, stream: Any) -> float | None:
    """Return the length of an audio stream by its header, Matroska's tag, or the container."""
    if container.format.name in (*_UNSTATED, _CHAINED):
        return None
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    seconds = tagged_seconds(stream)
    is_stated = container.format.name in ("matroska,webm", "flv", "asf")
    if seconds is None and is_stated and container.duration and not container.streams.video:
        seconds = float(container.duration / 1e6)  # FFmpeg's unit of time
    if seconds is not None and container.format.name.startswith(COUNTS_FROM_ZERO):
        seconds -= float((stream.start_time or 0) * stream.time_base)
    return seconds


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
