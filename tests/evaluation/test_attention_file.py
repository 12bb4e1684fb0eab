"""The attention file: nothing that was written may be missing when it is read."""

from pathlib import Path

import numpy as np
from codes import raises

from emo_fairseq.evaluation import attention


def test_rows_come_back(tmp_path: Path) -> None:
    weights = {"text": np.full(3, 1 / 3, np.float32), "speech": np.ones((1, 2, 1, 4), np.float32)}
    rows = [
        attention.Attended("u0", "test", ["a", "b"], None, weights),
        attention.Attended("u1", "test", None, 1.5, {}),
    ]
    attention.write(tmp_path / "a.npz", rows)
    first, second = attention.read(tmp_path / "a.npz")
    assert (first.id, first.words, second.seconds) == ("u0", ["a", "b"], 1.5)
    assert set(first.weights) == {"text", "speech"}
    np.testing.assert_array_equal(first.weights["speech"], weights["speech"])
    assert second.weights == {}


def test_weights_under_another_name_are_not_passed_over(tmp_path: Path) -> None:
    row = attention.Attended("u0", "test", ["a"], None, {"text": np.ones(1, np.float32)})
    attention.write(tmp_path / "a.npz", [row])
    with np.load(tmp_path / "a.npz") as content:
        arrays = dict(content)
    arrays["1/text"] = arrays.pop("0/text")
    np.savez(tmp_path / "a.npz", **arrays)
    with raises("attention-incomplete") as error:
        attention.read(tmp_path / "a.npz")
    assert "u0" in str(error.value)
