"""The recordings and videos of the rows of a table: lengths, and files that are damaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.audio.decoding import AudioError
from data_prep.audio.loading import measure_all, note_warnings
from data_prep.engines import Workers
from data_prep.errors import CodedError, Fault, raise_faults
from data_prep.schema import SAMPLE_RATE, Corpus, DroppedRow, Utterance
from data_prep.tables.recipe import TableRecipe
from data_prep.tables.rows import Record
from data_prep.video.checking import check_segments
from data_prep.video.segment import VideoSegment


def measure_recordings(
    records: Sequence[Record],
    recipe: TableRecipe,
    corpus: Corpus,
    workers: Workers,
    progress: bool,
) -> None:
    """Fill n_samples; a bad file is a fault, or, with `drop_bad_audio`, dropped and listed."""
    root = recipe.data_raw or Path()
    spoken = [record for record in records if record.utterance.audio]
    rows = [record.utterance for record in spoken]
    parts = [(root / (row.audio or ""), row.start or 0.0, row.end) for row in rows]
    if parts and not any(path.exists() for path, _, _ in parts):
        raise CodedError(
            f"{root}: none of the {len(parts)} recordings is there, such as {parts[0][0]}; give "
            "the folder that their paths start from with --data-raw",
            "recordings-missing",
        )
    lengths = measure_all(parts, SAMPLE_RATE, workers=workers, progress=progress)
    faults: list[Fault] = []
    for record, length in zip(spoken, lengths, strict=True):
        if isinstance(length, AudioError):
            faults += _drop_or_refuse(record, "audio", length, recipe, corpus)
        else:
            record.utterance = replace(record.utterance, n_samples=length.n_samples)
    raise_faults(faults)
    names = (record.utterance.id for record in spoken)
    note_warnings(corpus, zip(names, lengths, strict=True))
    if spoken and all(isinstance(length, AudioError) for length in lengths):
        raise CodedError(
            f"{root}: none of its {len(spoken)} audio files can be used; check --data-raw",
            "recordings-missing",
        )


def check_record_videos(
    records: Sequence[Record],
    recipe: TableRecipe,
    corpus: Corpus,
    workers: Workers,
    progress: bool,
) -> None:
    """Decode a picture of each video; a bad file is a fault, or is dropped as bad audio is."""
    root = recipe.data_raw or Path()
    filmed = [record for record in records if record.utterance.video]
    rows = [record.utterance for record in filmed]
    videos = [VideoSegment(root / (row.video or ""), row.start or 0.0, row.end) for row in rows]
    checked = check_segments(videos, workers=workers, progress=progress)
    faults: list[Fault] = []
    for record, result in zip(filmed, checked, strict=True):
        if result is not None:
            faults += _drop_or_refuse(record, "video", result, recipe, corpus)
    raise_faults(faults)


def _drop_or_refuse(
    record: Record, kind: str, error: CodedError, recipe: TableRecipe, corpus: Corpus
) -> Iterator[Fault]:
    """Yield the fault of a file that cannot be used; with `drop_bad_audio` list its row instead."""
    row = record.utterance
    if recipe.drop_bad_audio:
        corpus.dropped.append(DroppedRow(record.split, row.id, str(error), kind))
        record.utterance = _without(row, kind)
        return
    such = "audio" if kind == "audio" else "videos"
    remedy = f"repair the file, or leave such {such} out with --drop-bad-audio"
    if row.is_segment:
        remedy = f"correct start and end, which are seconds in the file, or {remedy}"
    problem = f"{kind} {(recipe.data_raw or Path()) / (getattr(row, kind) or '')}: {error}"
    fault = record.fault(problem, remedy, f"{kind}-invalid")
    yield replace(fault, reason=str(error))


def _without(row: Utterance, name: str) -> Utterance:
    """Return a row without its audio or its video; without both, its times go, too."""
    less = replace(row, audio=None) if name == "audio" else replace(row, video=None)
    is_recorded = less.audio is not None or less.video is not None
    return less if is_recorded else replace(less, start=None, end=None)
