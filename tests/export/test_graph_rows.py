"""Rows of a data dir for the metrics of graphs."""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from data_prep.schema import Corpus, Utterance, write_corpus
from emo_fairseq.errors import UsageError
from emo_fairseq.export.graph_rows import RowSource, measure, spread
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.targets import TARGETS

ROWS = [
    Utterance("c", text="third", dialogue="d", turn=2, arousal=0.7, dominance=0.5),
    Utterance("a", text="first", dialogue="d", turn=0, valence=0.1, arousal=0.2, dominance=0.3),
    Utterance("x", text="unreadable", valence=0.5, arousal=0.5, dominance=0.5),
    Utterance("b", text="second", dialogue="d", turn=1, valence=0.9, arousal=0.4, dominance=0.8),
    Utterance("e", text="of no turn", dialogue="d", valence=0.4, arousal=0.9, dominance=0.2),
    Utterance("n", text="not rated"),
]


def test_rows_are_read_as_in_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Turns by their numbers, rows of which some axis is rated, and what cannot be read counted."""
    write_corpus(tmp_path, Corpus("small"), {"test": ROWS})
    truth = {row.text: row for row in ROWS}
    turns: list[str] = []

    def predict_each(
        audio: Any, texts: Sequence[str], *, dialogue: Sequence[str | None], **others: Any
    ) -> list[Any]:
        turns.extend(text for text, name in zip(texts, dialogue, strict=True) if name == "d")
        return [
            UsageError("broken", "audio-unreadable") if text == "unreadable" else _perfect(text)
            for text in texts
        ]

    def _perfect(text: str) -> Prediction:
        row = truth[text]
        values = {axis: getattr(row, axis) or 0.0 for axis in TARGETS["vad"].columns}
        return dataclasses.replace(_EMPTY, values=values)

    predictor = SimpleNamespace(modalities=("text",), predict_each=predict_each)
    measured = measure(cast(Any, predictor), RowSource(tmp_path), "test", TARGETS["vad"])
    assert turns == ["first", "second", "third"]
    assert measured.n_rows == 4
    assert measured.metrics == pytest.approx(dict.fromkeys(measured.metrics, 1.0))
    assert "1 of 5 rows are left out" in caplog.text
    assert "x: broken" in caplog.text


def test_calibration_reads_rows_of_all_of_the_split() -> None:
    """Of 1,999 rows, every first one would be those of the first half."""
    numbers = spread(1999, 1000)
    assert (len(set(numbers)), numbers[0], numbers[-1]) == (1000, 0, 1998)
    assert max(b - a for a, b in pairwise(numbers)) <= 3


_EMPTY = Prediction(
    label=None,
    probabilities={},
    values={},
    auxiliary={},
    embedding=np.zeros(0, np.float32),
    modalities=("text",),
    text=None,
    seconds=None,
)
