"""MSP-Podcast: natural speech cut from podcasts, judged by crowds (Lotfian and Busso 2019).

Layout as distributed (releases 1.x and 2.0):
  Labels/labels_consensus.csv   class, attributes, speaker and partition (labels_concensus.csv in
                                earlier releases)
  Labels/labels_detailed.csv    what each worker chose and rated; or Labels/labels.txt, if there
  Audios/MSP-PODCAST_0001_0008.wav          (or Audio/)
  Transcripts/MSP-PODCAST_0001_0008.txt     if the release has them
The partitions are the splits: Train as train, Development as valid, Test1, Test2 and Test3. Test3
is released without labels: its rows are those of this partition in the table, and the recordings
MSP-PODCAST_test3_*.wav; other columns of theirs are ignored. `session` is the podcast. Rows are
segments, not neighbors in a conversation: there are no dialogues and no turns.
`emotion` is empty for classes that the class map lacks, and for O (other) and X (no agreement)
unless they are made classes; the column `label` keeps them, and the rows keep valence, arousal and
dominance, 1-7. `votes` has the classes that the workers chose, with `other` for those that are no
class, and the spread of their ratings is in valence_sd, arousal_sd and dominance_sd. Assumed from
the literature and public code, without a release: the layout above, and that Transcripts has one
file a recording.
Not used: time stamps, forced alignments, secondary emotions.
"""

from __future__ import annotations

import argparse
import logging
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.corpora.annotators import describe_ratings, note_votes, votes_cell
from data_prep.corpora.recordings import (
    join_audio,
    join_text,
    leave_out_audio,
    read_lines,
    scale_axes,
)
from data_prep.engines import Workers
from data_prep.errors import Fault, ManifestError, raise_faults
from data_prep.files.listing import visible
from data_prep.folds.dev_set import GENDER
from data_prep.manifest.audio_root import to_record
from data_prep.manifest.cells import parse_number
from data_prep.manifest.out_of_scale import REFUSE, VadScale, add_out_of_scale
from data_prep.messages import first_few
from data_prep.schema import Corpus, DroppedRow, Utterance, shared_values, write_corpus
from data_prep.tables.reader import open_table, read_table

CLASSES = {
    "4": ("neutral", "sad", "angry", "happy"),
    "8": ("neutral", "sad", "angry", "happy", "surprise", "fear", "disgust", "contempt"),
}
TRANSCRIPTS = "Transcripts"
LICENSE = "MSP-Podcast license of UT Dallas: on signed request, not to be passed on"
CITATION = (
    "Lotfian, Busso (2019). Building Naturalistic Emotionally Balanced Speech Corpus by Retrieving "
    "Emotional Speech From Existing Podcast Recordings. IEEE Transactions on Affective Computing "
    "10(4)."
)

Splits = dict[str, list[Utterance]]


@dataclass(frozen=True, slots=True)
class Judgment:
    """What one worker chose and rated: a label of `LABELS`, None if it cannot be read."""

    label: str | None
    ratings: Mapping[str, float]  # by axis, on the corpus's own scale


logger = logging.getLogger(__name__)


