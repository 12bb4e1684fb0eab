"""The legacy ``T_data`` layout (Siriwardhana et al. 2020), joined by id.

::

    {split}_a.tsv, {split}_t.tsv     one file name a line, no root line
    {split}_size.tsv                 id,text_len,audio_len (with or without a header)
    label_file_{split}.csv           id,label under a header: FileName,Emotion (neu sad ang hap exc
                                     of IEMOCAP, or the words of MELD) or FileName,sentiment_score
    DATA_RAW/{split}/audio_token/<id>.txt   token ids between <s> (0) and </s> (2), tab-separated
    DATA_RAW/{split}/text/<id>.txt          likewise

The published lists differ in length and order, so nothing is paired by line number. MELD numbers
its dialogues anew in each split: the id of ``dia0_utt3`` is here ``train_dia0_utt3``, since rows of
one id would count as one utterance, and scores on the test split as leaked.
"""

import logging
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_prep.manifest.cells import find_id_fault
from data_prep.messages import first_few
from data_prep.schema import Utterance
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, TEXT

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LabelSet:
    """The labels of a corpus in label files.

    Attributes:
        corpus: its name.
        column: of an utterance, which they fill.
        names: what the files hold -> the label.
        labels: in the order of the class ids.
    """

    corpus: str
    column: str
    names: Mapping[str, str]
    labels: Sequence[str]


IEMOCAP = LabelSet(
    "IEMOCAP",
    "emotion",
    # Excited counts as happy.
    {"neu": "neutral", "sad": "sad", "ang": "angry", "hap": "happy", "exc": "happy"},
    ("neutral", "sad", "angry", "happy"),
)
_MELD_EMOTIONS = ("neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise")
_MELD_SENTIMENTS = ("neutral", "positive", "negative")
MELD = LabelSet("MELD", "emotion", {name: name for name in _MELD_EMOTIONS}, _MELD_EMOTIONS)
MELD_SENTIMENT = LabelSet(
    "MELD", "sentiment", {name: name for name in _MELD_SENTIMENTS}, _MELD_SENTIMENTS
)
LABEL_SETS = (IEMOCAP, MELD, MELD_SENTIMENT)

_LABELS = "label_file_"
_OF_MELD = re.compile(r"dia\d+_utt\d+")
_LIST_SUFFIX = {TEXT: "t", SPEECH: "a"}
_SIZE_COLUMN = {TEXT: 1, SPEECH: 2}  # in the size file
_TOKEN_FOLDER = {TEXT: "text", SPEECH: "audio_token"}


def split_names(data_dir: Path) -> list[str]:
    """Return the splits of a folder in the legacy layout: those with a label file."""
    return sorted(file.stem.removeprefix(_LABELS) for file in data_dir.glob(f"{_LABELS}*.csv"))


def label_file(data_dir: Path, split: str) -> Path:
    """Return the path of the labels of a split."""
    return data_dir / f"{_LABELS}{split}.csv"


def find_label_set(data_dir: Path) -> LabelSet | None:
    """Return whose labels the label files of a folder hold; None if they hold numbers alone.

    Raises:
        UsageError: they hold labels of several corpora, or emotions and sentiments.
    """
    words = {
        label
        for split in split_names(data_dir)
        for label in _read_labels(label_file(data_dir, split)).values()
        if not _is_number(label)
    }
    if not words:
        return None
    others = {
        known: {n for x in LABEL_SETS if x is not known for n in x.names} for known in LABEL_SETS
    }
    own = {known: sorted((words & set(known.names)) - others[known]) for known in LABEL_SETS}
    holding = [known for known in LABEL_SETS if own[known]]
    if len(holding) > 1:
        mixed = " and ".join(
            f"{known.column}s of {known.corpus} ({', '.join(own[known])})" for known in holding
        )
        raise UsageError(
            f"{data_dir}: the label files hold {mixed}; keep those of one in a folder",
            "label-sets-mixed",
        )
    if holding:
        return holding[0]
    return MELD if words & set(MELD.names) else IEMOCAP


