"""Clips with sound, joined to the rows of a corpus: a bad one is listed, and its row kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from data_prep.audio.containers import load_av
from data_prep.audio.loading import AudioError, Measured
from data_prep.audio.notes import note_warnings
from data_prep.audio.video_audio import extract_all
from data_prep.files.lock import locked
from data_prep.schema import Corpus, DroppedRow, Utterance

Splits = dict[str, list[Utterance]]


class Sound(NamedTuple):
    """Where the manifest says that a row's sound lies, and its samples or what is wrong."""

    audio: str
    length: Measured | AudioError


def extract_sounds(
    videos: Mapping[str, tuple[Path, str]],
    out_dir: str | Path,
    *,
    max_seconds: float,
    workers: int | None = None,
    progress: bool = False,
) -> dict[str, Sound]:
    """Make a FLAC of each clip: {row id: (video, where its sound goes below `out_dir`)}.

    Raises ValueError if PyAV is not there, or if `max_seconds` is not more than 0.
    """
    if not max_seconds > 0:
        raise ValueError(f"--max-seconds {max_seconds:g}: give more than 0")
    load_av()
    out_dir = Path(out_dir)
    pairs = [(video, out_dir / audio) for video, audio in videos.values()]
    with locked(out_dir / "audio" / ".lock"):
        lengths = extract_all(pairs, max_seconds=max_seconds, workers=workers, progress=progress)
    return {
        name: Sound(audio, length)
        for (name, (_, audio)), length in zip(videos.items(), lengths, strict=True)
    }


def join_sounds(
    splits: Mapping[str, Sequence[Utterance]],
    corpus: Corpus,
    sounds: Mapping[str, Sound],
    reason: Callable[[str, AudioError | None], str] = lambda _, error: f"clip: {error}",
) -> Splits:
    """Give each row its sound; list the audio that cannot be had.

    `reason` makes the text for corpus.yaml of an id and of what is wrong with its clip, None for a
    row that is not in `sounds`.
    """
    joined: Splits = {split: [] for split in splits}
    ids = [row.id for rows in splits.values() for row in rows]
    note_warnings(corpus, ((name, sounds[name].length) for name in ids if name in sounds))
    for split, rows in splits.items():
        for row in rows:
            sound = sounds.get(row.id)
            length = None if sound is None else sound.length
            if sound is not None and isinstance(length, Measured):
                row = replace(row, audio=sound.audio, n_samples=length.n_samples)
            else:
                error = length if isinstance(length, AudioError) else None
                dropped = DroppedRow(split, row.id, reason(row.id, error), "audio")
                corpus.dropped.append(dropped)
            joined[split].append(row)
    return joined


def without_empty_rows(splits: Mapping[str, Sequence[Utterance]], corpus: Corpus) -> Splits:
    """Rows that have text or sound; the others are listed."""
    kept: Splits = {split: [] for split in splits}
    for split, rows in splits.items():
        for row in rows:
            if row.text is None and row.audio is None:
                corpus.dropped.append(DroppedRow(split, row.id, "neither text nor audio"))
            else:
                kept[split].append(row)
    return kept