def prepare_msp_podcast(
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    classes: str = "8",
    keep_other: bool = False,
    keep_no_agreement: bool = False,
    text_only: bool = False,
    out_of_scale: str = REFUSE,
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write MSP-Podcast's data dir.

    Args:
        corpus_dir: folder of Labels and Audios; `audio` paths start from it.
        out_dir: data dir to write.
        classes: a key of `CLASSES`.
        keep_other: make O a class, `other`.
        keep_no_agreement: make X a class, `no_agreement`.
        text_only: prepare no recordings.
        out_of_scale: one of `OUT_OF_SCALE`.
        workers: an engine, or a number of threads, which read files.
        progress: show bars.

    Raises:
        ValueError: another layout, or rows that cannot be read; nothing is written then.
    """
    corpus_dir, out_dir = Path(corpus_dir), Path(out_dir)
    kept = [*[LABELS["O"]] * keep_other, *[LABELS["X"]] * keep_no_agreement]
    labels = (*CLASSES[classes], *kept)
    corpus = Corpus(
        "msp_podcast",
        labels={"emotion": labels},
        vad={"source_scale": list(SCALE), "mapping": "(x - 1) / 6"},
        protocol="official partitions, Development as valid; test3 has no labels",
        license=LICENSE,
        citation=CITATION,
    )
    splits = read_partitions(
        corpus_dir, corpus, VadScale(*SCALE, out_of_scale), hidden=not text_only
    )
    _note_shared(splits, corpus)
    splits = _with_classes(splits, labels, corpus)
    splits = _with_votes(splits, read_workers(corpus_dir, corpus), labels)
    note_votes([row for rows in splits.values() for row in rows], corpus)
    if (folder := corpus_dir / TRANSCRIPTS).is_dir():
        open_ = {split: rows for split, rows in splits.items() if split != HIDDEN}
        splits |= join_text(open_, folder, corpus, workers=workers, progress=progress)
    else:
        corpus.notes.append(f"no transcripts: there is no {TRANSCRIPTS}")
    if text_only:
        splits = leave_out_audio(splits, corpus)
    else:
        corpus.data_raw = to_record(corpus_dir)
        splits = join_audio(splits, corpus_dir, out_dir, corpus, workers=workers, progress=progress)
    write_corpus(out_dir, corpus, {split: rows for split, rows in splits.items() if rows})
    return corpus


def _with_classes(splits: Splits, labels: Sequence[str], corpus: Corpus) -> Splits:
    """Return the rows with `emotion` emptied where the label is none of `labels`."""
    chosen: Splits = {}
    others: Counter[str] = Counter()
    for split, rows in splits.items():
        others.update(row.emotion for row in rows if row.emotion and row.emotion not in labels)
        chosen[split] = [
            row if row.emotion in labels else replace(row, emotion=None) for row in rows
        ]
    if others:
        counts = ", ".join(f"{label} {count}" for label, count in others.most_common())
        corpus.notes.append(f"{others.total()} rows are of no class, and keep their VAD: {counts}")
    return chosen


def _with_votes(
    splits: Splits, workers: Mapping[str, Sequence[Judgment]], labels: Sequence[str]
) -> Splits:
    """Return the rows with what workers chose and rated; test3 has none."""
    classes = {label: label for label in labels}
    return {
        split: [
            _voted(row, workers[row.id], classes) if split != HIDDEN and row.id in workers else row
            for row in rows
        ]
        for split, rows in splits.items()
    }


def _voted(row: Utterance, judgments: Sequence[Judgment], classes: Mapping[str, str]) -> Utterance:
    chosen = ([judgment.label] for judgment in judgments if judgment.label is not None)
    ratings = describe_ratings([judgment.ratings for judgment in judgments], SCALE)
    return replace(row, votes=votes_cell(chosen, classes), **ratings)


def _note_shared(splits: Splits, corpus: Corpus) -> None:
    """Note what partitions share; these are official, so that no row is moved."""
    unknown = sum(row.speaker is None for split, rows in splits.items() for row in rows)
    if unknown:
        corpus.notes.append(f"{unknown} rows have no speaker (Unknown, or in test3)")
    for key, plural in (("speaker", "speakers"), ("session", "podcasts")):
        if shared := shared_values(splits, key):
            note = f"{len(shared)} {plural} are in more than one split: {first_few(list(shared))}"
            corpus.notes.append(note)
            logger.warning("%s", note)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare_msp_podcast`."""
    add = parser.add_argument
    add("--classes", choices=CLASSES, default="8", help="classes (default: %(default)s)")
    add("--keep-other", action="store_true", help="make O a class: other")
    add("--keep-no-agreement", action="store_true", help="make X a class: no_agreement")
    add("--text-only", action="store_true", help="prepare no recordings")
    add_out_of_scale(parser)


# -- `labels_consensus.csv`: a row is an utterance -------------------------------------------------
# FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
#     MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.6,30,Male,Test1
#
# Classes are letters in some releases and words in others; both are read. "Unknown" is no speaker.

TABLE = "Labels/labels_consensus.csv"
EARLIER_TABLE = "Labels/labels_concensus.csv"  # the spelling of releases up to 1.8
TABLES = "Labels/labels_con[sc]ensus.csv"  # a pattern of both
AUDIO_FOLDERS = ("Audios", "Audio")
COLUMNS = (
    "FileName",
    "EmoClass",
    "EmoAct",
    "EmoVal",
    "EmoDom",
    "SpkrID",
    "Gender",
    "Split_Set",
)
AXIS_COLUMNS = {"valence": "EmoVal", "arousal": "EmoAct", "dominance": "EmoDom"}
SCALE = (1.0, 7.0)
SPLIT_OF = {
    "train": "train",
    "development": "valid",
    "validation": "valid",  # its name in early releases
    "test1": "test1",
    "test2": "test2",
    "test3": "test3",
}
HIDDEN = "test3"  # the split whose labels, speakers and words are not released
LABELS = {
    "N": "neutral",
    "S": "sad",
    "A": "angry",
    "H": "happy",
    "U": "surprise",
    "F": "fear",
    "D": "disgust",
    "C": "contempt",
    "O": "other",
    "X": "no_agreement",
}
# The same as words: small letters only are compared.
_WORDS = {
    **{name.replace("_", ""): name for name in LABELS.values()},
    "sadness": "sad",
    "anger": "angry",
    "happiness": "happy",
    "surprised": "surprise",
    "fearful": "fear",
    "disgusted": "disgust",
    "noagreement": "no_agreement",
}
_UNKNOWN = {"", "unknown", "nan"}
# MSP-PODCAST_0001_0008.wav, MSP-PODCAST_1234_0005_0001.wav: the first number is the podcast.
_NAME = re.compile(r"(?P<id>(?P<podcast>MSP-PODCAST_[A-Za-z0-9]+)_\w+)\.wav")


def read_partitions(
    corpus_dir: Path, corpus: Corpus, scale: VadScale, *, hidden: bool
) -> dict[str, list[Utterance]]:
    """Read the table's rows by split; with `hidden` also test3's recordings that it lacks.

    A repeated recording, or a rating outside the scale, is listed. Raises CodedError for ratings
    outside the scale that are refused.
    """
    audio = next((name for name in AUDIO_FOLDERS if (corpus_dir / name).is_dir()), AUDIO_FOLDERS[0])
    path = _table_of(corpus_dir)
    splits: dict[str, list[Utterance]] = {split: [] for split in SPLIT_OF.values()}
    first: dict[str, int] = {}
    faults = []
    for line, row in read_table(path, COLUMNS):
        try:
            split, utterance, dropped = read_row(row, audio, scale)
        except ValueError as error:
            fault = Fault(str(path), line, str(error), "compare with the release", "row-invalid")
            faults.append(fault)
            continue
        if first.setdefault(utterance.id, line) != line:
            reason = f"row {line} repeats the recording of row {first[utterance.id]}"
            corpus.dropped.append(DroppedRow(split, utterance.id, reason))
            continue
        corpus.dropped += dropped
        splits[split].append(utterance)
    raise_faults(faults)
    scale.list_outside(corpus, {row.id: split for split, rows in splits.items() for row in rows})
    if hidden:
        paths = visible((corpus_dir / audio).glob("MSP-PODCAST_test3_*.wav"))
        splits[HIDDEN] += [hidden_row(p.stem, audio) for p in paths if p.stem not in first]
    return splits


def _table_of(corpus_dir: Path) -> Path:
    paths = [corpus_dir / name for name in (TABLE, EARLIER_TABLE) if (corpus_dir / name).is_file()]
    if len(paths) == 1:
        return paths[0]
    problem, remedy = f"no {TABLE}", "name the folder with Labels/ and Audios/"
    if paths:
        problem, remedy = f"both {TABLE} and {EARLIER_TABLE}", "keep that of your release"
    raise ManifestError(Fault(str(corpus_dir), None, problem, remedy, "corpus-layout"))


def read_row(
    row: dict[str, str], audio_folder: str, scale: VadScale
) -> tuple[str, Utterance, list[DroppedRow]]:
    """Return the split, the utterance with its label, and the ratings that are left out.

    Of a row of test3 only the name is read. Raises ValueError for a cell that cannot be read.
    """
    name = _NAME.fullmatch(row["FileName"].strip())
    if not name:
        raise ValueError(f"FileName is {row['FileName']!r}, not like MSP-PODCAST_0001_0008.wav")
    split = SPLIT_OF.get(row["Split_Set"].strip().lower())
    if split is None:
        raise ValueError(f"Split_Set is {row['Split_Set']!r}, none of {', '.join(SPLIT_OF)}")
    if split == HIDDEN:
        return split, hidden_row(name["id"], audio_folder), []
    vad, left_out = scale_axes(name["id"], _ratings(row), scale)
    dropped = [DroppedRow(split, name["id"], reason, axis) for axis, reason in left_out.items()]
    label, gender = _label(row["EmoClass"]), _known(row["Gender"])
    utterance = Utterance(
        id=name["id"],
        audio=f"{audio_folder}/{name['id']}.wav",
        speaker=_known(row["SpkrID"]),
        session=name["podcast"],
        emotion=label,
        valence=vad.get("valence"),
        arousal=vad.get("arousal"),
        dominance=vad.get("dominance"),
        extra={"label": label, **({GENDER: gender.lower()} if gender else {})},
    )
    return split, utterance, dropped


def _ratings(row: dict[str, str]) -> dict[str, float]:
    """Return the ratings that are neither empty nor NaN."""
    ratings = {}
    for axis, column in AXIS_COLUMNS.items():
        if _known(row[column]) is None:
            continue
        try:
            value = parse_number(row[column])
        except ValueError:
            raise ValueError(f"{column} is {row[column]!r}, no number") from None
        if not math.isnan(value):
            ratings[axis] = value
    return ratings


def _label(value: str) -> str:
    value = value.strip()
    words = value.lower().replace(" ", "").replace("-", "").replace("_", "")
    label = LABELS.get(value.upper()) or _WORDS.get(words)
    if label is None:
        raise ValueError(f"EmoClass is {value!r}, none of {', '.join(LABELS)} nor their names")
    return label


def _known(value: str) -> str | None:
    value = value.strip()
    return None if value.lower() in _UNKNOWN else value


def hidden_row(name: str, audio_folder: str) -> Utterance:
    """Return the row of a recording of test3."""
    return Utterance(id=name, audio=f"{audio_folder}/{name}.wav")


# -- What single workers chose and rated -----------------------------------------------------------
# labels_detailed.csv, a row a worker and recording, of which these columns are read by name:
#     FileName,EmoClass_Major,EmoAct,EmoVal,EmoDom
#     MSP-PODCAST_0001_0008.wav,Neutral,2,4,3
# Before it was distributed, labels.txt has the same: below the consensus line of a recording, a
# line a worker. The second field is the worker's class, the third what else they perceived.
#     MSP-PODCAST_0001_0008.wav; N; A:2.200000; V:4.000000; D:2.600000;
#     WORKER00000016; Neutral; Neutral,Concerned; A:2.000000; V:4.000000; D:3.000000;

WORKER_TABLE = "Labels/labels_detailed.csv"
WORKER_LINES = "Labels/labels.txt"
_CHOICE = "EmoClass_Major"
_RATING = re.compile(r"\s*([AVD])\s*:\s*(\S+)\s*")
_LETTERS = {"A": "arousal", "V": "valence", "D": "dominance"}


def read_workers(corpus_dir: Path, corpus: Corpus) -> dict[str, list[Judgment]]:
    """Read what each worker chose and rated, by recording; empty without a file of it.

    Classes that cannot be read are noted, and are no votes.

    Raises:
        ManifestError: the table lacks a column.
    """
    table, lines = corpus_dir / WORKER_TABLE, corpus_dir / WORKER_LINES
    if table.is_file():
        judged = _table_judgments(table)
    elif lines.is_file():
        judged = _line_judgments(lines)
    else:
        corpus.notes.append(f"no votes: there is no {WORKER_TABLE} and no {WORKER_LINES}")
        return {}
    workers: dict[str, list[Judgment]] = {}
    unread: Counter[str] = Counter()
    for name, choice, ratings in judged:
        label = _choice(choice)
        if label is None:
            unread[choice.strip() or "(empty)"] += 1
        workers.setdefault(name.strip().removesuffix(".wav"), []).append(Judgment(label, ratings))
    if unread:
        counts = ", ".join(f"{choice} {count}" for choice, count in unread.most_common(8))
        corpus.notes.append(f"{unread.total()} workers' classes are no votes: {counts}")
    return workers


def _table_judgments(path: Path) -> Iterator[tuple[str, str, dict[str, float]]]:
    axes = {axis: name for axis, name in AXIS_COLUMNS.items() if name in open_table(path).columns}
    for _, row in read_table(path, ("FileName", _CHOICE, *axes.values())):
        ratings = {axis: _number(row[name]) for axis, name in axes.items()}
        yield row["FileName"], row[_CHOICE], ratings


def _line_judgments(path: Path) -> Iterator[tuple[str, str, dict[str, float]]]:
    name = ""
    for line in read_lines(path):
        fields = line.split(";")
        if fields[0].strip().lower().endswith(".wav"):
            name = fields[0].strip()
        elif name and len(fields) > 1:
            rated = [match.groups() for field in fields[2:] if (match := _RATING.fullmatch(field))]
            yield name, fields[1], {_LETTERS[letter]: _number(value) for letter, value in rated}


def _choice(value: str) -> str | None:
    """Return the label of a worker's class: a word, or what is no choice of the list."""
    try:
        label = _label(value)
    except ValueError:
        label = "other" if value.strip().lower().startswith("other") else ""
    return None if label in ("", "no_agreement") else label


def _number(value: str) -> float:
    try:
        return parse_number(value)
    except ValueError:
        return math.nan
