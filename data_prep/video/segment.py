"""Videos, segments of them and folders of pictures, as the rows of a manifest name them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.files.digests import file_digests
from data_prep.files.remote import as_path
from data_prep.manifest.records import Utterance, segment_fault, segment_key
from data_prep.video.folders import list_pictures


@dataclass(frozen=True)
class VideoSegment:
    """A video from `start` to `end`, by default all of it; or a folder of pictures.

    Attributes:
        path: the file or the folder; a string is converted to a Path.
        start: in seconds.
        end: in seconds; None = end of the video.

    Raises:
        CodedError: a time is negative or not finite, or `end` is not after `start`.

    >>> VideoSegment("dialog.mp4", 1.5, 4.0).name
    'dialog.mp4 from 1.5 s to 4 s'
    """

    path: Path
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", as_path(self.path))
        if fault := segment_fault(str(self.path), self.start, self.end):
            problem, remedy = fault
            raise CodedError(f"{self.path}: {problem}; {remedy}", "segment-invalid")

    def __str__(self) -> str:
        return f"{self.path}{self._span}"

    @property
    def name(self) -> str:
        """Return the name of the file, and the times of the segment, for messages."""
        return f"{self.path.name}{self._span}"

    @property
    def is_whole(self) -> bool:
        """Return whether it is the whole file or folder."""
        return not self.start and self.end is None

    @property
    def _span(self) -> str:
        if self.is_whole:
            return ""
        end = "the end" if self.end is None else f"{self.end:g} s"
        return f" from {self.start:g} s to {end}"

    @property
    def key(self) -> str:
        """Return the segment as text for digests, "" for a whole file."""
        return segment_key(self.start, self.end)


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

    Args:
        videos: segments; None for rows without one.
        memory: file in which digests of files are cached.

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
