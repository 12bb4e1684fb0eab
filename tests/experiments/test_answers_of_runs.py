"""Predictions of several runs: rows that all have, folds together, figures by axis."""

import pytest
import torch

from emo_fairseq.experiments.answers import (
    Answers,
    aligned,
    joined,
)

N_ROWS = 60
NAMES = ("neutral", "happy", "sad")
AXES = ("valence", "arousal", "dominance")


def keys(prefix: str = "") -> tuple[tuple[str, str], ...]:
    return tuple(("", f"{prefix}{row:02d}") for row in range(N_ROWS))


def labels(seed: int) -> Answers:
    generator = torch.Generator().manual_seed(seed)
    truth, prediction = torch.randint(3, (2, N_ROWS), generator=generator).to(torch.uint8)
    return Answers(keys(), NAMES, True, truth, prediction)


def numbers(seed: int) -> Answers:
    generator = torch.Generator().manual_seed(seed)
    truth, prediction = torch.rand(2, N_ROWS, 3, generator=generator, dtype=torch.float64)
    truth[0, 1] = torch.nan
    return Answers(keys(), AXES, False, truth, prediction)


def test_figures_of_numbers_by_axis():
    run = numbers(3)
    figures = run.figures()
    known = ~run.truth[:, 1].isnan()
    error = (run.truth[known, 1] - run.prediction[known, 1]).abs().mean()
    assert figures["mae_arousal"] == pytest.approx(float(error))
    assert figures["mae"] == pytest.approx(sum(figures[f"mae_{axis}"] for axis in AXES) / 3)


def test_rows_that_all_have_in_the_order_of_the_first():
    one = labels(1)
    two = labels(2).at(list(range(N_ROWS - 1, 4, -1)))
    first, second = aligned([one, two])
    assert first.keys == second.keys == one.keys[5:]
    assert torch.equal(second.prediction, labels(2).prediction[5:])


def test_folds_together():
    whole = labels(1)
    parts = [whole.at(range(20)), whole.at(range(20, N_ROWS))]
    assert joined(parts).figures() == whole.figures()
