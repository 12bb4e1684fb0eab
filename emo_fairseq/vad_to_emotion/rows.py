"""Predicted VAD and emotions of utterances, from and to predictions files."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.files.replacing import write_atomically
from data_prep.messages import first_few
from data_prep.schema import AXES, Utterance, read_corpus, read_manifest, unscale_vad
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.predictions import PREDICTION_OF, PROBABILITY, TRUTH_OF, facts_path
from emo_fairseq.vad_to_emotion.forest import RECORD, Forest

Notes = list[str]  # that belong below a table
_CONSTANT = 1e-6  # values of [0, 1] that differ by less are the same, but for rounding
_WRITTEN = 1e-6  # by which a truth may differ from the manifest's: predictions have nine digits


def read_rows(data: Path, split: str) -> dict[str, Utterance]:
    """Load the rows of a split by id, in the manifest's order.

    Raises:
        UsageError: the data dir has no such split.
    """
    file = data / f"{split}.tsv"
    if not file.is_file():
        splits = ", ".join(read_corpus(data).splits)
        raise UsageError(
            f"{file}: there is no split {split!r}; {data} has {splits}", "split-missing"
        )
    return {row.id: row for row in read_manifest(file)}


# --- VAD ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class VadRows:
    """Predicted VAD of N utterances.

    Attributes:
        file: that it was read from.
        split: the column of that name.
        ids: of the utterances, each once.
        truth: (N, 3) float64, axes in the order of `AXES`, NaN = missing.
        prediction: (N, 3) float64.
    """

    file: Path
    split: str
    ids: tuple[str, ...]
    truth: np.ndarray
    prediction: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, ids: Sequence[str]) -> "VadRows":
        """Return some of the rows, in the order of `ids`."""
        index = {name: number for number, name in enumerate(self.ids)}
        rows = [index[name] for name in ids]
        return replace(
            self, ids=tuple(ids), truth=self.truth[rows], prediction=self.prediction[rows]
        )

    def on_scale(self, low: float, high: float) -> "VadRows":
        """Map values from [0, 1] to a corpus's own scale."""
        truth, prediction = (
            np.asarray(unscale_vad(values, low, high))  # type: ignore[arg-type]
            for values in (self.truth, self.prediction)
        )
        return replace(self, truth=truth, prediction=prediction)


def read_vad(file: Path) -> VadRows:
    """Load a predictions file of ``--target vad``, of one split.

    Raises:
        UsageError: no such file, no VAD in it, several splits, a damaged file, or an axis
            that is the same for every row.
    """
    rows = predictions.read(file)
    columns = [kind + axis for kind in (TRUTH_OF, PREDICTION_OF) for axis in AXES]
    if not rows or (missing := [name for name in columns if name not in rows[0]]):
        problem = f"lacks the columns {', '.join(missing)}" if rows else "has no rows"
        raise UsageError(
            f"{file}: {problem}; score a model of --target vad", "predictions-without-vad"
        )
    splits = sorted({row["split"] for row in rows})
    if len(splits) > 1:
        raise UsageError(
            f"{file}: holds the splits {', '.join(splits)}; score one at a time",
            "predictions-several-splits",
        )
    values = np.array([[float(row[name] or "nan") for name in columns] for row in rows])
    ids = tuple(row["id"] for row in rows)
    vad = VadRows(file, splits[0], ids, values[:, : len(AXES)], values[:, len(AXES) :])
    refuse_constant(file, vad.prediction)
    return vad


def refuse_constant(source: object, prediction: np.ndarray) -> None:
    """Raise a `UsageError` if an axis of (N, 3) predictions is the same for all of several rows."""
    spread = np.ptp(prediction, axis=0) if len(prediction) > 1 else np.ones(len(AXES))
    if flat := [axis for axis, width in zip(AXES, spread, strict=True) if width < _CONSTANT]:
        value = prediction[0, AXES.index(flat[0])]
        raise UsageError(
            f"{source}: {' and '.join(flat)} is the same for all {len(prediction)} rows "
            f"({flat[0]} {value:.4g}): this model does not discriminate; train it, or take another",
            "predictions-constant",
        )


def check_truth(vad: VadRows, rows: Mapping[str, Utterance], data: Path) -> None:
    """Raise a `UsageError` if the file has rows that a manifest lacks, or another truth."""
    if unknown := [name for name in vad.ids if name not in rows]:
        raise UsageError(
            f"{vad.file}: {len(unknown)} of {len(vad)} rows are not in {vad.split} of {data}: "
            f"{first_few(unknown)}; name the data dir that was scored",
            "rows-unknown",
        )
    own = np.array([gold_vad(rows[name]) for name in vad.ids])  # (N, 3)
    same = np.isclose(vad.truth, own, rtol=0, atol=_WRITTEN, equal_nan=True).all(axis=1)
    if len(other := [vad.ids[row] for row in np.flatnonzero(~same)]):
        raise UsageError(
            f"{vad.file}: the truth of {len(other)} rows is not that of {data}: "
            f"{first_few(other)}; score the model again on this data dir",
            "truth-differs",
        )


