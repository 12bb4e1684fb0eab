"""Join ratings, transcripts, recordings and clips to the rows of a corpus.

A file that is missing or cannot be read is listed in the card, and its row keeps what it has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_prep.audio.containers import load_av
from data_prep.audio.decoding import AudioError
from data_prep.audio.loading import note_warnings
from data_prep.audio.part import Measured
from data_prep.audio.stored_lengths import measure_stored
from data_prep.audio.writing import extract_all
from data_prep.engines import Workers, ordered_map
from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.files.lock import locked
from data_prep.manifest.audio_root import to_record
from data_prep.manifest.cells import normalize_text
from data_prep.manifest.out_of_scale import VadScale
from data_prep.messages import first_few
from data_prep.progress import track
from data_prep.schema import AXES, Corpus, DroppedRow, Utterance
from data_prep.video.checking import check_videos
from data_prep.video.errors import VideoError

# In the data dir; a hidden file is no split. The lengths of version 1 were those of before gaps in
# containers and MP3 files without a count of frames were read whole.
LENGTHS_FILE = ".audio_lengths.2.tsv"
NO_TRANSCRIPT = "no transcript"
NOT_RATED = "not rated"

Splits = dict[str, list[Utterance]]

_LINE_END = re.compile(r"\r\n|\r|\n")


def read_text_file(path: Path) -> str:
    """Read a file as UTF-8, or as Windows-1252 if it is not."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        from ftfy import bad_codecs

        bad_codecs.ok()  # registers the codec, which has a character for every byte
        return raw.decode("sloppy-windows-1252")


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file, without their ends.

    A line ends at a line feed or carriage return alone, unlike those of `str.splitlines`, which
    takes further characters of a text, such as U+2028, for ends.
    """
    return _LINE_END.split(read_text_file(path))


def scale_axes(
    row_id: str, ratings: Mapping[str, float], scale: VadScale
) -> tuple[dict[str, float], dict[str, str]]:
    """Scale {"valence": 3.0, ...} to [0, 1]; return the axes, and why others are left out.

    An axis that is absent or NaN is not rated; one outside the scale, which `scale` lists, does not
    affect the others.

    >>> scale_axes("a", {"valence": 3.0, "arousal": 5.5}, VadScale(1, 5))
    ({'valence': 0.5}, {'dominance': 'not rated'})
    """
    scaled, left_out = {}, {}
    for axis in AXES:
        value = ratings.get(axis, math.nan)
        if math.isnan(value):
            left_out[axis] = NOT_RATED
        elif (mapped := scale.scale(row_id, axis, value)) is not None:
            scaled[axis] = mapped
    return scaled, left_out


def agreement_note(ids: Sequence[str]) -> str:
    """Return the card's note on rows without agreement, since a vote cannot be read."""
    return (
        f"{len(ids)} rows have no agreement, since the class of an evaluator is blank or unknown: "
        f"{first_few(ids)}"
    )


def join_text(
    splits: Splits,
    folder: Path,
    corpus: Corpus,
    *,
    workers: Workers,
    progress: bool,
) -> Splits:
    """Give each row the text of `folder`/{id}.txt; missing and blank ones are listed."""
    rows = [row for part in splits.values() for row in part]

    ids = [row.id for row in rows]
    with ordered_map(partial(_build_reader, folder), workers, threads=True) as over:
        text_of = dict(
            zip(ids, track(over(ids), "text", len(ids), "file", not progress), strict=True)
        )
    for split, part in splits.items():
        for row in part:
            if not text_of[row.id]:
                reason = NO_TRANSCRIPT if text_of[row.id] is None else "the transcript is blank"
                corpus.dropped.append(DroppedRow(split, row.id, reason, "text"))
    return {s: [replace(r, text=text_of[r.id] or None) for r in rs] for s, rs in splits.items()}


def _build_reader(folder: Path) -> Callable[[str], str | None]:
    def read(name: str) -> str | None:
        try:
            return normalize_text(read_text_file(folder / f"{name}.txt"))
        except FileNotFoundError:
            return None

    return read


def join_audio(
    splits: Splits,
    corpus_dir: Path,
    out_dir: Path,
    corpus: Corpus,
    *,
    workers: Workers,
    progress: bool,
) -> Splits:
    """Measure the file that each row's `audio` names, relative to `corpus_dir`.

    A missing or bad one is listed in `corpus.dropped` and its row keeps its text; a row without
    text is dropped. Raises ManifestError if none of the files exists, or none can be read.
    """
    names = [row.audio or "" for rows in splits.values() for row in rows]
    if names and not any((corpus_dir / name).is_file() for name in names):
        problem = f"none of {len(names)} recordings exists, such as {names[0]}"
        remedy = "compare with the official layout, or add --text-only"
        raise ManifestError(Fault(str(corpus_dir), None, problem, remedy, "recordings-missing"))
    lengths = measure_stored(
        names,
        corpus_dir,
        corpus.sample_rate,
        out_dir / LENGTHS_FILE,
        workers=workers,
        progress=progress,
    )
    require_readable([corpus_dir / name for name in names], lengths)
    length_of = dict(zip(names, lengths, strict=True))
    ids = (row.id for rows in splits.values() for row in rows)
    note_warnings(corpus, zip(ids, lengths, strict=True))
    joined: Splits = {}
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


