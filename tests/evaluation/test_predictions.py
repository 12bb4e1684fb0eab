"""The predictions file: written whole, read back, and refused when it is none."""

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from codes import raises

from emo_fairseq.evaluation import predictions

Damage = Callable[[list[str]], list[str]]

SAD, HAPPY = "probability_sad", "probability_happy"
ROWS = [
    {"id": "b", "split": "test", "truth": "sad", "prediction": "happy", SAD: 0.25, HAPPY: 0.75},
    {"id": "a", "split": "valid", "truth": "sad", "prediction": "sad", SAD: 1.0, HAPPY: 0.0},
    {"id": "a", "split": "test", "truth": "happy", "prediction": "sad", SAD: 0.5, HAPPY: 0.5},
]
NUMBERS = [
    {"id": "a", "split": "test", "truth_valence": math.nan, "prediction_valence": 0.5},
    {"id": "b", "split": "test", "truth_valence": 0.25, "prediction_valence": -0.5},
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
        "probability_happy": "0.75",
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
    ("text", "code"),
    [
        ("name\tsplit\n", "predictions-no-header"),
        ("", "predictions-no-header"),
        ("id\tsplit\ttruth\na\ttest\n", "predictions-ragged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "p.tsv").write_text(predictions.with_last_line(text))
    with raises(code):
        predictions.read(tmp_path / "p.tsv")


# -- what was written is what is read --------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    predictions.write(tmp_path / "p.tsv", ROWS)
    return tmp_path / "p.tsv"


def test_the_last_line_counts_the_rows_and_holds_their_digest(file: Path) -> None:
    content, _, end = file.read_text().rstrip("\n").rpartition("\n")
    digest = hashlib.sha256(f"{content}\n".encode()).hexdigest()
    assert end == f"# rows 3 sha256 {digest}"
    assert file.read_bytes().endswith(b"\n")


def _without_lines(*numbers: int) -> Damage:
    def damage(lines: list[str]) -> list[str]:
        return [line for number, line in enumerate(lines) if number not in numbers]

    return damage


def _swap_ids(lines: list[str]) -> list[str]:
    (first, rest), (second, other) = (lines[n].split("\t", 1) for n in (1, 2))
    return [lines[0], f"{second}\t{rest}", f"{first}\t{other}", *lines[3:]]


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a row gone": (_without_lines(2), "predictions-cut"),
    "a row twice": (lambda lines: [*lines[:2], *lines[1:]], "predictions-cut"),
    "another prediction": (
        lambda lines: [*lines[:3], lines[3].replace("sad\tsad", "sad\thappy"), *lines[4:]],
        "predictions-changed",
    ),
    "ids swapped": (_swap_ids, "predictions-changed"),
    "rows swapped": (
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        "predictions-changed",
    ),
}


@pytest.mark.parametrize(("damage", "code"), DAMAGES.values(), ids=DAMAGES)
def test_a_file_that_was_changed_is_refused(file: Path, damage: Damage, code: str) -> None:
    lines = file.read_text().split("\n")
    file.write_text("\n".join(damage(lines)))
    with raises(code):
        predictions.read(file)


def test_every_cut_is_refused_but_that_of_the_last_line_end(file: Path) -> None:
    """`head -c -1` and `head -n 3` lost rows once, and the metrics were of the others."""
    content, rows = file.read_bytes(), predictions.read(file)
    for length in range(1, len(content) - 1):
        file.write_bytes(content[:length])
        with raises("predictions-cut"):
            predictions.read(file)
    file.write_bytes(content[:-1])
    assert predictions.read(file) == rows


def test_further_columns_are_kept(tmp_path: Path) -> None:
    predictions.write(tmp_path / "p.tsv", [{**row, "fold": "k/1"} for row in ROWS])
    assert {row["fold"] for row in predictions.read(tmp_path / "p.tsv")} == {"k/1"}


FAULTS: dict[str, tuple[Sequence[predictions.Row], str, str]] = {  # rows, code, names in it
    "an id twice": ([*ROWS, {**ROWS[0], "truth": "happy"}], "predictions-id-twice", "b"),
    "no id": ([{**ROWS[0], "id": ""}], "predictions-no-id", ""),
    "below 0": ([*ROWS[:2], {**ROWS[2], SAD: -3.0}], "predictions-no-probability", f"a: {SAD}"),
    "above 1": ([{**ROWS[0], HAPPY: 1.01}], "predictions-no-probability", f"b: {HAPPY}"),
    "infinite": ([{**ROWS[0], HAPPY: math.inf}], "predictions-no-probability", f"b: {HAPPY}"),
    "not a number": ([{**ROWS[0], HAPPY: math.nan}], "predictions-no-probability", f"b: {HAPPY}"),
    "text": ([{**ROWS[0], HAPPY: "much"}], "predictions-no-probability", f"b: {HAPPY}"),
    "a sum beside 1": ([*ROWS, {**ROWS[0], "id": "c", SAD: 0.5}], "predictions-no-softmax", "c: "),
    "an unknown prediction": (
        [{**ROWS[0], "prediction": "angry"}],
        "predictions-label-unknown",
        "b: prediction 'angry'",
    ),
    "no prediction": (
        [{**ROWS[0], "prediction": ""}],
        "predictions-label-unknown",
        "b: prediction ''",
    ),
    "an unknown truth": (
        [{**ROWS[0], "truth": "Sad"}],
        "predictions-label-unknown",
        "b: truth 'Sad'",
    ),
    "no predicted number": (
        [NUMBERS[0], {**NUMBERS[1], "prediction_valence": math.nan}],
        "predictions-no-number",
        "b: prediction_valence",
    ),
    "an infinite number": (
        [{**NUMBERS[1], "prediction_valence": -math.inf}],
        "predictions-no-number",
        "b: prediction_valence",
    ),
    "an infinite truth": (
        [{**NUMBERS[1], "truth_valence": math.inf}],
        "predictions-no-number",
        "b: truth_valence",
    ),
}


@pytest.mark.parametrize(("rows", "code", "named"), FAULTS.values(), ids=FAULTS)
def test_what_is_no_prediction_is_neither_written_nor_read(
    tmp_path: Path, rows: Sequence[predictions.Row], code: str, named: str
) -> None:
    file = tmp_path / "p.tsv"
    with raises(code) as error:
        predictions.write(file, rows)
    assert f"p.tsv: {named}" in str(error.value)
    assert not file.exists()
    cells = [[predictions._cell(value) for value in row.values()] for row in rows]
    content = "".join("\t".join(line) + "\n" for line in [list(rows[0]), *cells])
    file.write_text(predictions.with_last_line(content))
    with raises(code) as error:
        predictions.read(file)
    assert f"p.tsv: {named}" in str(error.value)


def test_a_column_twice_is_refused(tmp_path: Path) -> None:
    content = "id\tsplit\ttruth_x\ttruth_x\na\ttest\t1\t1\n"
    (tmp_path / "p.tsv").write_text(predictions.with_last_line(content))
    with raises("predictions-column-twice"):
        predictions.read(tmp_path / "p.tsv")


def test_probabilities_of_separate_questions_need_no_sum(tmp_path: Path) -> None:
    """Those of a trained model are near 0 and 1, so that they may well add up to 1."""
    rows = [{**ROWS[0], "id": str(n), SAD: 0.0, HAPPY: 1.0} for n in range(8)]
    rows += [{**ROWS[0], "id": "c", SAD: 0.6, HAPPY: 0.9}]
    predictions.write(tmp_path / "p.tsv", rows)
    assert len(predictions.read(tmp_path / "p.tsv")) == 9


def test_a_probability_may_be_rounded(tmp_path: Path) -> None:
    predictions.write(tmp_path / "p.tsv", [{**ROWS[0], SAD: 1.0000001, HAPPY: -1e-8}])
    assert len(predictions.read(tmp_path / "p.tsv")) == 1


@pytest.mark.parametrize(
    "save",
    [
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.rstrip(b"\n") + b"\t\t\t\t\t\n",
        lambda content: content + b"\n",
    ],
    ids=["line ends of Windows", "byte order mark", "cells after the last line", "empty line"],
)
def test_a_program_that_saved_the_file_changed_no_row(
    save: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "p.tsv"
    predictions.write(path, ROWS)
    rows = predictions.read(path)
    path.write_bytes(save(path.read_bytes()))
    assert predictions.read(path) == rows


def test_files_that_were_joined(tmp_path: Path) -> None:
    path = tmp_path / "p.tsv"
    predictions.write(path, ROWS)
    content = path.read_text()
    path.write_text(content + content.partition("\n")[2].rpartition("# rows")[0])
    with raises("predictions-joined"):
        predictions.read(path)