def label_names(data_dir: Path, column: str) -> list[str]:
    """Return the labels of a folder in the order of their ids.

    Args:
        data_dir: holds the label files.
        column: of an utterance, which a target needs: emotion or sentiment.

    Raises:
        UsageError: the label files hold something else.
    """
    label_set = find_label_set(data_dir)
    if label_set is not None and label_set.column == column:
        return list(label_set.labels)
    fitting = [", ".join(other.names) for other in LABEL_SETS if other.column == column]
    holds = "numbers, which name no label" if label_set is None else f"{label_set.column}s"
    raise UsageError(
        f"{data_dir}: the label files hold {holds}; write each {column} as one of "
        f"{', or of '.join(fitting)}, or choose another --target",
        "labels-missing",
    )


def read_split(
    data_dir: Path, data_raw: Path, split: str, modalities: Sequence[str]
) -> tuple[list[Utterance], dict[str, list[np.ndarray]]]:
    """Join lists, labels and token files of a split by id.

    Args:
        data_dir: holds the lists and labels.
        data_raw: holds the token files.
        split: its name.
        modalities: those that are read.

    Returns:
        One utterance a kept row, and the token ids of each, by modality.

    Raises:
        UsageError: a list or token file is missing, empty or malformed, or nothing is left.
    """
    labels = _read_labels(label_file(data_dir, split))
    lists = {modality: _read_list(data_dir, split, modality) for modality in modalities}
    lengths_file = data_dir / f"{split}_size.tsv"
    listed = {_list_file(data_dir, split, modality).name: lists[modality] for modality in lists}
    listed[label_file(data_dir, split).name] = list(labels)
    if lengths_file.exists():
        listed[lengths_file.name] = [row[0] for row in _read_sizes(lengths_file)]
    kept = _intersect(listed)
    label_set = find_label_set(data_dir) or IEMOCAP
    utterances = [
        row for row in (_utterance(name, labels[name], label_set) for name in kept) if row
    ]
    _report_other_labels(
        label_file(data_dir, split), label_set, [labels[name] for name in kept], len(utterances)
    )
    if not utterances:
        raise UsageError(
            f"{data_dir}: no row of split {split!r} is in all of {', '.join(listed)} "
            "and carries a label that is known",
            "rows-unusable",
        )
    for row in utterances:
        if fault := find_id_fault(row.id):  # files of tokens are named by it
            raise UsageError(f"{label_file(data_dir, split)}: {'; '.join(fault)}", "id-invalid")
    tokens = {
        modality: [
            _read_tokens(data_raw / split / _TOKEN_FOLDER[modality] / f"{row.id}.txt")
            for row in utterances
        ]
        for modality in modalities
    }
    if lengths_file.exists():
        _report_other_lengths(lengths_file, utterances, tokens)
    return [_with_own_id(row, split) for row in utterances], tokens


def _with_own_id(row: Utterance, split: str) -> Utterance:
    is_numbered_anew = _OF_MELD.fullmatch(row.id) is not None
    return replace(row, id=f"{split}_{row.id}") if is_numbered_anew else row


def _report_other_lengths(
    file: Path, utterances: Sequence[Utterance], tokens: Mapping[str, Sequence[np.ndarray]]
) -> None:
    """Warn of token files that were cut, or are of another run than the size file."""
    sizes = {row[0]: row for row in _read_sizes(file)}
    for modality, column in _SIZE_COLUMN.items():
        other = [
            row.id
            for row, ids in zip(utterances, tokens.get(modality, ()), strict=False)
            if sizes[row.id][column : column + 1] not in ([], [str(len(ids))])
        ]
        if other:
            logger.warning(
                "%s: %d of %d token files of %s have another number of ids than it names, so they "
                "were cut or are of another run: %s",
                file,
                len(other),
                len(utterances),
                modality,
                first_few(other),
            )


def _intersect(listed: dict[str, list[str]]) -> list[str]:
    """Return the ids that every file has, in the order of the first; warn of all others."""
    common = set.intersection(*(set(ids) for ids in listed.values()))
    for name, ids in listed.items():
        extra = [name for name in ids if name not in common]
        if extra:
            logger.warning(
                "%s: %d of %d rows are not in all of the other files and are left out: %s",
                name,
                len(extra),
                len(ids),
                first_few(extra),
            )
    return [name for name in next(iter(listed.values())) if name in common]


