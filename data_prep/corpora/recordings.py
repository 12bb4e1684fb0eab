"""What the corpora of judged recordings have in common: their ratings, transcripts and sound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from data_prep.audio.loading import Measured, default_workers
from data_prep.audio.notes import note_warnings
from data_prep.audio.stored_lengths import measure_stored
from data_prep.errors import (
    Fault,
    ManifestError,
)
from data_prep.manifest.cells import normalize_text
from data_prep.manifest.records import (
    AXES,
    Corpus,
    DroppedRow,
    Utterance,
    scale_vad,
)
from data_prep.messages import first_few

LENGTHS_FILE = ".audio_lengths.tsv"  # in the data dir; a hidden file is no split
NO_TRANSCRIPT = "no transcript"
NOT_RATED = "not rated"

Splits = Mapping[str, Sequence[Utterance]]


def read_text_file(path: Path) -> str:
    """A whole file as UTF-8, or, where it is none, as Latin-1, which ftfy mends later."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def scale_axes(
    ratings: Mapping[str, float], low: float, high: float
) -> tuple[dict[str, float], dict[str, str]]:
    """{"valence": 3.0, ...} to [0, 1], each axis by itself; and of each other axis why it is not.

    An axis that is absent or NaN was not rated; one outside the scale leaves the others alone.

    >>> scale_axes({"valence": 3.0, "arousal": 5.5}, 1, 5)
    ({'valence': 0.5}, {'arousal': '5.5 lies outside 1 to 5', 'dominance': 'not rated'})
    """
    scaled, left_out = {}, {}
    for axis in AXES:
        value = ratings.get(axis, math.nan)
        if low <= value <= high:
            scaled[axis] = scale_vad(value, low, high)
        elif math.isnan(value):
            left_out[axis] = NOT_RATED
        else:
            left_out[axis] = f"{value:g} lies outside {low:g} to {high:g}"
    return scaled, left_out


def agreement_note(ids: Sequence[str]) -> str:
    """What the card says of rows whose agreement is left empty for an unread vote."""
    return (
        f"{len(ids)} rows have no agreement, for an evaluator's class is blank or no known word, "
        f"which neither agrees nor disagrees: {first_few(ids)}"
    )


def join_text(
    splits: Splits,
    folder: Path,
    corpus: Corpus,
    *,
    workers: int | None = None,
    progress: bool = False,
) -> dict[str, list[Utterance]]:
    """Give each row the text of `folder`/{id}.txt; what is missing or blank is listed."""
    rows = [row for found in splits.values() for row in found]

    def read(row: Utterance) -> str | None:
        try:
            return normalize_text(read_text_file(folder / f"{row.id}.txt"))
        except FileNotFoundError:
            return None

    with ThreadPoolExecutor(workers or default_workers()) as pool:
        texts = tqdm(pool.map(read, rows), "text", len(rows), unit="file", disable=not progress)
        text_of = dict(zip((row.id for row in rows), texts, strict=True))
    for split, found in splits.items():
        for row in found:
            if not text_of[row.id]:
                reason = NO_TRANSCRIPT if text_of[row.id] is None else "the transcript is blank"
                corpus.dropped.append(DroppedRow(split, row.id, reason, "text"))
    return {s: [replace(r, text=text_of[r.id] or None) for r in rs] for s, rs in splits.items()}


def join_audio(
    splits: Splits,
    corpus_dir: Path,
    out_dir: Path,
    corpus: Corpus,
    *,
    workers: int | None = None,
    progress: bool = False,
) -> dict[str, list[Utterance]]:
    """Measure the file that each row's `audio` names, from `corpus_dir` on.

    A missing or bad one is listed in `corpus.dropped` and its row keeps its text; a row that has
    none is dropped. Raises ManifestError when not one of the files is there.
    """
    names = [row.audio or "" for rows in splits.values() for row in rows]
    if names and not any((corpus_dir / name).is_file() for name in names):
        what = f"none of {len(names)} recordings is there, such as {names[0]}"
        remedy = "compare with the official layout, or add --text-only"
        raise ManifestError(Fault(str(corpus_dir), None, what, remedy))
    found = measure_stored(
        names,
        corpus_dir,
        corpus.sample_rate,
        out_dir / LENGTHS_FILE,
        workers=workers,
        progress=progress,
    )
    length_of = dict(zip(names, found, strict=True))
    ids = (row.id for rows in splits.values() for row in rows)
    note_warnings(corpus, zip(ids, found, strict=True))
    joined: dict[str, list[Utterance]] = {}
    for split, rows in splits.items():
        joined[split] = []
        for row in rows:
            length = length_of[row.audio or ""]
            if isinstance(length, Measured):
                joined[split].append(replace(row, n_samples=length.n_samples))
            elif row.text is not None:
                corpus.dropped.append(DroppedRow(split, row.id, f"audio: {length}", "audio"))
                joined[split].append(replace(row, audio=None))
            else:
                reason = f"audio: {length}, and no text"
                corpus.dropped.append(DroppedRow(split, row.id, reason))
    return joined


def leave_out_audio(splits: Splits, corpus: Corpus) -> dict[str, list[Utterance]]:
    """--text-only: no row has audio, and a row without text is dropped and listed.

    Raises ValueError where that leaves no row.
    """
    if not any(row.text for rows in splits.values() for row in rows):
        raise ValueError("--text-only: no row has a text; see the corpus's layout with --help")
    corpus.notes.append("text only, as asked for: no recording was looked for")
    silent: dict[str, list[Utterance]] = {}
    for split, rows in splits.items():
        silent[split] = [replace(row, audio=None) for row in rows if row.text is not None]
        corpus.dropped += [
            DroppedRow(split, row.id, "no text, and text only was asked for")
            for row in rows
            if row.text is None
        ]
    return silent
