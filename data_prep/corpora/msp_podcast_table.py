"""MSP-Podcast's `labels_consensus.csv`: one row to one utterance, by the names of its columns.

    FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
    MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.6,30,Male,Test1

Classes are letters in some releases and words in others; both are read. "Unknown" is no speaker.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from data_prep.corpora.recordings import scale_axes
from data_prep.errors import (
    Fault,
    ManifestError,
    raise_faults,
)
from data_prep.files.visible import visible
from data_prep.folds.dev_set import GENDER
from data_prep.manifest.cells import parse_number
from data_prep.manifest.records import (
    Corpus,
    DroppedRow,
    Utterance,
)
from data_prep.tables.reader import read_table

TABLE = "Labels/labels_consensus.csv"
AUDIO_FOLDERS = ("Audios", "Audio")
COLUMNS = (
    *("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set"),
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
    corpus_dir: Path, corpus: Corpus, *, hidden: bool = True
) -> dict[str, list[Utterance]]:
    """The table's rows by split, with `hidden` also the recordings of test3 that it leaves out.

    A recording that comes twice, or whose ratings are off the scale, is listed.
    """
    audio = next((name for name in AUDIO_FOLDERS if (corpus_dir / name).is_dir()), AUDIO_FOLDERS[0])
    path = corpus_dir / TABLE
    if not path.is_file():
        remedy = "name the folder with Labels/ and Audios/"
        raise ManifestError(Fault(str(corpus_dir), None, f"no {TABLE}", remedy))
    splits: dict[str, list[Utterance]] = {split: [] for split in SPLIT_OF.values()}
    first: dict[str, int] = {}
    faults = []
    for line, row in read_table(path, COLUMNS):
        try:
            split, utterance, dropped = read_row(row, audio)
        except ValueError as error:
            faults.append(Fault(str(path), line, str(error), "compare with the release"))
            continue
        if first.setdefault(utterance.id, line) != line:
            reason = f"row {line} repeats the recording of row {first[utterance.id]}"
            corpus.dropped.append(DroppedRow(split, utterance.id, reason))
            continue
        corpus.dropped += dropped
        splits[split].append(utterance)
    raise_faults(faults)
    if hidden:
        paths = visible((corpus_dir / audio).glob("MSP-PODCAST_test3_*.wav"))
        splits[HIDDEN] += [hidden_row(p.stem, audio) for p in paths if p.stem not in first]
    return splits


def read_row(row: dict[str, str], audio_folder: str) -> tuple[str, Utterance, list[DroppedRow]]:
    """The split, the utterance with its class whatever it is, and the ratings that are left out.

    Nothing but the name is taken from a row of test3. Raises ValueError for what cannot be read.
    """
    name = _NAME.fullmatch(row["FileName"].strip())
    if not name:
        raise ValueError(f"FileName is {row['FileName']!r}, not like MSP-PODCAST_0001_0008.wav")
    split = SPLIT_OF.get(row["Split_Set"].strip().lower())
    if split is None:
        raise ValueError(f"Split_Set is {row['Split_Set']!r}, none of {', '.join(SPLIT_OF)}")
    if split == HIDDEN:
        return split, hidden_row(name["id"], audio_folder), []
    vad, left_out = scale_axes(_ratings(row), *SCALE)
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
    """The axes that are rated; an empty field or NaN is not."""
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
    """A recording of test3."""
    return Utterance(id=name, audio=f"{audio_folder}/{name}.wav")
