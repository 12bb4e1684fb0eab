"""Features of a split whose extraction was killed: kept parts, and what is computed again."""

import json

import numpy as np
import pytest

from data_prep.features import partial_split
from data_prep.features.partial_split import PartialSplit

FRAMES = [np.full((n, 2), n, np.float32) for n in (3, 0, 2, 5, 1)]


@pytest.fixture(autouse=True)
def every_row_is_a_part(monkeypatch):
    monkeypatch.setattr(partial_split, "_PART_SECONDS", -1.0)


def interrupted(folder, n_rows, key="key"):
    """Take the frames of the first rows and go away, as a killed process does."""
    frames = PartialSplit(folder, "train", key).frames(lambda first: iter(FRAMES[first:]))
    for _ in range(n_rows):
        next(frames)


def resumed(folder, key="key"):
    computed_from = []

    def compute(first):
        computed_from.append(first)
        return iter(FRAMES[first:])

    rows = list(PartialSplit(folder, "train", key).frames(compute))
    assert [row.tolist() for row in rows] == [row.tolist() for row in FRAMES]
    assert {row.dtype for row in rows} == {np.dtype(np.float32)}
    return computed_from


def test_it_continues_after_the_last_part(tmp_path, caplog):
    interrupted(tmp_path, 4)
    assert resumed(tmp_path) == [3]  # the fourth row was not kept yet
    assert "continues after 3 rows" in caplog.text


def test_it_is_killed_twice(tmp_path):
    interrupted(tmp_path, 2)
    interrupted(tmp_path, 4)
    assert resumed(tmp_path) == [3]


def test_parts_of_another_content_are_not_used(tmp_path):
    interrupted(tmp_path, 4)
    assert resumed(tmp_path, key="another") == [0]


@pytest.mark.parametrize("damage", ["cut", "flip", "list"])
def test_a_damaged_part_is_computed_again(tmp_path, damage):
    interrupted(tmp_path, 4)
    part = tmp_path / ".train.partial" / "000001.npy"
    if damage == "list":
        (part.parent / "parts.json").write_text("{")
    elif damage == "cut":
        part.unlink()
    else:
        content = bytearray((part.parent / "000000.npy").read_bytes())
        content[-1] ^= 1
        (part.parent / "000000.npy").write_bytes(content)
    assert resumed(tmp_path) == [{"cut": 1, "flip": 0, "list": 0}[damage]]


def test_the_parts_are_removed(tmp_path):
    interrupted(tmp_path, 4)
    PartialSplit(tmp_path, "train", "key").remove()
    assert list(tmp_path.iterdir()) == []
    assert resumed(tmp_path) == [0]


def test_parts_hold_some_seconds_of_work(tmp_path, monkeypatch):
    monkeypatch.setattr(partial_split, "_PART_SECONDS", 1e9)
    monkeypatch.setattr(partial_split, "_PART_BYTES", FRAMES[0].nbytes)
    interrupted(tmp_path, 5)
    parts = json.loads((tmp_path / ".train.partial" / "parts.json").read_text())["parts"]
    assert len(parts) == 2  # of 3 + 0 + 2 frames, more than the limit, and of 5
    assert resumed(tmp_path) == [4]
