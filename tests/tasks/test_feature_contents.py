"""A model goes on with, and is scored on, the features on disk that it was trained with."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codes import raises

from data_prep.features.stored import write_split
from data_prep.schema import read_manifest

SPLITS = ("train", "valid", "test")
OPTIONS = {"modality": "speech", "speech_encoder": "features:some"}
SETTINGS = {"modality": "speech", "weights": "some", "dtype": "float32"}


@pytest.fixture
def data(copy_toy: Callable[..., Path]) -> Path:
    return copy_toy()


def write_foreign(data: Path, seed: int = 0, only: str = "") -> None:
    """Three frames of four numbers a row, and their lengths."""
    folder = data / "features" / "some"
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        if only in ("", split):
            n_rows = len(read_manifest(data / f"{split}.tsv"))
            noise = np.random.default_rng([seed, n_rows]).normal(size=(3 * n_rows, 4))
            np.save(folder / f"{split}.npy", noise.astype("f4"))
            (folder / f"{split}.lengths").write_text("3\n" * n_rows)


def write_own(data: Path, content: str) -> None:
    for split in SPLITS:
        rows = read_manifest(data / f"{split}.tsv")
        frames = (np.full((3, 4), number / len(rows), "f4") for number in range(len(rows)))
        write_split(data / "features" / "some", split, rows, frames, SETTINGS, content)


def trained(make_task: Callable[..., Any], data: Path) -> dict[str, Any]:
    return copy.deepcopy(make_task(data, **OPTIONS).state_dict())


def take_over(make_task: Callable[..., Any], data: Path, state: dict[str, Any]) -> None:
    make_task(data, from_checkpoint=True, **OPTIONS).load_state_dict(state)


@pytest.mark.parametrize("split", SPLITS)
def test_features_of_others_that_have_changed_are_refused(
    data: Path, make_task: Callable[..., Any], split: str
) -> None:
    write_foreign(data)
    state = trained(make_task, data)
    assert set(state["feature_contents"]["speech"]) == {*SPLITS}
    take_over(make_task, data, state)
    write_foreign(data, seed=1, only=split)
    with raises("features-changed") as error:
        take_over(make_task, data, state)
    assert f"the features of {split} " in str(error.value)
    write_foreign(data, only=split)
    take_over(make_task, data, state)


def test_a_split_without_features_is_warned_of_before_training(
    data: Path, make_task: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    for split in ("train", "valid"):
        write_foreign(data, only=split)
    make_task(data, **OPTIONS)
    assert "features/some: has no features of test, which cannot be scored" in caplog.text


def test_features_of_other_rows_are_not_compared(data: Path, make_task: Callable[..., Any]) -> None:
    write_foreign(data)
    state = trained(make_task, data)
    state["feature_contents"]["speech"]["train"] = ["of other rows", "of other features"]
    take_over(make_task, data, state)


def test_our_features_are_known_by_what_they_were_made_from(
    data: Path, make_task: Callable[..., Any]
) -> None:
    """Made again on a GPU they differ in the last bits."""
    write_own(data, "audio")
    state = trained(make_task, data)
    write_own(data, "audio")
    take_over(make_task, data, state)
    write_own(data, "other audio")
    with raises("features-changed"):
        take_over(make_task, data, state)


def test_a_checkpoint_of_an_older_version_says_nothing(
    data: Path, make_task: Callable[..., Any]
) -> None:
    write_foreign(data)
    state = trained(make_task, data)
    del state["feature_contents"]
    write_foreign(data, seed=1)
    take_over(make_task, data, state)
