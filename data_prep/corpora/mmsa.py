"""The layout of MMSA, which CMU-MOSI and CMU-MOSEI are published in.

    label.csv                     video_id, clip_id, text, label, annotation, mode, and others
    Raw/<video_id>/<clip_id>.mp4

`mode` is the official split, `label` the score from -3 to 3, `annotation` its polarity. The id of
an utterance is `<video_id>_<clip_id>`, its dialogue the video, its turn the clip. The sound of the
clips is extracted; the clips themselves stay where they are, as the column `video`. Without Raw/
the corpus is text only.
Not used: label_T, label_A and label_V, which neither corpus has. MMSA's features of both are read
by `python -m data_prep.mmsa_features`.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.corpora.recordings import (
    Splits,
    extract_sounds,
    join_sounds,
    join_videos,
    without_empty_rows,
)
from data_prep.engines import Workers
from data_prep.errors import CodedError, Fault, ManifestError, raise_faults
from data_prep.features.mmsa import utterance_id
from data_prep.manifest.cells import normalize_text, parse_number
from data_prep.schema import SPLITS, Corpus, DroppedRow, Utterance, shared_values, write_corpus
from data_prep.tables.reader import read_table
from data_prep.tables.table import TableFormat

logger = logging.getLogger(__name__)

LABEL_FILE, CLIP_FOLDER = "label.csv", "Raw"
NEEDS = f"folder with {LABEL_FILE} and, if any, Raw/"
MAX_SECONDS = 120.0
COLUMNS = ("video_id", "clip_id", "text", "label", "annotation", "mode")
SENTIMENTS = ("negative", "neutral", "positive")
LOW, HIGH = -3.0, 3.0  # of `label`
_WHOLE = (2_199, 22_856)  # rows of CMU-MOSI and CMU-MOSEI
RULE = (
    "sentiment is the column annotation of label.csv in small letters, by which a score below 0 is "
    "negative, 0 neutral, and above 0 positive"
)


@dataclass(frozen=True)
class MmsaCorpus:
    """A corpus of this layout.

    Attributes:
        name: of the corpus.
        official: number of rows of each split.
        video_is_speaker: whether one person speaks in each video.
        citation: of the corpus and of the layout.
        notes: what holds of every copy.
        license: of the corpus.
    """

    name: str
    official: Mapping[str, int]
    video_is_speaker: bool
    citation: str
    notes: tuple[str, ...] = ()
    license: str = "research use, by the terms of CMU-MultimodalSDK"


def prepare_mmsa(
    kind: MmsaCorpus,
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    text_only: bool = False,
    max_seconds: float | None = None,
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write the data dir, and below it the sound of the clips, as `audio/{split}/<id>.flac`.

    A row without a usable clip keeps its text; one with neither is dropped; both are listed.

    Args:
        kind: the corpus.
        corpus_dir: folder of label.csv and Raw/.
        out_dir: data dir to write.
        text_only: ignore the clips.
        max_seconds: longer clips are left out, sound and pictures (default: 120).
        workers: an engine, or a number of threads, which decode audio.
        progress: show bars.

    Raises:
        CodedError: `max_seconds` with `text_only`, or not above 0.
        ManifestError: rows that cannot be read.
    """
    if text_only and max_seconds is not None:
        raise CodedError(
            "--max-seconds limits the clips, which --text-only ignores", "option-unused"
        )
    max_seconds = MAX_SECONDS if max_seconds is None else max_seconds
    corpus_dir = Path(corpus_dir)
    official = "/".join(str(kind.official[split]) for split in SPLITS)
    corpus = Corpus(
        kind.name,
        labels={"sentiment": SENTIMENTS},
        protocol=f"official train/valid/test ({official} rows), by the column mode of label.csv",
        license=kind.license,
        citation=kind.citation,
        notes=[RULE, *kind.notes],
    )
    splits = read_labels(corpus_dir / LABEL_FILE, kind, corpus)
    raw = corpus_dir / CLIP_FOLDER
    if text_only or not raw.is_dir():
        why = "as asked" if text_only else f"no {CLIP_FOLDER}/ in the corpus folder"
        corpus.notes.append(f"text only: {why}")
    else:
        corpus.notes.append(f"audio: clips of {max_seconds:g} s at most, made mono at 16 kHz")
        sounds = extract_sounds(
            _clips(raw, splits),
            out_dir,
            max_seconds=max_seconds,
            workers=workers,
            progress=progress,
        )
        splits = join_sounds(splits, corpus, sounds)
        splits = join_videos(
            splits,
            {row.id: _clip_file(row) for rows in splits.values() for row in rows},
            raw,
            corpus,
            max_seconds=max_seconds,
            workers=workers,
            progress=progress,
        )
    splits = without_empty_rows(splits, corpus)
    _keep_apart(splits, corpus)
    write_corpus(out_dir, corpus, splits)
    return corpus


