"""Faults of the audio and the videos of a data dir: missing, unreadable, of another length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from data_prep.audio.decoding import AudioError
from data_prep.audio.faults import LENGTH_TOLERANCE, none_exists, unreadable
from data_prep.audio.loading import measure_all
from data_prep.audio.part import Measured
from data_prep.audio.segment import audio_of
from data_prep.engines import Workers
from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.manifest.audio_root import video_root
from data_prep.manifest.table import (
    IntArray,
    ManifestTable,
    group_numbers,
    has,
    numbers,
    value_numbers,
    values,
)
from data_prep.manifest.tsv import Scan
from data_prep.schema import Utterance
from data_prep.video.checking import check_segments
from data_prep.video.segment import VideoSegment, video_of

Part = tuple[Path, float, float | None]  # a recording, and the seconds that are read of it


def audio_faults(
    manifests: Mapping[Path, Scan], raw: Path, rate: int, workers: Workers, progress: bool
) -> tuple[list[Fault], list[Fault]]:
    """Return faults and warnings of audio: missing, unreadable, of another length, or odd.

    Each file is decoded once.
    """
    with_audio = {
        path: scan._replace(rows=scan.rows.take(chosen), lines=scan.lines[chosen])
        for path, scan in manifests.items()
        if (chosen := scan.rows.has("audio")).any()
    }
    rows = ManifestTable.joined([scan.rows for scan in with_audio.values()])
    part_of, first_rows = _distinct_parts(rows)
    parts = [_part(rows[row], raw) for row in first_rows.tolist()]
    if fault := none_exists((path for path, _, _ in parts), raw):
        return [fault], []
    measured = measure_all(parts, rate, workers=workers, progress=progress)
    lengths = np.array([0 if isinstance(x, AudioError) else x.n_samples for x in measured])
    is_odd = np.array([isinstance(x, AudioError) or bool(x.warnings) for x in measured])
    faults: list[Fault] = []
    warnings: list[Fault] = []
    end = 0
    for path, scan in with_audio.items():
        begin, end = end, end + len(scan.rows)
        own = part_of[begin:end]
        # A row without n_samples is NaN, which differs by no number of samples.
        differs = np.abs(lengths[own] - numbers(scan.rows, "n_samples")) > LENGTH_TOLERANCE
        for row in np.flatnonzero(differs | is_odd[own]).tolist():
            where = str(path), int(scan.lines[row])
            bad, odd = _describe_audio(where, scan.rows[row], measured[int(own[row])], rate)
            faults += bad
            warnings += odd
    return faults, warnings


def _distinct_parts(rows: ManifestTable) -> tuple[IntArray, IntArray]:
    """Return the number of the part that each row reads (N,), and the first row of each (P,)."""
    times = (np.nan_to_num(numbers(rows, name), nan=-1.0) for name in ("start", "end"))
    groups = group_numbers(value_numbers(rows, "audio"), *times)
    _, first_rows, part_of = np.unique(groups, return_index=True, return_inverse=True)
    return part_of, first_rows


def _part(row: Utterance, raw: Path) -> Part:
    return raw / (row.audio or ""), row.start or 0.0, row.end


def _describe_audio(
    where: tuple[str, int], row: Utterance, measured: Measured | AudioError, rate: int
) -> tuple[list[Fault], list[Fault]]:
    """Return the faults and the warnings of the audio of one row, given file and line."""
    if isinstance(measured, AudioError):
        return [unreadable(*where, row, measured)], []
    name = str(audio_of(row, Path()))
    remedy = "it is used unchanged; empty audio and n_samples to leave it out"
    warnings = [
        Fault(*where, f"audio {name}: {warning}", remedy, "audio-odd")
        for warning in measured.warnings
    ]
    n_samples = measured.n_samples
    if abs(n_samples - (row.n_samples or n_samples)) <= LENGTH_TOLERANCE:
        return [], warnings
    problem = f"n_samples is {row.n_samples} where {name} has {n_samples} at {rate} Hz"
    return [Fault(*where, problem, "correct n_samples", "length-mismatch")], warnings


def video_faults(
    manifests: Mapping[Path, Scan],
    data_dir: Path,
    video_raw: str | Path | None,
    raw: Path,
    workers: Workers,
    progress: bool,
) -> Iterator[Fault]:
    """Yield videos that are missing, or of which no picture can be decoded."""
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
