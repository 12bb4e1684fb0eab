"""Votes of a manifest as the truth of a distribution: shares, rows left out, labels not known."""

import logging
from pathlib import Path

import numpy as np
import pytest
from codes import raises

from data_prep.schema import Utterance
from emo_fairseq.data.annotations import truth_array
from emo_fairseq.data.dialogue_rows import select_turns
from emo_fairseq.data.manifest import Split
from emo_fairseq.data.usable_rows import select_rows
from emo_fairseq.targets import TARGETS

LABELS = ["sad", "happy"]
TARGET = TARGETS["emotion_distribution"]


def split_of(*rows: Utterance) -> Split:
    return Split("train", Path("train.tsv"), rows)


ROWS = split_of(
    Utterance("a", text="x", emotion="happy", votes="happy:3 sad:1"),
    Utterance("b", text="x", votes="happy:1 sad:1 other:2"),  # no agreement
    Utterance("c", text="x", votes="other:3"),
    Utterance("d", text="x", emotion="sad"),
    Utterance("e", emotion="sad", votes="sad:2"),  # no input
)
PRESENT = {"text": np.array([True, True, True, True, False])}


def test_shares_are_of_the_votes_for_labels() -> None:
    truth = truth_array(ROWS, TARGET, LABELS)
    assert truth.dtype == np.float64
    assert truth[:2].tolist() == [[1, 0.25, 0.75], [-1, 0.5, 0.5]]
    assert np.isnan(truth[2:4, 1:]).all()
    with_other = truth_array(ROWS, TARGET, [*LABELS, "other"])
    assert with_other[1].tolist() == [-1, 0.25, 0.25, 0.5]


def test_rows_without_a_vote_for_a_label_are_left_out_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert select_rows(ROWS, TARGET, PRESENT, LABELS).tolist() == [0, 1]
    assert "1 rows have no vote for any of sad, happy: c" in caplog.text
    assert "2 rows left out, no votes: c, d" in caplog.text
    assert "2 rows with votes, 1 of them without a majority label" in caplog.text
    assert select_rows(ROWS, TARGET, PRESENT, [*LABELS, "other"]).tolist() == [0, 1, 2]


def test_votes_for_an_unknown_label_are_refused() -> None:
    split = split_of(Utterance("a", text="x", votes="happy:3 joy:1"))
    with raises("label-unknown") as error:
        truth_array(split, TARGET, LABELS)
    assert "'joy'" in str(error.value)
    assert "row 2" in str(error.value)


def test_turns_without_a_vote_for_a_label_give_context() -> None:
    rows = [
        Utterance("a", text="x", dialogue="d", turn=0, votes="happy:1"),
        Utterance("b", text="x", dialogue="d", turn=1, votes="other:3"),
        Utterance("c", text="x", dialogue="d", turn=2, emotion="sad"),
    ]
    present = {"text": np.ones(3, dtype=bool)}
    turns = select_turns(split_of(*rows), TARGET, present, 8, causal=False, labels=LABELS)
    assert turns.rows.tolist() == [0, 1, 2]
    assert turns.is_scored.tolist() == [True, False, False]
