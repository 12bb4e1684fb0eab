"""The predictions file: written whole, read back, and refused when it is none."""

import math
from pathlib import Path

import pytest

from emo_fairseq import predictions

ROWS = [
    {"id": "b", "split": "test", "truth": "sad", "prediction": "happy", "probability_sad": 0.25},
    {"id": "a", "split": "valid", "truth": "sad", "prediction": "sad", "probability_sad": 1.0},
    {"id": "a", "split": "test", "truth": "happy", "prediction": "sad", "probability_sad": 0.5},
]


def test_rows_come_back_ordered_by_split_and_id(tmp_path: Path) -> None:
    predictions.write(tmp_path / "new" / "predictions.tsv", ROWS)
    rows = predictions.read(tmp_path / "new" / "predictions.tsv")
    assert [(row["split"], row["id"]) for row in rows] == [
        ("test", "a"),
        ("test", "b"),
        ("valid", "a"),
    ]
    assert rows[1] == {
        "id": "b",
        "split": "test",
        "truth": "sad",
        "prediction": "happy",
        "probability_sad": "0.25",
    }


def test_numbers_keep_float32_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    value = 0.1 + 1e-8
    row = {"id": "a", "split": "test", "truth_valence": math.nan, "prediction_valence": value}
    predictions.write(tmp_path / "p.tsv", [row])
    (read,) = predictions.read(tmp_path / "p.tsv")
    assert read["truth_valence"] == ""
    assert float(read["prediction_valence"]) == pytest.approx(value, abs=1e-9)


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    predictions.write(tmp_path / "p.tsv", ROWS)
    predictions.write(tmp_path / "p.tsv", ROWS[:1])
    assert [path.name for path in tmp_path.iterdir()] == ["p.tsv"]
    assert len(predictions.read(tmp_path / "p.tsv")) == 1


def test_columns_must_agree(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="truth"):
        predictions.write(tmp_path / "p.tsv", [ROWS[0], {"id": "c", "split": "test"}])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\tsplit\n", "not a predictions file; write one with --save-predictions"),
        ("", "not a predictions file"),
        ("id\tsplit\ttruth\na\ttest\n", "row 2: 2 cells, the header 3"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        predictions.read(tmp_path / "p.tsv")
