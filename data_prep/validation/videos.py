"""Faults of the videos of a data dir: missing, or not to be decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from data_prep.engines import Workers
from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.manifest.audio_root import video_root
from data_prep.manifest.table import has, values
from data_prep.manifest.tsv import Scan
from data_prep.schema import Utterance
from data_prep.video.checking import check_segments
from data_prep.video.segment import VideoSegment, video_of


def video_faults(
    manifests: Mapping[Path, Scan],
    data_dir: Path,
    video_raw: str | Path | None,
    raw: Path,
    workers: Workers,
    progress: bool,
) -> Iterator[Fault]:
    """Yield videos that are missing, or of which no picture can be decoded.

    Args:
        manifests: of the data dir.
        data_dir: the data dir.
        video_raw: `--video-raw`.
        raw: folder of the audio.
        workers: an engine, or a number of threads.
        progress: show a bar.
    """
    paths = dict.fromkeys(
        path for scan in manifests.values() for path in values(scan.rows, "video") if path
    )
    if not paths:
        return
    try:
        root = video_root(data_dir, video_raw, raw)
    except ManifestError as error:
        yield error.as_fault(data_dir)
        return
    if len(paths) > 1 and not any((root / path).exists() for path in paths):
        problem = f"none of its {len(paths)} videos is in {root}, such as {next(iter(paths))}"
        remedy = "give the folder that their paths start from with --video-raw"
        yield Fault(str(root), None, problem, remedy, "recordings-missing")
        return
    places, videos = [], []
    for file, scan in manifests.items():
        for row in np.flatnonzero(has(scan.rows, "video")).tolist():
            video = _video_of(scan.rows[row], root)
            if video is not None:  # of times that contradict each other, which are a fault already
                places.append((file, int(scan.lines[row]), scan.rows[row].video))
                videos.append(video)
    checked = check_segments(videos, workers=workers, progress=progress)
    for (file, line, path), video, result in zip(places, videos, checked, strict=True):
        if result is not None:
            remedy = "copy the file again, or empty the field"
            if not video.is_whole:
                remedy = f"correct start and end, {remedy}"
            problem = f"video {path}: {result}"
            yield Fault(str(file), line, problem, remedy, "video-invalid", str(result))


def _video_of(row: Utterance, root: Path) -> VideoSegment | None:
    """Return the video of a row; None where its times are no segment."""
    try:
        return video_of(row, root)
    except CodedError:
        return None