def _report_other_labels(file: Path, label_set: LabelSet, labels: list[str], n_kept: int) -> None:
    if n_kept == len(labels):
        return
    words = Counter(label for label in labels if not _is_number(label))
    others = {label: count for label, count in words.items() if label not in label_set.names}
    named = ", ".join(f"{label} {count}" for label, count in Counter(others).most_common())
    logger.warning(
        "%s: %d rows carry a label outside %s and are left out: %s",
        file,
        len(labels) - n_kept,
        ", ".join(label_set.names),
        named,
    )


def _utterance(name: str, label: str, label_set: LabelSet) -> Utterance | None:
    if _is_number(label):
        return Utterance(id=name, sentiment_score=float(label))
    if label not in label_set.names:
        return None
    label = label_set.names[label]
    if label_set.column == "sentiment":
        return Utterance(id=name, sentiment=label)
    return Utterance(id=name, emotion=label)


def _list_file(data_dir: Path, split: str, modality: str) -> Path:
    return data_dir / f"{split}_{_LIST_SUFFIX[modality]}.tsv"


def _read_list(data_dir: Path, split: str, modality: str) -> list[str]:
    file = _list_file(data_dir, split, modality)
    if not file.exists():
        raise UsageError(
            f"{file}: missing, so {modality} cannot be used; see --modality", "list-missing"
        )
    names = [line.split("\t")[0].strip() for line in _lines(file) if line.strip()]
    ids = [name.rsplit(".", 1)[0] if "." in name else name for name in names]
    return _unique(file, ids)


def _read_labels(file: Path) -> dict[str, str]:
    """Return labels by id; the first line is a header."""
    labels: dict[str, str] = {}
    for number, line in enumerate(_lines(file)[1:], start=2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) < 2 or not cells[1]:
            raise UsageError(f"{file}: row {number}: {line!r} is not id,label", "row-malformed")
        if cells[0] in labels:
            raise UsageError(
                f"{file}: row {number}: {cells[0]} is there twice; keep one row", "id-duplicate"
            )
        if _is_number(cells[1]) and not math.isfinite(float(cells[1])):
            raise UsageError(
                f"{file}: row {number}: the score of {cells[0]} is {cells[1]}; "
                "write a number, or remove the row",
                "number-not-finite",
            )
        labels[cells[0]] = cells[1]
    return labels


def _read_sizes(file: Path) -> list[list[str]]:
    """Return rows of id, text_len, audio_len; a header is one whose length is no number."""
    rows = [[cell.strip() for cell in line.split(",")] for line in _lines(file) if line.strip()]
    return rows if rows and len(rows[0]) > 1 and _is_number(rows[0][1]) else rows[1:]


def _lines(file: Path) -> list[str]:
    """Read the lines of a list, of the labels or of the sizes.

    Raises:
        UsageError: the file cannot be read, or a row is not UTF-8.
    """
    try:
        raw = file.read_bytes()
        return raw.decode("utf-8-sig").splitlines()
    except OSError as error:
        message = f"{file}: cannot be read ({error.strerror}); check --data"
        raise UsageError(message, "file-unreadable") from error
    except UnicodeDecodeError as error:
        row = 1 + error.object.count(b"\n", 0, error.start)
        message = f"{file}: row {row}: is not UTF-8 text; save the file as UTF-8"
        raise UsageError(message, "text-not-utf8") from error


def _unique(file: Path, ids: list[str]) -> list[str]:
    for name, count in Counter(ids).items():
        if count > 1:
            raise UsageError(f"{file}: {name} is listed {count} times; keep one", "id-duplicate")
    return ids


def _read_tokens(file: Path) -> np.ndarray:
    try:
        ids = np.array(file.read_text(encoding="utf-8").split(), dtype=np.int64)
    except FileNotFoundError:
        message = f"{file}: listed but not there; see --data-raw"
        raise UsageError(message, "tokens-missing") from None
    except (ValueError, OverflowError):
        ids = np.array([-1])
    if len(ids) == 0:
        raise UsageError(
            f"{file}: empty; tokenize the utterance again or remove it from the list",
            "tokens-empty",
        )
    if ids.min() < 0:
        raise UsageError(
            f"{file}: holds something other than token ids; tokenize again", "tokens-invalid"
        )
    return ids


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
