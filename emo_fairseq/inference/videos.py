"""Videos as a user gives them: the pictures that a model reads of them, and their sound."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from data_prep.audio.segment import AudioSegment
from data_prep.errors import CodedError
from data_prep.video.decoding import Progress, find_streams
from data_prep.video.errors import VideoError
from data_prep.video.faces import DETECTORS
from data_prep.video.limits import DEFAULT_LIMITS, VideoLimits
from data_prep.video.loading import Clip, ClipLoader, PictureOptions
from data_prep.video.segment import VideoSegment, as_video
from emo_fairseq.errors import UsageError


@dataclass(frozen=True)
class LimitedVideo:
    """The content of a video file that is read within limits.

    Attributes:
        content: of the file.
        limits: of the video.
        progress: called after each frame that is decoded; what it raises ends the reading.
    """

    content: bytes
    limits: VideoLimits
    progress: Progress | None = None


Video = str | Path | VideoSegment | bytes | BinaryIO | LimitedVideo
Clips = Mapping[PictureOptions, Clip]


class VideoReader:
    """Reads videos for one model, or for the members of an ensemble, which read other pictures.

    Args:
        options: which pictures are read.
        face_detector: a function that may be imported to find faces, as `module:function`. A model
            names its own; it is imported only if the user names it, too, for a model folder may
            come from anywhere.
    """

    def __init__(
        self, options: Collection[PictureOptions], face_detector: str | None = None
    ) -> None:
        self._loaders = [ClipLoader(each) for each in dict.fromkeys(options)]
        self._face_detector = face_detector

    def read(self, video: Video, name: str) -> Clips:
        """Load the pictures of a video, decoded once for each rate or size.

        Args:
            video: a file, a segment of it, a folder of pictures, or the content of a file.
            name: of the item, for messages.

        Raises:
            UsageError: it cannot be decoded, or the detector of faces must not be imported; names
                the item and the file.
        """
        clips = {}
        for loader in self._loaders:
            self._check_detector(loader.options.face_detector, name)
            try:
                if isinstance(video, LimitedVideo):
                    clip = loader.load(video.content, video.limits, video.progress)
                else:
                    clip = loader.load(video)
            except CodedError as error:
                raise UsageError(f"{_where(name, video)}: {error}", error.code) from error
            clips[loader.options] = clip
        return clips

    def _check_detector(self, detector: str | None, name: str) -> None:
        if detector is None or detector in DETECTORS or detector == self._face_detector:
            return
        raise UsageError(
            f"{name}: the model reads faces that {detector} finds, a function that is not imported "
            f"unless you name it; give face_detector={detector!r} (--face-detector)",
            "face-detector-missing",
        )


def sound_of(video: Video, name: str) -> AudioSegment | bytes | None:
    """Return what to read as the sound of a video; None where it has none.

    Raises:
        UsageError: it cannot be opened; names the item and the file.
    """
    limits = DEFAULT_LIMITS
    if isinstance(video, LimitedVideo):
        limits, video = video.limits, video.content
    if isinstance(video, str | Path | VideoSegment):
        segment = as_video(video)
        if segment.path.is_dir():
            return None
        source: Path | bytes | BinaryIO = segment.path
    else:
        segment, source = None, video
    try:
        if not find_streams(source, limits).sound:
            return None
    except VideoError as error:
        raise UsageError(f"{_where(name, video)}: {error}", error.code) from error
    if segment is not None:
        return AudioSegment(segment.path, segment.start, segment.end)
    if isinstance(source, bytes):
        return source
    source.seek(0)  # type: ignore[union-attr]
    return source.read()  # type: ignore[union-attr]


def has_pictures(path: Path) -> bool:
    """Return whether a file holds pictures, and can be opened."""
    try:
        return find_streams(path).pictures
    except (VideoError, OSError):
        return False


def describe_unread(modalities: Collection[str], of: str = "the recording") -> str:
    """Return the sentence on an input of which a model of video reads no pictures.

    >>> describe_unread(("speech", "video"))
    'no pictures are read of the recording: the model reads speech and video, and video is masked'
    """
    reads = " and ".join(modalities)
    return f"no pictures are read of {of}: the model reads {reads}, and video is masked"


def _where(name: str, video: Video) -> str:
    return f"{name}: {video}" if isinstance(video, str | Path | VideoSegment) else name