def gold_vad(row: Utterance) -> list[float]:
    """Return the corpus's own VAD (3,); NaN where it is missing."""
    values = [getattr(row, axis) for axis in AXES]
    return [math.nan if value is None else value for value in values]


def gold_rows(rows: Mapping[str, Utterance], split: str) -> tuple[VadRows, Notes]:
    """Return the corpus's own VAD as if it were predicted, and a note on rows that lack an axis.

    Raises:
        UsageError: no row has all three.
    """
    vad = {name: np.array(gold_vad(row)) for name, row in rows.items()}
    ids = [name for name, values in vad.items() if not np.isnan(values).any()]
    if not ids:
        raise UsageError(
            f"no row of {split} has {', '.join(AXES)}: there is no gold VAD; take another corpus",
            "gold-vad-missing",
        )
    values = np.stack([vad[name] for name in ids])  # (N, 3)
    complete = VadRows(Path(split), split, tuple(ids), values, values)
    left = [name for name in vad if name not in set(ids)]
    note = f"{len(left)} rows of {split} lack gold VAD, and are left out: {first_few(left)}"
    return complete, [note] if left else []


# --- Emotions -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class EmotionRows:
    """True emotions of N utterances of a split.

    Attributes:
        split: its name.
        ids: of the utterances.
        labels: K names in the corpus's order.
        truth: (N,) int64 ids of `labels`.
    """

    split: str
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    truth: np.ndarray


def read_labels(data: Path) -> tuple[str, ...]:
    """Load the emotions of a corpus in its own order.

    Raises:
        UsageError: it has none.
    """
    corpus = read_corpus(data)
    if not (labels := corpus.labels.get("emotion")):
        raise UsageError(
            f"{data}: {corpus.name} has no labels of emotions, only VAD can be measured on it; "
            "leave the forest out",
            "emotions-missing",
        )
    return labels


def emotions_of(
    ids: Sequence[str], rows: Mapping[str, Utterance], labels: Sequence[str], split: str
) -> tuple[EmotionRows, Notes]:
    """Return the rows that have an emotion, and a note on the others.

    Raises:
        UsageError: none has one, or a label that is none of `labels`.
    """
    number = {label: index for index, label in enumerate(labels)}
    kept = [name for name in ids if rows[name].emotion is not None]
    if not kept:
        raise UsageError(
            f"none of the {len(ids)} rows of {split} has an emotion; name another split",
            "emotions-missing",
        )
    if unknown := [name for name in kept if rows[name].emotion not in number]:
        raise UsageError(
            f"{split}: {unknown[0]}: emotion {rows[unknown[0]].emotion!r} is none of "
            f"{', '.join(labels)}, the labels of the forest; take a forest of this label set",
            "label-unknown",
        )
    left = [name for name in ids if rows[name].emotion is None]
    note = f"{len(left)} rows of {split} have no emotion, and are left out: {first_few(left)}"
    truth = np.array([number[rows[name].emotion or ""] for name in kept], dtype=np.int64)
    return EmotionRows(split, tuple(kept), tuple(labels), truth), [note] if left else []


def write_emotions(
    file: Path, emotions: EmotionRows, probabilities: np.ndarray, facts: Mapping[str, Any]
) -> None:
    """Write a predictions file, and beside it as JSON what it was made from.

    Args:
        file: readable by `emo_fairseq.report` and `emo_fairseq.experiments.collect`.
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
            "prediction": labels[int(of_row.argmax())],
            **{PROBABILITY + label: float(x) for label, x in zip(labels, of_row, strict=True)},
        }
        for name, truth, of_row in zip(emotions.ids, emotions.truth, probabilities, strict=True)
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
    """Return the facts that `collect` needs of a run, and the source of the forest's input."""
    recorded = regressor.get("options") or {}
    options = {
        **recorded,
        "task.data": str(data),
        "task.target": "emotion",
        "vad_to_emotion.vad": source,
        "vad_to_emotion.fitted_on": forest.about["fitted_on"],
        "common.seed": recorded.get("common.seed", forest.design.seed),
        **{f"vad_to_emotion.{name}": x for name, x in forest.about["design"].items()},
    }
    if not regressor:
        options["dataset.disable_validation"] = True  # no set has selected anything
    return {
        **regressor,
        "set": {"split": split, "data": None, "labels": None},
        "corpus": read_corpus(data).name,
        "trained_on": forest.about["corpus"],
        "forest": {name: x for name, x in forest.about.items() if name != RECORD},
        "options": options,
    }
