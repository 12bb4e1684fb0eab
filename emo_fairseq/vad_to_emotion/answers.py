"""What a forest said, as a predictions file of the house: labels with their probabilities."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.schema import Utterance, read_corpus, read_manifest, write_atomically
from emo_fairseq.data.naming import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.predictions import PROBABILITY, facts_path
from emo_fairseq.vad_to_emotion.forest import Forest
from emo_fairseq.vad_to_emotion.leaks import RECORD


@dataclass(frozen=True, eq=False)
class EmotionRows:
    """Emotions of N utterances of a split.

    Attributes:
        split: its name.
        ids: of the utterances.
        labels: K names in the corpus's order.
        truth: (N,) int64 numbers of `labels`.
    """

    split: str
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    truth: np.ndarray


def read_rows(data: Path, split: str) -> dict[str, Utterance]:
    """The rows of a split by id, in the manifest's order.

    Raises:
        UsageError: the data dir has no such split.
    """
    file = data / f"{split}.tsv"
    if not file.is_file():
        there = ", ".join(read_corpus(data).splits)
        raise UsageError(f"{file}: there is no split {split!r}; {data} has {there}")
    return {row.id: row for row in read_manifest(file)}


def read_labels(data: Path) -> tuple[str, ...]:
    """The emotions of a corpus in its own order.

    Raises:
        UsageError: it has none.
    """
    corpus = read_corpus(data)
    if not (labels := corpus.labels.get("emotion")):
        raise UsageError(
            f"{data}: {corpus.name} has no labels of emotions, only VAD can be measured on it; "
            "leave the forest out"
        )
    return labels


def emotions_of(
    ids: Sequence[str], rows: Mapping[str, Utterance], labels: Sequence[str], split: str
) -> tuple[EmotionRows, list[str]]:
    """Those of the rows that have an emotion, and a note on the others.

    Raises:
        UsageError: none has one, or a label that is none of `labels`.
    """
    number = {label: place for place, label in enumerate(labels)}
    kept = [name for name in ids if rows[name].emotion is not None]
    if not kept:
        raise UsageError(f"none of the {len(ids)} rows of {split} has an emotion; give others")
    if unknown := [name for name in kept if rows[name].emotion not in number]:
        raise UsageError(
            f"{split}: {unknown[0]}: emotion {rows[unknown[0]].emotion!r} is none of "
            f"{', '.join(labels)}, which the forest knows; take a forest of this label set"
        )
    left = [name for name in ids if rows[name].emotion is None]
    notes = [f"{len(left)} rows of {split} have no emotion, and are left out: {first_few(left)}"]
    truth = np.array([number[rows[name].emotion or ""] for name in kept], dtype=np.int64)
    return EmotionRows(split, tuple(kept), tuple(labels), truth), notes if left else []


def write_emotions(
    file: Path, emotions: EmotionRows, probabilities: np.ndarray, facts: Mapping[str, Any]
) -> None:
    """Write the predictions file, and beside it as JSON what it was made from.

    Args:
        file: as `emo_fairseq.report` and `emo_fairseq.experiments.collect` read it.
        emotions: N rows.
        probabilities: (N, K).
        facts: see :func:`facts_of`.
    """
    labels = emotions.labels
    rows = [
        {
            "id": name,
            "split": emotions.split,
            "truth": labels[truth],
            "prediction": labels[int(chances.argmax())],
            **{PROBABILITY + label: float(x) for label, x in zip(labels, chances, strict=True)},
        }
        for name, truth, chances in zip(emotions.ids, emotions.truth, probabilities, strict=True)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    predictions.write(file, rows)
    write_facts(file, facts)


def write_facts(file: Path, facts: Mapping[str, Any]) -> None:
    """Write what a predictions file was made from beside it."""
    text = json.dumps(facts, indent=1, ensure_ascii=False, default=str) + "\n"
    write_atomically(facts_path(file), text)


def facts_of(
    forest: Forest, data: Path, split: str, source: str, regressor: Mapping[str, Any]
) -> dict[str, Any]:
    """What collect asks of a run, and which VAD the forest has read.

    Args:
        forest: that answered.
        data: the data dir.
        split: of it.
        source: of the VAD, such as ``upper bound (gold VAD)``.
        regressor: what stands beside the VAD's own predictions file; {} where nothing does.
    """
    corpus = read_corpus(data).name
    forests = {f"vad_to_emotion.{name}": x for name, x in forest.about["design"].items()}
    ours = {
        "task.data": str(data),
        "task.target": "emotion",
        "vad_to_emotion.vad": source,
        "vad_to_emotion.fitted_on": forest.about["fitted_on"],
        "common.seed": (regressor.get("options") or {}).get("common.seed", forest.design.seed),
    }
    options = {**(regressor.get("options") or {}), **ours, **forests}
    if not regressor:
        options["dataset.disable_validation"] = True  # no set has chosen anything
    return {
        **regressor,
        "set": {"split": split, "data": None, "labels": None},
        "corpus": corpus,
        "trained_on": forest.about["corpus"],
        "forest": {name: x for name, x in forest.about.items() if name != RECORD},
        "options": options,
    }
