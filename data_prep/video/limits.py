"""Limits of videos and pictures, checked by their headers before anything is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from data_prep.audio.containers import DEMUXERS
from data_prep.video.errors import VideoError

_MEGA = 1e6
_ROOM = 2  # decoders allocate more than the picture: whole blocks, and an edge around it
_EDGE = 1 << 16  # pixels, likewise, of small pictures


@dataclass(frozen=True)
class VideoLimits:
    """Limits of one video.

    Attributes:
        max_pixels: of a picture, its width times its height; by default those of 8K.
        max_seconds: of the video or its segment, by its header.
        max_frames: that are decoded, whatever the rate at which pictures are read.
        demuxers: names of the demuxers of FFmpeg that may open a file, with commas between them.
    """

    max_pixels: int = 8192 * 4320
    max_seconds: float = math.inf
    max_frames: float = math.inf
    demuxers: str = DEMUXERS

    @property
    def allocated_pixels(self) -> int:
        """The most pixels of a buffer of a decoder, with the room that it needs around a picture.

        Decoders check it before they allocate, also where the size in a header is wrong.
        """
        return _ROOM * self.max_pixels + _EDGE

    def check_size(self, width: int, height: int, name: str = "") -> None:
        """Raise a VideoError if a picture is too large; `name` is that of its file.

        >>> VideoLimits(max_pixels=1000).check_size(10, 100)
        >>> VideoLimits(max_pixels=1000).check_size(40, 100, "a.png")
        Traceback (most recent call last):
        ...
        data_prep.video.errors.VideoError: a.png has 40 x 100 pixels, more than 0.001 megapixels, \
the limit; scale it down first
        """
        if width * height > self.max_pixels:
            subject = f"{name} has" if name else "its pictures have"
            thing = "it" if name else "the video"
            raise VideoError(
                f"{subject} {width} x {height} pixels, more than {self._megapixels}, the limit; "
                f"scale {thing} down first",
                "picture-too-large",
            )

    def check_seconds(self, seconds: float | None) -> None:
        """Raise a VideoError if a video is too long; None: its header does not state a length."""
        if seconds is not None and seconds > self.max_seconds:
            raise VideoError(
                f"{seconds:.1f} s long, more than {self.max_seconds:g} s, the limit; cut a part of "
                "it out",
                "video-too-long",
            )

    def check_frames(self, n_frames: int) -> None:
        """Raise a VideoError if more frames have been decoded than the limit."""
        if n_frames > self.max_frames:
            raise VideoError(
                f"more than {self.max_frames:g} frames, the limit; cut a part of it out, or lower "
                "its rate",
                "video-too-many-frames",
            )

    def undecodable(self) -> VideoError:
        """Return the error of a video of unknown size, of which no picture decodes."""
        return VideoError(
            f"none of its pictures decodes: they are damaged, or larger than {self._megapixels}, "
            "the limit; write the video again, scaled down",
            "picture-too-large",
        )

    @property
    def _megapixels(self) -> str:
        return f"{self.max_pixels / _MEGA:.3g} megapixels"


DEFAULT_LIMITS = VideoLimits()
