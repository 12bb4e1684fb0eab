"""Check the videos of a corpus before its rows name them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep.engines import Workers, ordered_map
from data_prep.progress import track
from data_prep.video.decoding import check_video, find_outside, find_streams
from data_prep.video.errors import VideoError
from data_prep.video.folders import no_times, read_pictures
from data_prep.video.segment import VideoSegment

_FILES = 16  # that are sent to a worker together


def check_videos(
    paths: Sequence[Path], *, workers: Workers, progress: bool
) -> list[float | VideoError | None]:
    """Decode the first picture of videos and of folders of pictures, in threads or on a cluster.

    Returns:
        For each its length in seconds, as its header states it, None where it does not; or why it
        cannot be read.
    """
    with ordered_map(_build_check, workers, _FILES, threads=True) as over:
        return list(track(over(paths), "videos", len(paths), "file", not progress or not paths))


def check_segments(
    videos: Sequence[VideoSegment], *, workers: Workers, progress: bool
) -> list[VideoError | None]:
    """Check the videos of rows, each file once, and that the segments are in them.

    Returns:
        For each why it cannot be read; None where it can.
    """
    paths = list(dict.fromkeys(video.path for video in videos))
    checked = dict(zip(paths, check_videos(paths, workers=workers, progress=progress), strict=True))
    return [_check_segment(video, checked[video.path]) for video in videos]


def _check_segment(video: VideoSegment, result: float | VideoError | None) -> VideoError | None:
    if isinstance(result, VideoError) or video.is_whole:
        return result if isinstance(result, VideoError) else None
    if video.path.is_dir():
        return no_times()
    return None if result is None else find_outside(video.start, video.end, result)


def _build_check() -> Callable[[Path], float | VideoError | None]:
    return _check


def _check(path: Path) -> float | VideoError | None:
    try:
        if path.is_dir():
            next(read_pictures(path))
            return None
        check_video(path)
        return find_streams(path).seconds
    except VideoError as error:
        return error
