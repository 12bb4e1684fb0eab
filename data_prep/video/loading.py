"""Load the pictures of a video as an encoder reads them.

Every command loads videos by this module: a video is decoded once, up to a limit of seconds, and
each picture is cropped to its face, where faces are wanted, and resized as soon as it is decoded. A
picture without a face is left out, so that no encoder, pooling or fusion reads it, and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data_prep.video.decoding import Progress, VideoSource, find_streams, read_video
from data_prep.video.faces import Detector, crop_faces, load_detector
from data_prep.video.folders import Picture, list_pictures, no_times, read_pictures
from data_prep.video.limits import DEFAULT_LIMITS, VideoLimits
from data_prep.video.preparing import PictureSize
from data_prep.video.segment import VideoSegment, as_video

_DETECTED_AT_ONCE = 8  # pictures in full size that are in memory
_BYTES_AT_ONCE = 100_000_000  # likewise; that many are exceeded by one picture at most


@dataclass(frozen=True)
class PictureOptions:
    """Which pictures of a video are read.

    Attributes:
        rate: pictures a second.
        max_seconds: a longer video is truncated at its end.
        size: of the pictures that the encoder reads.
        face_detector: name of the detector of faces; None = pictures are read whole.
    """

    rate: float
    max_seconds: float
    size: PictureSize
    face_detector: str | None = None

    @property
    def max_pictures(self) -> int:
        """The most pictures that are read of a video, at least one."""
        return max(1, round(self.max_seconds * self.rate))


class Clip(NamedTuple):
    """The pictures of one video.

    Attributes:
        pictures: (T, height, width, 3) uint8; T = 0 where no picture has a face.
        n_read: pictures that were decoded, those without a face among them.
        seconds: that they are of.
        total: seconds of the video or of its segment; `seconds` where it is not known to be longer.
    """

    pictures: npt.NDArray[np.uint8]
    n_read: int
    seconds: float
    total: float

    @property
    def n_without_face(self) -> int:
        """Number of pictures that are left out, for there is no face in them."""
        return self.n_read - len(self.pictures)


class ClipLoader:
    """Loads videos; picklable, and the detector is loaded with the first of them.

    Args:
        options: which pictures are read.
    """

    def __init__(self, options: PictureOptions) -> None:
        self.options = options

    def __reduce__(self) -> tuple[type[ClipLoader], tuple[PictureOptions]]:
        return type(self), (self.options,)

    @cached_property
    def _detector(self) -> Detector | None:
        name = self.options.face_detector
        return None if name is None else load_detector(name)

    def load(
        self,
        video: VideoSegment | VideoSource,
        limits: VideoLimits = DEFAULT_LIMITS,
        progress: Progress | None = None,
    ) -> Clip:
        """Load a video, a segment of it, or a folder of pictures.

        Args:
            video: also the content of a file, as bytes or as an open binary file. The pictures of
                a folder are one a frame, at whatever rate they were cut.
            limits: of the video.
            progress: see :func:`data_prep.video.decoding.read_video`.

        Raises:
            VideoError: it cannot be decoded, or exceeds a limit; does not name it.
            CodedError: the detector of faces cannot be loaded.
        """
        options = self.options
        segment = as_video(video) if isinstance(video, str | Path) else video
        decoded, total = _decode(segment, options, limits, progress)
        prepared: list[Picture] = []
        n_read = 0
        most = 1 if self._detector is None else _DETECTED_AT_ONCE
        for part in _in_parts(islice(decoded, options.max_pictures), most):
            n_read += len(part)
            prepared += [options.size.apply(picture) for picture in self._faces(part)]
        seconds = n_read / options.rate
        none = np.zeros((0, options.size.height, options.size.width, 3), np.uint8)
        pictures = np.stack(prepared) if prepared else none
        is_cut = n_read == options.max_pictures and total is not None and total > seconds
        return Clip(pictures, n_read, seconds, total if is_cut and total else seconds)

    def _faces(self, part: list[Picture]) -> list[Picture]:
        if self._detector is None:
            return part
        shapes = {picture.shape for picture in part}
        if len(shapes) == 1:
            faces = crop_faces(np.stack(part), self._detector)
        else:  # of a folder
            faces = [face for one in part for face in crop_faces(one[None], self._detector)]
        return [face for face in faces if face is not None]


def _decode(
    video: VideoSegment | VideoSource,
    options: PictureOptions,
    limits: VideoLimits,
    progress: Progress | None,
) -> tuple[Iterator[Picture], float | None]:
    """Return the pictures in full size, and the seconds of all of them, if these are known."""
    read = partial(read_video, rate=options.rate, limits=limits, progress=progress)
    if not isinstance(video, VideoSegment):
        return read(video), find_streams(video, limits).seconds
    if video.path.is_dir():
        if not video.is_whole:
            raise no_times()
        n_pictures = len(list_pictures(video.path))
        return read_pictures(video.path, limits), n_pictures / options.rate
    pictures = read(video.path, start=video.start, end=video.end)
    end = find_streams(video.path, limits).seconds if video.end is None else video.end
    return pictures, None if end is None else end - video.start


def _in_parts(pictures: Iterator[Picture], most: int) -> Iterator[list[Picture]]:
    """Divide pictures into parts of at most so many that fit into memory, in each at least one."""
    part: list[Picture] = []
    for picture in pictures:
        part.append(picture)
        if len(part) == most or sum(x.nbytes for x in part) > _BYTES_AT_ONCE:
            yield part
            part = []
    if part:
        yield part
