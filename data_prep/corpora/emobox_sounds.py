"""The sound of EmoBox's lines: files as they are, beside a video, or cut out of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_prep.audio.loading import AudioError, Measured, measure_all
from data_prep.cells import file_stem
from data_prep.corpora.cut_audio import SUFFIX, Stretch, cut_all
from data_prep.corpora.emobox_files import Item
from data_prep.files.suffixes import CORPUS_SUFFIXES
from data_prep.records import SAMPLE_RATE

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv")

Sound = tuple[str, Measured]  # an audio path, and its samples at our rate


def default_raw(folder: Path) -> Path:
    """Where `downloads/` lies as published: EmoBox, for EmoBox/data/iemocap."""
    return folder.resolve().parent.parent


def is_stretch(item: Item) -> bool:
    """Whether the line means a part of its file only."""
    return item.start is not None or item.end is not None


def find_sounds(
    items: Sequence[Item],
    raw: Path,
    out_dir: Path,
    *,
    workers: int | None = None,
    progress: bool = False,
) -> dict[str, Sound | AudioError]:
    """Key -> its sound, in order. Audio paths start from `raw`, those of stretches from `out_dir`.

    Raises ValueError where some lines are stretches and some are not.
    """
    found: dict[str, Sound | AudioError] = {}
    cut = [item for item in items if is_stretch(item)]
    if cut and len(cut) < len(items):
        raise ValueError(
            f"{len(cut)} of {len(items)} rows are stretches of recordings: all or none can be, "
            "since audio paths start from one folder"
        )
    if cut:
        audio = {item.key: f"audio/{file_stem(item.key)}{SUFFIX}" for item in cut}
        stretches = [
            Stretch(_file(raw, item.wav), item.start or 0.0, item.end, out_dir / audio[item.key])
            for item in cut
        ]
        errors = zip(cut, cut_all(stretches), strict=True)
        found |= {item.key: error for item, error in errors if error is not None}
        raw = out_dir
    else:
        audio = {item.key: _file(raw, item.wav).relative_to(raw).as_posix() for item in items}
    keys = [item.key for item in items if item.key not in found]
    paths = [raw / audio[key] for key in keys]
    lengths = measure_all(paths, SAMPLE_RATE, workers=workers, progress=progress)
    for key, length in zip(keys, lengths, strict=True):
        found[key] = length if isinstance(length, AudioError) else (audio[key], length)
    return {item.key: found[item.key] for item in items}


def _file(raw: Path, wav: str) -> Path:
    """The file that a line means: of a video, where there is one, the sound beside it."""
    path = raw / wav
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return path
    beside = [path.with_suffix(suffix) for suffix in CORPUS_SUFFIXES]
    return next((file for file in beside if file.is_file()), path)
