"""Metrics of dialogues, against loops over their turns."""

import math
import random
from collections.abc import Sequence

import pytest
import torch

from data_prep.schema import Utterance
from emo_fairseq.evaluation import functional
from emo_fairseq.evaluation.dialogues import (
    BINS,
    MIN_DIALOGUES,
    find_dialogues,
    score_dialogues,
)
from emo_fairseq.evaluation.statistics import LabelPredictions

LABELS = ("angry", "happy", "sad")


def draw_rows(n_dialogues: int, seed: int = 0) -> list[Utterance]:
    """Rows of shuffled dialogues of several lengths; some without a speaker or a dialogue."""
    draw = random.Random(seed)
    rows = [
        Utterance(
            f"d{d}_{turn}",
            dialogue=f"d{d}" if draw.random() < 0.95 else None,
            turn=3 * turn,
            speaker=draw.choice(["A", "B", "C", None]),
        )
        for d in range(n_dialogues)
        for turn in range(draw.randint(1, 30))
    ]
    draw.shuffle(rows)
    return rows


def predict(rows: Sequence[Utterance | None], seed: int = 0) -> LabelPredictions:
    draw = torch.Generator().manual_seed(seed)
    truth = torch.randint(3, (len(rows),), generator=draw)
    right = torch.rand(len(rows), generator=draw) < 0.5
    prediction = torch.where(right, truth, torch.randint(3, (len(rows),), generator=draw))
    ids = tuple(str(n) for n in range(len(rows)))
    return LabelPredictions(ids, LABELS, truth.numpy(), prediction.numpy())


def earlier_turns(rows: Sequence[Utterance], row: Utterance, of_speaker: bool) -> list[int]:
    """Return the numbers of the rows before one in its dialogue, in order."""
    if row.dialogue is None or (of_speaker and row.speaker is None):
        return []
    before = [
        n
        for n, other in enumerate(rows)
        if other.dialogue == row.dialogue
        and (other.turn or 0) < (row.turn or 0)
        and (not of_speaker or other.speaker == row.speaker)
    ]
    return sorted(before, key=lambda n: rows[n].turn or 0)


def names_of(of: LabelPredictions, chosen: Sequence[int]) -> tuple[list[str], list[str]]:
    sides = (of.truth, of.prediction)
    truth, prediction = ([LABELS[int(side[n])] for n in chosen] for side in sides)
    return truth, prediction


def test_metrics_are_those_of_the_turns_of_each_group() -> None:
    rows = draw_rows(12)
    of = predict(rows)
    scores = score_dialogues(of, rows, n_resamples=5)
    assert scores is not None
    for unit, of_speaker in (("speaker", True), ("dialogue", False)):
        before = [earlier_turns(rows, row, of_speaker) for row in rows]
        chosen = [n for n, earlier in enumerate(before) if earlier]
        truth, prediction = names_of(of, chosen)
        reference = [LABELS[int(of.truth[before[n][-1]])] for n in chosen]
        for key in ("uar", "weighted_f1", "wa"):
            metric = getattr(functional, key)
            model, other = metric(truth, prediction), metric(truth, reference)
            assert scores.estimates[f"{key}_{unit}"].value == pytest.approx(model)
            assert scores.estimates[f"{key}_{unit}_reference"].value == pytest.approx(other)
            difference = scores.estimates[f"{key}_{unit}_minus_reference"]
            assert difference.value == pytest.approx(model - other)
        assert scores.counts[unit] == len(chosen)
        name = "earlier" if of_speaker else "position"
        for first, last in BINS:
            inside = [
                n
                for n, row in enumerate(rows)
                if row.dialogue is not None
                and (row.speaker is not None or not of_speaker)
                and first <= len(before[n]) <= (last if last is not None else math.inf)
            ]
            assert scores.counts[f"{name}_{first}"] == len(inside)
            expected = functional.uar(*names_of(of, inside)) if inside else math.nan
            found = scores.estimates[f"uar_{name}_{first}"].value
            assert found == pytest.approx(expected, nan_ok=True)


def test_shifts_are_turns_whose_emotion_is_not_that_of_the_speakers_last_one() -> None:
    rows = draw_rows(12, seed=2)
    of = predict(rows)
    groups: dict[str, list[int]] = {"shift": [], "stay": []}
    for n, row in enumerate(rows):
        if before := earlier_turns(rows, row, of_speaker=True):
            groups["stay" if of.truth[before[-1]] == of.truth[n] else "shift"].append(n)
    scores = score_dialogues(of, rows, n_resamples=50)
    assert scores is not None
    uar = {name: functional.uar(*names_of(of, chosen)) for name, chosen in groups.items()}
    assert scores.shift_share == len(groups["shift"]) / sum(map(len, groups.values()))
    for name, value in uar.items():
        assert scores.estimates[f"uar_{name}"].value == pytest.approx(value)
    difference = scores.estimates["uar_stay_minus_shift"]
    assert difference.value == pytest.approx(uar["stay"] - uar["shift"])
    assert difference.low < difference.value < difference.high


def test_few_dialogues_have_no_intervals() -> None:
    rows = [
        Utterance(f"{d} {turn}", dialogue=f"d{d}", turn=turn, speaker="A")
        for d in range(MIN_DIALOGUES - 1)
        for turn in range(2)
    ]
    scores = score_dialogues(predict(rows), rows)
    assert scores is not None
    assert scores.n_dialogues == MIN_DIALOGUES - 1
    assert math.isfinite(scores.estimates["uar_speaker"].value)
    assert math.isnan(scores.estimates["uar_speaker"].low)


@pytest.mark.parametrize(
    "rows",
    [
        [None, None],
        [Utterance("a", dialogue="d"), Utterance("b", dialogue="d")],
        [Utterance("a", dialogue="d", turn=1), Utterance("b", dialogue="e", turn=2)],
    ],
)
def test_rows_that_share_no_dialogue_have_none(rows: Sequence[Utterance | None]) -> None:
    assert find_dialogues(rows) is None
    assert score_dialogues(predict(rows), rows) is None
