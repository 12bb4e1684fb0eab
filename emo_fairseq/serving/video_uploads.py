"""Uploaded videos: their limits, and the status of the response for one that cannot be used."""

from data_prep.video.decoding import find_streams
from data_prep.video.errors import VideoError
from data_prep.video.limits import VideoLimits
from emo_fairseq.inference.stopping import ShouldStop, StoppedError
from emo_fairseq.inference.videos import LimitedVideo
from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.limits import Limits

# Formats whose header has the size of the pictures. Of others, such as MPEG and FLV, pictures are
# decoded to find it.
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
_UNREADABLE = "video-unreadable"
STATUSES = {  # by the code of an error; of others 422
    "picture-too-large": 413,
    "video-too-long": 413,
    "video-too-many-frames": 413,
    _UNREADABLE: 415,
}


def has_sound(content: bytes, limits: Limits) -> bool:
    """Return whether a video has sound.

    Raises:
        HttpError: 415 if it is no video file of a format that is read.
    """
    try:
        return find_streams(content, _limits(limits, limits.video_seconds)).sound
    except VideoError as error:
        if error.code != _UNREADABLE:
            raise
        message = (
            "This is not a video file that can be read here (MP4, MOV, WebM, Matroska or AVI), or "
            f"it is broken ({error})."
        )
        raise HttpError(415, message, _UNREADABLE) from None


def limited_video(
    content: bytes, limits: Limits, max_seconds: float, should_stop: ShouldStop
) -> LimitedVideo:
    """Return a video that is read within the limits of a server, and until a request is stopped."""

    def stop(_: int) -> None:
        if should_stop():
            raise StoppedError

    return LimitedVideo(content, _limits(limits, max_seconds), stop)


def _limits(limits: Limits, max_seconds: float) -> VideoLimits:
    return VideoLimits(limits.video_pixels, max_seconds, limits.video_frames, _DEMUXERS)