def _clips(raw: Path, splits: Splits) -> dict[str, tuple[Path, str]]:
    """Return {id: (its clip, where its sound is written)}."""
    clips = {}
    for split, rows in splits.items():
        for row in rows:
            clips[row.id] = (raw / _clip_file(row), f"audio/{split}/{row.id}.flac")
    return clips


def _clip_file(row: Utterance) -> str:
    video, clip = clip_of(row)
    return f"{video}/{clip}.mp4"


def _keep_apart(splits: Splits, corpus: Corpus) -> None:
    """Declare videos disjoint, or note those with clips in more than one split."""
    if shared := shared_values(splits, "dialogue"):
        first = ", ".join(list(shared)[:3])
        corpus.notes.append(f"{len(shared)} videos have clips in more than one split: {first}")
    else:
        corpus.disjoint = ("dialogue",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare_mmsa`."""
    parser.add_argument(
        "--text-only",
        action="store_true",
        help="ignore the clips (whose sound needs PyAV: pip install av)",
    )
    parser.add_argument(
        "--max-seconds",
        type=float,
        metavar="S",
        help=f"leave out clips longer than this, sound and pictures (default: {MAX_SECONDS:g})",
    )


# -- label.csv -------------------------------------------------------------------------------------


def recognizes(folder: Path, kind: MmsaCorpus) -> bool:
    """Return whether a folder has a label.csv of this layout, and not as many rows as another.

    A whole copy has the official number of rows; of a part, which has none, every corpus of this
    layout may be it.
    """
    path = folder / LABEL_FILE
    if not path.is_file():
        return False
    try:
        rows = read_table(path, COLUMNS, TableFormat(legacy_bytes=True))
    except ManifestError:
        return False
    return len(rows) not in _WHOLE or len(rows) == sum(kind.official.values())


def has_videos(corpus_dir: Path, options: Collection[str]) -> bool:
    """Return whether rows get videos, by the words of the command line."""
    return (corpus_dir / CLIP_FOLDER).is_dir() and "--text-only" not in options


def clip_of(row: Utterance) -> tuple[str, str]:
    """Return the video and the clip of a row; the inverse of `utterance_id`."""
    video = row.dialogue or ""
    return video, row.id.removeprefix(utterance_id(video, ""))


def read_labels(path: Path, kind: MmsaCorpus, corpus: Corpus) -> Splits:
    """Read label.csv by split, with turns; notes and repeated rows go to `corpus`.

    Raises ManifestError, which names the rows, if some do not follow the layout.
    """
    splits: Splits = {split: [] for split in SPLITS}
    first: dict[str, tuple[int, Mapping[str, str]]] = {}
    faults = []
    table = read_table(path, COLUMNS, TableFormat(legacy_bytes=True))
    for line, row in table:
        try:
            utterance = _utterance(row, kind)
        except ValueError as error:
            remedy = "compare with the official file"
            faults.append(Fault(str(path), line, str(error), remedy, "row-invalid"))
            continue
        first_line, same = first.setdefault(utterance.id, (line, row))
        if same["video_id"] != row["video_id"]:
            problem = (
                f"video {row['video_id']} with clip {row['clip_id']}, and video {same['video_id']} "
                f"with clip {same['clip_id']} in row {first_line}, have one id, {utterance.id}"
            )
            remedy = "rename one of the videos, with its folder in Raw/"
            faults.append(Fault(str(path), line, problem, remedy, "id-ambiguous"))
            continue
        if first_line != line:
            reason = f"row {line} repeats the video and clip of row {first_line}"
            corpus.dropped.append(DroppedRow(row["mode"], utterance.id, reason))
            continue
        if utterance.sentiment is None:
            blank = DroppedRow(row["mode"], utterance.id, "annotation is blank", "sentiment")
            corpus.dropped.append(blank)
        splits[row["mode"]].append(utterance)
    raise_faults(faults)
    _compare_counts(path, Counter(row["mode"] for _, row in table), kind, corpus)
    _note_contradictions(splits, corpus)
    return _with_turns(splits, corpus)


def _utterance(row: dict[str, str], kind: MmsaCorpus) -> Utterance:
    """Return a row without its turn. Raises ValueError with the problem of a faulty one."""
    for key in ("video_id", "clip_id"):
        if row[key] in ("", ".", "..") or "/" in row[key]:
            raise ValueError(f"{key} is {row[key]!r}, which names no file")
    if row["mode"] not in SPLITS:
        raise ValueError(f"mode is {row['mode']!r}, none of {', '.join(SPLITS)}")
    sentiment = row["annotation"].strip().lower()
    if sentiment and sentiment not in SENTIMENTS:
        raise ValueError(f"annotation is {row['annotation']!r}, none of {', '.join(SENTIMENTS)}")
    return Utterance(
        id=utterance_id(row["video_id"], row["clip_id"]),
        text=normalize_text(row["text"]) or None,
        speaker=row["video_id"] if kind.video_is_speaker else None,
        dialogue=row["video_id"],
        sentiment=sentiment or None,
        sentiment_score=_score(row["label"]),
    )


def _score(label: str) -> float:
    try:
        score = parse_number(label)
    except ValueError:
        raise ValueError(f"label is {label!r}, no number") from None
    if not LOW <= score <= HIGH:  # NaN fails too
        raise ValueError(f"label is {label}, not from {LOW:g} to {HIGH:g}")
    return score


def _compare_counts(
    path: Path, counts: Mapping[str, int], kind: MmsaCorpus, corpus: Corpus
) -> None:
    for split, official in kind.official.items():
        if counts[split] != official:
            note = f"{split} has {counts[split]} rows, where the official split has {official}"
            logger.warning("%s: %s", path, note)
            corpus.notes.append(note)


def _note_contradictions(splits: Splits, corpus: Corpus) -> None:
    rows = [row for rows in splits.values() for row in rows if row.sentiment is not None]
    odd = [row.id for row in rows if row.sentiment != _polarity(row.sentiment_score or 0.0)]
    if odd:
        first = ", ".join(odd[:3]) + (", ..." if len(odd) > 3 else "")
        corpus.notes.append(f"annotation contradicts the sign of the score: {len(odd)} x ({first})")


def _polarity(score: float) -> str:
    return SENTIMENTS[1 + (score > 0) - (score < 0)]


def _with_turns(splits: Splits, corpus: Corpus) -> Splits:
    clips: dict[str, list[str]] = {}
    for video, clip in (clip_of(row) for rows in splits.values() for row in rows):
        clips.setdefault(video, []).append(clip)
    turns = {video: number_clips(names) for video, names in clips.items()}
    ranked = sum(any(str(n) != clip for clip, n in numbers.items()) for numbers in turns.values())
    if ranked:
        corpus.notes.append(f"turn is the rank of the clip in {ranked} videos")
    return {
        split: [replace(row, turn=turns[row.dialogue or ""][clip_of(row)[1]]) for row in rows]
        for split, rows in splits.items()
    }


def number_clips(clips: Sequence[str]) -> dict[str, int]:
    """Return the turns of a video's clips: their numbers, or, if one is none, their ranks.

    Numbers may have gaps, since clips without labels are in no corpus.

    >>> number_clips(["10", "2"])
    {'10': 10, '2': 2}
    >>> number_clips(["3_13", "3_2", "1"])
    {'1': 0, '3_2': 1, '3_13': 2}
    """
    if all(clip.isascii() and clip.isdecimal() and clip == str(int(clip)) for clip in clips):
        return {clip: int(clip) for clip in clips}
    in_order = sorted(clips, key=lambda clip: ([int(n) for n in re.findall(r"\d+", clip)], clip))
    return {clip: rank for rank, clip in enumerate(in_order)}