def require_readable(paths: Sequence[Path], lengths: Sequence[Measured | AudioError]) -> None:
    """Raise ManifestError, with the error of a file that exists, if no file can be read."""
    errors = {
        path: length
        for path, length in zip(paths, lengths, strict=True)
        if isinstance(length, AudioError)
    }
    if not errors or len(errors) < len(set(paths)):
        return
    existing = [path for path, error in errors.items() if error.code != "file-missing"]
    path = next(iter(existing or errors))
    problem = f"like all of {len(errors)} files, it cannot be read: {errors[path]}"
    remedy = "copy them again, or prepare the corpus without them"
    raise ManifestError(Fault(str(path), None, problem, remedy, "recordings-missing"))


def leave_out_audio(splits: Splits, corpus: Corpus) -> Splits:
    """Remove the audio of every row (--text-only); rows without text are dropped and listed.

    Raises CodedError if no row is left.
    """
    if not any(row.text for rows in splits.values() for row in rows):
        raise CodedError(
            "--text-only: no row has a text; see the corpus's layout with --help", "text-missing"
        )
    corpus.notes.append("text only, as asked for: no recording was looked for")
    text_rows: dict[str, list[Utterance]] = {}
    for split, rows in splits.items():
        text_rows[split] = [replace(row, audio=None) for row in rows if row.text is not None]
        corpus.dropped += [
            DroppedRow(split, row.id, "no text, and text only was asked for")
            for row in rows
            if row.text is None
        ]
    return text_rows


# -- Clips: the sound of videos --------------------------------------------------------------------


class Sound(NamedTuple):
    """The audio path of a row, and its length or error."""

    audio: str
    length: Measured | AudioError


def extract_sounds(
    videos: Mapping[str, tuple[Path, str]],
    out_dir: str | Path,
    *,
    max_seconds: float,
    workers: Workers,
    progress: bool,
) -> dict[str, Sound]:
    """Make a FLAC of each clip: {row id: (video, where its sound goes below `out_dir`)}.

    Raises ValueError if PyAV is not installed, if `max_seconds` is not above 0, or if no clip can
    be read.
    """
    if not max_seconds > 0:
        raise CodedError(
            f"--max-seconds {max_seconds:g}: give more than 0", "duration-out-of-range"
        )
    load_av()
    out_dir = Path(out_dir)
    pairs = [(video, out_dir / audio) for video, audio in videos.values()]
    with locked(out_dir / "audio" / ".lock"):
        lengths = extract_all(pairs, max_seconds=max_seconds, workers=workers, progress=progress)
    require_readable([video for video, _ in pairs], lengths)
    return {
        name: Sound(audio, length)
        for (name, (_, audio)), length in zip(videos.items(), lengths, strict=True)
    }


def join_sounds(
    splits: Splits,
    corpus: Corpus,
    sounds: Mapping[str, Sound],
    reason: Callable[[str, AudioError | None], str] = lambda _, error: f"clip: {error}",
) -> Splits:
    """Give each row its sound, and list the audio that cannot be read.

    `reason` makes the text for corpus.yaml from an id and the error of its clip, None for a row
    that is not in `sounds`.
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


def join_videos(
    splits: Splits,
    videos: Mapping[str, str],
    root: Path,
    corpus: Corpus,
    *,
    max_seconds: float,
    workers: Workers,
    progress: bool,
) -> Splits:
    """Give each row its video below `root`; list those that are too long or cannot be read."""
    ids = [row.id for rows in splits.values() for row in rows if row.id in videos]
    checked = dict(
        zip(
            ids,
            check_videos([root / videos[x] for x in ids], workers=workers, progress=progress),
            strict=True,
        )
    )
    joined: Splits = {}
    for split, rows in splits.items():
        joined[split] = []
        for row in rows:
            result = checked.get(row.id)
            reason = "" if row.id in videos else "no video"
            if isinstance(result, VideoError):
                reason = f"clip: {result}"
            elif result is not None and result > max_seconds:
                reason = f"clip: {result:.1f} s, longer than {max_seconds:g} s"
            if reason:
                corpus.dropped.append(DroppedRow(split, row.id, reason, "video"))
            joined[split].append(row if reason else replace(row, video=videos[row.id]))
    corpus.video_raw = to_record(root)
    return joined


def without_empty_rows(splits: Splits, corpus: Corpus) -> Splits:
    """Return the rows that have text, sound or video; the others are listed."""
    kept: Splits = {split: [] for split in splits}
    for split, rows in splits.items():
        for row in rows:
            if row.text is None and row.audio is None and row.video is None:
                corpus.dropped.append(DroppedRow(split, row.id, "neither text, audio nor video"))
            else:
                kept[split].append(row)
    return kept
