"""Which rows of a split are read as turns, and which are scored; all others are counted."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from codes import raises

from data_prep.schema import Utterance
from emo_fairseq.data.dialogue_rows import DialogueRows, report_hidden_turns, select_turns
from emo_fairseq.data.manifest import Split
from emo_fairseq.targets import TARGETS


def turn(name: str, dialogue: str | None, number: int | None, emotion: str | None) -> Utterance:
    return Utterance(id=name, dialogue=dialogue, turn=number, emotion=emotion)


ROWS = [
    turn("a2", "a", 2, "joy"),
    turn("alone", None, None, "joy"),
    turn("a0", "a", 0, None),
    turn("b0", "b", 0, None),  # of a dialogue without any truth
    turn("a1", "a", 1, "anger"),
    turn("a3", "a", 3, "joy"),  # without input
    turn("b1", "b", 1, None),
    turn("unlabeled", None, None, None),
]


def select(
    rows: Sequence[Utterance] = ROWS,
    absent: Sequence[int] = (5,),
    size: int = 8,
    causal: bool = False,
) -> DialogueRows:
    present = np.full(len(rows), True)
    present[list(absent)] = False
    split = Split("train", Path("train.tsv"), rows)
    return select_turns(split, TARGETS["emotion"], {"text": present}, size, causal)


def test_turns_without_truth_are_read_with_those_that_have_one():
    found = select()
    names = [ROWS[row].id for row in found.rows]
    assert names == ["a2", "alone", "a0", "a1"]
    assert found.is_scored.tolist() == [True, True, False, True]
    windows = [[names[row] for row in window.rows] for window in found.windows]
    assert windows == [["a0", "a1", "a2"], ["alone"]]
    assert [window.scored.tolist() for window in found.windows] == [[False, True, True], [True]]


def test_windows_without_truth_are_not_read():
    """Turn 0 of 4 is read in no window of two turns that scores one: both are in another."""
    rows = [turn(f"a{n}", "a", n, "joy" if n == 3 else None) for n in range(4)]
    found = select(rows, absent=(), size=2)
    assert [rows[row].id for row in found.rows] == ["a2", "a3"]


def test_what_is_left_out_is_counted(caplog):
    with caplog.at_level(logging.INFO):
        select()
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "train.tsv: 3 rows left out, no emotion: b0, b1, unlabeled",
        "train.tsv: 1 rows left out, neither of text: a3",
        "train.tsv: 1 rows are read as context alone, no emotion: a0",
        "train.tsv: 1 rows have no dialogue or no turn, and so no context: alone",
        "train: 3 turns are scored and 4 read, in 2 windows of at most 8 turns",
    ]


def test_rows_without_any_dialogue_are_refused():
    with raises("column-empty"):
        select([turn("x", None, 1, "joy"), turn("y", "a", None, "joy")], absent=())


def test_two_rows_of_one_turn_are_refused():
    with raises("turn-duplicate") as error:
        select([turn("x", "a", 1, "joy"), turn("y", "a", 1, "joy")], absent=())
    assert "train.tsv" in str(error.value)


def test_no_row_with_truth_and_input_is_refused():
    with raises("rows-unusable"):
        select([turn("x", "a", 1, None), turn("y", "a", 2, "joy")], absent=(1,))


@pytest.mark.parametrize(("causal", "affected"), [(False, "d1, d4"), (True, "d4")])
def test_turns_of_another_set_of_a_fold_are_counted(caplog, causal, affected):
    whole = Split("train", Path("train.tsv"), [turn(f"d{n}", "d", n, "joy") for n in range(5)])
    has_input = np.array([True, True, True, False, True])
    part = whole.part("train", ["d0", "d1", "d4"])
    report_hidden_turns(part, has_input, 2, causal)
    n_rows = len(affected.split(","))
    message = "rows of train have turns around them in another set of the fold"
    assert caplog.messages == [f"train.tsv: {n_rows} {message}, which are left out: {affected}"]
