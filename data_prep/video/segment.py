"""Videos, segments of them and folders of pictures, as the rows of a manifest name them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.files.digests import file_digests
from data_prep.files.remote import as_path
from data_prep.manifest.records import Utterance
from data_prep.manifest.segment import RecordingSegment
from data_prep.video.folders import list_pictures


@dataclass(frozen=True)
class VideoSegment(RecordingSegment):
    """A video from `start` to `end`, by default all of it; or a folder of pictures."""


def as_video(video: str | Path | VideoSegment) -> VideoSegment:
    """Convert a path to the segment of the whole file."""
    return video if isinstance(video, VideoSegment) else VideoSegment(as_path(video))


def video_of(row: Utterance, root: Path) -> VideoSegment | None:
    """Return the video of a manifest's row, below the folder `root`; None without one."""
    if row.video is None:
        return None
    return VideoSegment(root / row.video, row.start or 0.0, row.end)


def video_digests(videos: Sequence[VideoSegment | None], memory: Path) -> list[str | None]:
    """Return a digest of each segment: the SHA-256 of its file, followed by its times.

    That of a folder is taken over the names and the digests of its pictures.

    Raises:
        CodedError: a file cannot be read; names it.
    """
    files: dict[Path, list[Path]] = {}
    for video in videos:
        if video is not None and video.path not in files:
            is_folder = video.path.is_dir()
            files[video.path] = list_pictures(video.path) if is_folder else [video.path]
    every = [file for of_video in files.values() for file in of_video]
    digest_of = dict(zip(every, file_digests(every, memory), strict=True))
    whole = {
        path: digest_of[path]
        if of_video == [path]
        else _digest_of_folder([(file.name, digest_of[file]) for file in of_video])
        for path, of_video in files.items()
    }
    return [None if video is None else f"{whole[video.path]}{video.key}" for video in videos]


def _digest_of_folder(pictures: Sequence[tuple[str, str | None]]) -> str:
    lines = "".join(f"{name}\t{digest}\n" for name, digest in pictures)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
