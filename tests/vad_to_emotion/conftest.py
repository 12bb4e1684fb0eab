"""A corpus of VAD and emotions, folds of its train split, and what a sweep leaves of them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from data_prep.folds.file import read_folds, write_folds
from data_prep.folds.protocols import FoldOptions, make_folds
from data_prep.schema import AXES, Corpus, Utterance, read_manifest, write_corpus
from emo_fairseq.evaluation import predictions

LABELS = ("sad", "neutral", "happy", "angry")  # not in the order of the alphabet
CENTRES = {"sad": (0.2, 0.3, 0.3), "happy": (0.8, 0.7, 0.6), "angry": (0.2, 0.8, 0.7)}
WORDS = ("so", "what", "happy", "you", "no", "leave", "me")
SIZES = {"train": 60, "valid": 12, "test": 30}


class Place(NamedTuple):
    """A data dir, and the predictions files of its three folds and of its test split."""

    data: Path
    folds: list[Path]
    test: Path


def draw_rows(split: str, rng: np.random.Generator) -> list[Utterance]:
    """Neutral stands for what the others leave; the first row of a split lacks an emotion."""
    rows = []
    for number in range(SIZES[split]):
        emotion = LABELS[number % len(LABELS)]
        center = CENTRES.get(emotion, (0.5, 0.5, 0.5))
        vad = np.clip(rng.normal(center, 0.08), 0, 1).round(4)
        rows.append(
            Utterance(
                f"{split}_{number}",
                text=" ".join(WORDS[number * k % len(WORDS)] for k in (1, 2, 4)),
                speaker=f"{split}{number // 6}",
                emotion=emotion,
                **dict(zip(AXES, map(float, vad), strict=True)),
            )
        )
    return [replace(rows[0], emotion=None), *rows[1:]]


def write_vad(
    file: Path, rows: list[Utterance], facts: Any, seed: int = 0, split: str = "test"
) -> Path:
    """Predictions of VAD: the truth, blurred."""
    rng = np.random.default_rng(seed)
    said = []
    for row in rows:
        truth = {axis: getattr(row, axis) for axis in AXES}
        blurred = {axis: value + rng.normal(0, 0.1) for axis, value in truth.items()}
        said.append(
            {
                "id": row.id,
                "split": split,
                **{f"truth_{axis}": value for axis, value in truth.items()},
                **{f"prediction_{axis}": value for axis, value in blurred.items()},
            }
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    predictions.write(file, said)
    if facts is not None:
        file.with_suffix(".json").write_text(json.dumps(facts))
    return file


def facts_of_fold(fold: str | None, **options: Any) -> dict[str, Any]:
    """As `emo_fairseq.experiments.score` writes them."""
    named = {"common.seed": 1, "task.modality": "text", "task.target": "vad", **options}
    return {
        "set": {"split": "test", "data": None, "labels": None},
        "corpus": "quadrants",
        "trained_on": "quadrants",
        "options": {**named, **({"task.fold": fold} if fold else {})},
    }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    data = tmp_path / "data"
    rng = np.random.default_rng(3)
    splits = {split: draw_rows(split, rng) for split in SIZES}
    vad = {"source_scale": [1.0, 5.0], "mapping": "(x - 1) / 4"}
    write_corpus(data, Corpus("quadrants", labels={"emotion": LABELS}, vad=vad), splits)
    folds, _ = make_folds("k_fold", splits["train"], ["train"], FoldOptions(n_folds=3))
    write_folds(data, folds, splits["train"])
    files = [
        write_vad(tmp_path / "runs" / k / "predictions.tsv", rows, facts_of_fold(f"k_fold/{k}"), n)
        for n, (k, rows) in enumerate(tested_rows(data).items())
    ]
    whole = tmp_path / "runs" / "whole" / "predictions.tsv"
    return Place(data, files, write_vad(whole, splits["test"], facts_of_fold(None), 9))


@pytest.fixture
def write_predictions() -> Callable[..., Path]:
    return write_vad


@pytest.fixture
def fold_facts() -> Callable[..., dict[str, Any]]:
    return facts_of_fold


def tested_rows(data: Path) -> dict[str, list[Utterance]]:
    """The rows that each fold tests."""
    rows = {row.id: row for row in read_manifest(data / "train.tsv")}
    folds = read_folds(data / "folds" / "k_fold.json").folds
    return {k: [rows[name] for name in sets["test"]] for k, sets in folds.items()}
