"""Two ranks train as one rank with all rows would: loss, gradients, figures and state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_cases import CASES, SPLITS, flat, on_two_ranks, summed, train
from term_cases import Task, figures, make_rows, write_rows

RTOL = 1e-6  # class weights are float32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("ranks"), make_rows())


@pytest.fixture(scope="module")
def ranks(folder: Path) -> Sequence[dict[str, Any]]:
    return on_two_ranks(folder)


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_train_as_one(name: str, folder: Path, ranks: Sequence[dict[str, Any]]) -> None:
    case = CASES[name]
    one, two = train(case, folder, rank=None), [rank[name] for rank in ranks]
    task = Task(folder, make_rows(), **case.task)
    for number in range(len(SPLITS[case.split])):
        expected, found = one["steps"][number], summed(two, number)
        torch.testing.assert_close(found["loss"], expected["loss"], rtol=RTOL, atol=1e-9)
        torch.testing.assert_close(found["sample_size"], expected["sample_size"])
        assert found["gradients"].keys() == expected["gradients"].keys()
        gradient = flat(expected["gradients"])
        assert gradient.abs().max() > 0.1
        torch.testing.assert_close(flat(found["gradients"]), gradient, rtol=RTOL, atol=1e-9)
        of_one, of_two = (figures([step["logged"]], task) for step in (expected, found))
        assert of_one.keys() == of_two.keys()
        assert of_two == pytest.approx(of_one, rel=RTOL, nan_ok=True)


@pytest.mark.parametrize("name", CASES)
def test_every_rank_ends_with_the_state_of_one(
    name: str, folder: Path, ranks: Sequence[dict[str, Any]]
) -> None:
    expected = train(CASES[name], folder, rank=None)["state"]
    for rank in ranks:
        found = rank[name]["state"]
        assert found.keys() == expected.keys()
        prototypes = [state.get("prototypes", {}).get("values") for state in (found, expected)]
        if prototypes[1] is not None:
            torch.testing.assert_close(*prototypes, rtol=1e-12, atol=1e-12, equal_nan=True)
        queues = [state.get("embedding_queue", []) for state in (found, expected)]
        assert len(queues[0]) == len(queues[1])
        assert bool(queues[0]) == ("queue" in name)
        for kept, kept_by_one in zip(*queues, strict=True):
            torch.testing.assert_close(kept, kept_by_one, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_the_terms_that_have_parameters_train_them(ranks: Sequence[dict[str, Any]]) -> None:
    for name in ("projection head", "trained prototypes", "uncertainty", "adversaries"):
        gradients = summed([rank[name] for rank in ranks], 0)["gradients"]
        own = [value for key, value in gradients.items() if key.startswith("criterion")]
        assert own
        assert all(value.abs().max() > 0 for value in own), name
