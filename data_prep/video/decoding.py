"""Pictures of a video at a stated rate, decoded by FFmpeg through PyAV.

The picture at a time is the one that a player shows then: the last that begins at or before it. A
video of a lower rate so repeats pictures, and one whose rate varies keeps its times. One picture is
held at a time, whatever the length of the video, and its size is bounded before it is decoded.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, dropwhile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from data_prep.audio.containers import (
    BROKEN_PACKETS,
    COUNTS_FROM_ZERO,
    DEMUXER_OPTIONS,
    load_av,
    tagged_seconds,
)
from data_prep.audio.decoding import AudioError
from data_prep.files.remote import as_path
from data_prep.video.errors import VideoError
from data_prep.video.folders import Picture
from data_prep.video.limits import DEFAULT_LIMITS, VideoLimits

VideoSource = str | Path | bytes | BinaryIO
Progress = Callable[[int], object]  # with the number of frames that have been decoded

_LOST_SECONDS = 1.0  # that may be missing at the end: headers round up to whole pictures
_TOLERANCE = 1e-6  # seconds, of times that are whole pictures
_MAX_PIXELS = "max_pixels"  # an option of all decoders
_DEFAULT_RATE = 25.0  # pictures a second, of the last picture where the header has no rate
_SOUGHT_BEFORE = (0.0, 2.0, 12.0)  # seconds before a segment that are sought, one after the other
_TIMES_LOST_BY_SEEKING = ("mpeg",)  # a program stream states the times of some pictures alone


class Streams(NamedTuple):
    """What a file holds."""

    sound: bool
    pictures: bool
    seconds: float | None  # of the pictures, by the header


def find_streams(source: VideoSource, limits: VideoLimits = DEFAULT_LIMITS) -> Streams:
    """Return which streams a file holds; the picture on the cover of a song is none.

    Raises:
        VideoError: it cannot be opened as a video.
    """
    with _open(source, limits) as container:
        stream = _picture_stream(container)
        sound = container.streams.best("audio") is not None
        seconds = None if stream is None else _stated_seconds(container, stream)
        return Streams(sound, stream is not None, seconds)


def check_video(source: VideoSource) -> None:
    """Decode the first picture.

    Raises:
        VideoError: there is none.
    """
    next(read_video(source, rate=1.0))


def read_video(
    source: VideoSource,
    *,
    rate: float,
    start: float = 0.0,
    end: float | None = None,
    limits: VideoLimits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> Iterator[Picture]:
    """Yield the pictures of a video at `rate` a second, the first one at `start`.

    Args:
        source: a path; or the content of a file, as bytes or as an open binary file.
        rate: pictures a second.
        start: in seconds.
        end: in seconds; None = end of the video.
        limits: of the video.
        progress: called after each frame that is decoded; what it raises ends the reading.

    Raises:
        VideoError: it cannot be decoded, holds no pictures, is truncated, ends before `start`, or
            exceeds a limit.
    """
    with _open(source, limits) as container:
        stream = _picture_stream(container)
        if stream is None:
            raise VideoError("holds no pictures", "video-stream-missing")
        if stream.codec_context is None:
            raise VideoError("unreadable: its codec is not supported", "video-unreadable")
        stated = _stated_seconds(container, stream) if end is None else end
        limits.check_seconds(None if stated is None else stated - start)
        limits.check_size(stream.codec_context.width, stream.codec_context.height)
        stream.codec_context.options = {_MAX_PIXELS: str(limits.allocated_pixels)}
        pictures = _Pictures(container, stream, start, limits, progress)
        yield from _sampled(pictures, rate, start, end)


def _sampled(
    pictures: _Pictures, rate: float, start: float, end: float | None
) -> Iterator[Picture]:
    shown: Any = None  # the picture at the current time
    decoded: Picture | None = None
    number = 0

    def until(time: float) -> Iterator[Picture]:
        """Yield the picture that is shown, once for each sampled time before `time`."""
        nonlocal number, decoded
        while shown is not None and start + number / rate < time - _TOLERANCE:
            if decoded is None:
                decoded = _as_array(shown)
            yield decoded
            number += 1

    stop = float("inf") if end is None else end
    for time, picture in pictures:
        yield from until(min(time, stop))
        if time >= stop:
            return
        shown, decoded = picture, None
    if shown is None:
        raise VideoError("holds no picture that decodes", "video-empty")
    yield from until(min(pictures.end, stop))
    outside = find_outside(start, end, pictures.end)
    if outside is not None:
        raise outside


def find_outside(start: float, end: float | None, seconds: float) -> VideoError | None:
    """Return the error of a segment that is not in its video."""
    if start < seconds - _TOLERANCE and (end is None or end <= seconds + _LOST_SECONDS):
        return None
    which = "ends" if start < seconds - _TOLERANCE else "begins"
    return VideoError(f"ends after {seconds:.2f} s, before the segment {which}", "segment-outside")


def _as_array(picture: Any) -> Picture:
    """Convert a decoded picture to (H, W, 3), upright as players show it."""
    upright = np.rot90(picture.to_ndarray(format="rgb24"), round(picture.rotation / 90))
    return np.ascontiguousarray(upright)


class _Pictures:
    """Decoded pictures with their times in seconds, from the last key picture before `start`.

    Attributes:
        end: where the last picture that was decoded ends, in seconds.
    """

    def __init__(
        self,
        container: Any,
        stream: Any,
        start: float,
        limits: VideoLimits,
        progress: Progress | None,
    ) -> None:
        self._container = container
        self._limits = limits
        self._progress = progress or (lambda _: None)
        self._stream = stream
        self._start = start
        self._first = float((stream.start_time or 0) * stream.time_base)
        self._length = 1.0 / float(stream.average_rate or _DEFAULT_RATE)
        self.end = 0.0
        self._n_broken = self._n_packets = self._n_frames = 0

    def __iter__(self) -> Iterator[tuple[float, Any]]:
        yield from self._from_start() or self._decoded()
        if self._n_broken and not (self._n_frames or self._stream.codec_context.width):
            raise self._limits.undecodable()
        if self._n_broken > BROKEN_PACKETS:
            raise VideoError(
                f"corrupt: {self._n_broken} of {self._n_packets} packets cannot be decoded",
                "video-corrupt",
            )
        stated = _stated_seconds(self._container, self._stream)
        if stated is not None and self.end < stated - _LOST_SECONDS:
            raise VideoError(
                f"truncated: {self.end:.2f} of {stated:.2f} s decode", "video-truncated"
            )

    def _from_start(self) -> Iterator[tuple[float, Any]] | None:
        """Seek to a key picture at or before `start`; None to decode from the beginning.

        Some formats have no index of key pictures, and MP4 has one of times of decoding, which
        come before those of B-pictures: the first key picture may then begin after `start`, and an
        earlier one is sought.
        """
        if self._container.format.name in _TIMES_LOST_BY_SEEKING:
            return None
        for seconds in _SOUGHT_BEFORE if self._start > 0 else ():
            self._seek(self._start - seconds)
            # What comes before a key picture refers to pictures that are not there.
            decoded = dropwhile(lambda pair: not pair[1].key_frame, self._decoded())
            first = next(decoded, None)
            if first is not None and first[0] <= self._start + _TOLERANCE:
                return chain([first], decoded)
            if self._start <= seconds:
                break
        if self._start > 0:
            self._seek(-_SOUGHT_BEFORE[-1])  # times of decoding may be below 0
        return None

    def _seek(self, seconds: float) -> None:
        offset = int((seconds + self._first) / self._stream.time_base)
        self._container.seek(offset, stream=self._stream)
        self._n_broken = self._n_packets = 0
        self.end = 0.0

    def _decoded(self) -> Iterator[tuple[float, Any]]:
        av = load_av()
        for packet in self._container.demux(self._stream):
            self._n_packets += 1
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                self._n_broken += 1
                continue
            for picture in pictures:
                self._n_frames += 1
                self._limits.check_frames(self._n_frames)
                self._limits.check_size(picture.width, picture.height)
                self._progress(self._n_frames)
                time = self.end if picture.time is None else picture.time - self._first
                yield time, picture
                self.end = max(self.end, time + self._length)


# -- Opening ---------------------------------------------------------------------------------------


@contextmanager
def _open(source: VideoSource, limits: VideoLimits) -> Iterator[Any]:
    try:
        av = load_av()
    except AudioError as error:
        raise VideoError("videos need PyAV: `pip install av`", error.code) from error
    with _file_of(source) as file:
        if not file.seek(0, io.SEEK_END):
            raise VideoError("the file is empty (0 bytes)", "video-empty")
        file.seek(0)
        options = {
            **DEMUXER_OPTIONS,
            "format_whitelist": limits.demuxers,
            _MAX_PIXELS: str(limits.allocated_pixels),
        }
        try:
            with av.open(file, metadata_errors="replace", options=options) as container:
                yield container
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"unreadable: {error.strerror}", "video-unreadable") from None


@contextmanager
def _file_of(source: VideoSource) -> Iterator[BinaryIO]:
    """Open a source. FFmpeg gets its bytes, so that it opens no file to which these refer."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    if not isinstance(source, str | Path):
        yield source
        return
    path = as_path(source)
    try:
        if not path.is_file():
            exists = path.exists()
            problem = "is a pipe or a device; save it first" if exists else "there is no such file"
            raise VideoError(problem, "file-missing")
        file = path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        if isinstance(error, VideoError):
            raise
        reason = getattr(error, "strerror", error)
        raise VideoError(f"cannot be opened ({reason})", "file-unreadable") from None
    with file:
        yield file


def _picture_stream(container: Any) -> Any | None:
    streams = container.streams.video
    cover = load_av().stream.Disposition.attached_pic
    return next((stream for stream in streams if not stream.disposition & cover), None)


def _stated_seconds(container: Any, stream: Any) -> float | None:
    """Return the length of the pictures by the header; None if it does not state one."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    seconds = tagged_seconds(stream)
    if seconds is None:
        if len(container.streams) > 1 or not container.duration:
            return None  # the container's length may be that of its sound
        seconds = float(container.duration / 1e6)
    if container.format.name.startswith(COUNTS_FROM_ZERO):
        seconds -= float((stream.start_time or 0) * stream.time_base)
    return seconds
