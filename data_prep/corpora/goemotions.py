"""GoEmotions: Reddit comments with 27 emotions or neutral (Demszky et al. 2020).

Official layout: `{train,dev,test}.tsv`, no header: text, emotion numbers with commas between, and
id; `emotions.txt` names the numbers, a line each, and `ekman_mapping.json` and
`sentiment_mapping.json` (`sentiment_dict.json` in older releases) group the names. With --labels
ekman or sentiment every emotion is replaced by its group; neutral, in no group, stays neutral.
A row with more than one of these labels is dropped and listed. A text with quotes is quoted as in a
CSV, which is undone.
Not used: `full_dataset/`, the votes of the raters.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data_prep.errors import Fault, ManifestError, raise_faults
from data_prep.files.documents import load_json
from data_prep.manifest.cells import normalize_text
from data_prep.schema import Corpus, DroppedRow, Utterance, shared_values, write_corpus

SPLIT_OF = {"train": "train", "dev": "valid", "test": "test"}
NEUTRAL = "neutral"
# --labels -> the column that it fills, and the files that may hold its groups.
LABELS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "27": ("emotion", ()),
    "ekman": ("emotion", ("ekman_mapping.json",)),
    "sentiment": ("sentiment", ("sentiment_mapping.json", "sentiment_dict.json")),
}
LICENSE = "CC BY 4.0"
CITATION = (
    "Demszky, Movshovitz-Attias, Ko, Cowen, Nemade, Ravi (2020). GoEmotions: A Dataset of "
    "Fine-Grained Emotions. ACL."
)


def prepare_goemotions(
    corpus_dir: str | Path, out_dir: str | Path, *, labels: str = "27"
) -> Corpus:
    """Write the data dir of one set of `LABELS`; a row with several is dropped and listed."""
    folder = Path(corpus_dir)
    column, _ = LABELS[labels]
    emotions = _lines(folder / "emotions.txt")
    group_of = _read_groups(folder, emotions, labels)
    names = tuple(dict.fromkeys(group_of.values()))
    corpus = Corpus(
        "goemotions",
        labels={column: names},
        protocol=f"official train/dev/test, dev as valid; {labels} labels, one a row",
        license=LICENSE,
        citation=CITATION,
    )
    splits = {}
    for official, split in SPLIT_OF.items():
        path = folder / f"{official}.tsv"
        splits[split] = _read_split(path, split, column, list(group_of.values()), corpus)
    if shared := shared_values(splits, "text"):
        corpus.notes.append(f"{len(shared)} texts occur in more than one split, word for word")
    write_corpus(out_dir, corpus, splits)
    return corpus


def _lines(path: Path) -> list[str]:
    """Read the lines of a file, which end at line feeds alone."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        problem, remedy = error.strerror or str(error), "name the folder of the release's data"
        fault = Fault(str(path), None, problem, remedy, "corpus-layout")
        raise ManifestError(fault) from None
    except UnicodeDecodeError as error:
        problem, remedy = f"not UTF-8 text ({error})", "download the file again"
        raise ManifestError(Fault(str(path), None, problem, remedy, "encoding-invalid")) from None
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _read_groups(folder: Path, emotions: Sequence[str], labels: str) -> dict[str, str]:
    """Read {emotion: label}, in the order of emotions.txt; without groups each is its own label."""
    if len(set(emotions)) != len(emotions) or not all(emotions):
        file, problem = str(folder / "emotions.txt"), "an emotion is empty or repeated"
        raise ManifestError(Fault(file, None, problem, "download it again", "labels-invalid"))
    _, files = LABELS[labels]
    if not files:
        return {emotion: emotion for emotion in emotions}
    path = next((folder / file for file in files if (folder / file).is_file()), folder / files[0])
    remedy = "download it again: it maps each group to a list of emotions"
    groups = load_json(path, dict[str, list[str]], remedy=remedy)
    named = [name for members in groups.values() for name in members]
    if len(set(named)) < len(named):
        twice = sorted({name for name in named if named.count(name) > 1})
        problem = f"{', '.join(twice)} is in two groups"
        raise ManifestError(Fault(str(path), None, problem, remedy, "labels-invalid"))
    group_of = {name: group for group, members in groups.items() for name in members}
    group_of = {NEUTRAL: NEUTRAL, **group_of}
    if odd := set(emotions) ^ set(group_of):
        problem = f"{', '.join(sorted(odd))} is not both in a group and in emotions.txt"
        remedy = "take both files from one release"
        raise ManifestError(Fault(str(path), None, problem, remedy, "labels-invalid"))
    return {emotion: group_of[emotion] for emotion in emotions}


def _read_split(
    path: Path, split: str, column: str, label_of: Sequence[str], corpus: Corpus
) -> list[Utterance]:
    """Read a split; `label_of` has the label of each emotion's number."""
    utterances: dict[str, Utterance] = {}
    faults = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            text, numbers, row_id = _fields(line)
            labels = dict.fromkeys(label_of[n] for n in _numbers(numbers, len(label_of)))
        except ValueError as error:
            remedy = "compare with the official file"
            faults.append(Fault(str(path), number, str(error), remedy, "row-invalid"))
            continue
        utterance = Utterance(row_id, text=normalize_text(unquoted(text)) or None)
        reasons = list(_drop_reasons(utterance, number, list(labels), utterances))
        if reasons:
            corpus.dropped.append(DroppedRow(split, row_id, reasons[0]))
        else:
            utterances[row_id] = _labeled(utterance, column, next(iter(labels)))
    raise_faults(faults)
    return list(utterances.values())


def _drop_reasons(
    row: Utterance, number: int, labels: Sequence[str], earlier: Mapping[str, Utterance]
) -> Iterator[str]:
    if row.id in earlier:
        yield f"row {number} repeats the id of an earlier row"
    if row.text is None:
        yield "no text"
    if len(labels) > 1:
        yield f"{len(labels)} labels"


def _labeled(row: Utterance, column: str, label: str) -> Utterance:
    emotion, sentiment = (label, None) if column == "emotion" else (None, label)
    return Utterance(row.id, text=row.text, emotion=emotion, sentiment=sentiment)


def _fields(line: str) -> list[str]:
    fields = line.split("\t")
    if len(fields) != 3 or not fields[2]:
        raise ValueError(f"{len(fields)} fields, not text, numbers and id")
    return fields


def _numbers(text: str, n_emotions: int) -> list[int]:
    numbers = text.split(",")
    if not all(n.isascii() and n.isdigit() and int(n) < n_emotions for n in numbers):
        raise ValueError(f"emotions are {text!r}, no numbers from 0 to {n_emotions - 1}")
    return [int(n) for n in numbers]


def unquoted(text: str) -> str:
    """Undo the quoting of a CSV; other text with quotes is unchanged.

    >>> unquoted('"I just said, ""No"" and left"'), unquoted('"Yes" and "no"')
    ('I just said, "No" and left', '"Yes" and "no"')
    """
    inner = text[1:-1]
    if len(text) < 2 or text[0] + text[-1] != '""' or '"' in inner.replace('""', ""):
        return text
    return inner.replace('""', '"')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option of `prepare_goemotions`."""
    labels = "27 emotions and neutral, Ekman's six, or sentiment (default: %(default)s)"
    parser.add_argument("--labels", choices=LABELS, default="27", help=labels)
