"""The audio of EmoBox's lines: files, segments of them, or the sound beside a video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.audio.loading import AudioError, Measured, measure_all
from data_prep.corpora.emobox_files import Item
from data_prep.files.suffixes import CORPUS_SUFFIXES
from data_prep.manifest.records import SAMPLE_RATE

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv")


class Sound(NamedTuple):
    """What a row gets: an audio path, what was measured of it, and the segment in seconds."""

    audio: str
    measured: Measured
    start: float | None
    end: float | None


def default_raw(folder: Path) -> Path:
    """Where `downloads/` lies as published: EmoBox, for EmoBox/data/iemocap."""
    return folder.resolve().parent.parent


def find_sounds(
    items: Sequence[Item],
    raw: Path,
    *,
    workers: int | None = None,
    progress: bool = False,
) -> dict[str, Sound | AudioError]:
    """Measure each line's file, or the segment of it that the line is. Returns by key, in order."""
    files = [_file(raw, item.wav) for item in items]
    parts = [(file, item.start or 0.0, item.end) for file, item in zip(files, items, strict=True)]
    measured = measure_all(parts, SAMPLE_RATE, workers=workers, progress=progress)
    return {
        item.key: found
        if isinstance(found, AudioError)
        else Sound(file.relative_to(raw).as_posix(), found, item.start, item.end)
        for item, file, found in zip(items, files, measured, strict=True)
    }


def _file(raw: Path, wav: str) -> Path:
    """The file that a line means: of a video, where there is one, the sound beside it."""
    path = raw / wav
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return path
    beside = [path.with_suffix(suffix) for suffix in CORPUS_SUFFIXES]
    return next((file for file in beside if file.is_file()), path)
