"""Spreadsheets as tables: no cell is lost or changed without a word."""

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from codes import raises

from data_prep.commands.table import main
from data_prep.schema import read_corpus, read_manifest
from data_prep.tables.reader import open_table, read_table
from data_prep.tables.table import Row, TableFormat

openpyxl = pytest.importorskip("openpyxl")
pandas = pytest.importorskip("pandas")
pytest.importorskip("odf")


def write(path: Path, *rows: Sequence[Any], merged: str | None = None) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    if merged:
        book.active.merge_cells(merged)
    book.create_sheet("other").append(["x"])
    book.save(path)
    return path


def write_ods(path: Path, *rows: Sequence[Any]) -> Path:
    frame = pandas.DataFrame(rows[1:], columns=rows[0], dtype=object)
    frame.to_excel(path, engine="odf", index=False)
    return path


def rows_of(path: Path, **how: Any) -> list[Row]:
    return list(open_table(path, TableFormat(**how)).rows())


@pytest.mark.parametrize("suffix", [".xlsx", ".ods"])
def test_cells_keep_their_kind(tmp_path: Path, suffix: str) -> None:
    writer = write if suffix == ".xlsx" else write_ods
    rows = (["id", "v", "flag"], ["007", 2.5, True], ["nan", 3.0, False], ["1e5", None, None])
    path = writer(tmp_path / f"t{suffix}", *rows)
    assert [row.cells for row in rows_of(path)] == [
        {"id": "007", "v": 2.5, "flag": True},
        {"id": "nan", "v": 3, "flag": False},
        {"id": "1e5", "v": "", "flag": ""},
    ]


def test_rows_are_numbered_as_in_the_sheet(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", ["id"], ["a"], [None], ["b"])
    assert [number for number, _ in read_table(path)] == [2, 4]


def test_a_time_of_day_is_text(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", ["id", "start"], ["a", datetime.time(0, 0, 1)])
    assert rows_of(path)[0].cells["start"] == "00:00:01"


@pytest.mark.parametrize(
    ("cell", "code"), [(datetime.datetime(2024, 2, 1), "cell-invalid"), ("#N/A", "cell-invalid")]
)
def test_a_date_or_an_error_in_a_column_that_is_read_is_a_fault(
    tmp_path: Path, cell: Any, code: str
) -> None:
    path = write(tmp_path / "t.xlsx", ["id", "label"], ["a", "sad"], ["b", cell])
    with raises(code) as error:
        read_table(path)
    assert "row 3: column label" in str(error.value)
    unread = list(open_table(path).rows({"id"}))
    assert [row.fault for row in unread] == [None, None]


def test_a_formula_that_was_never_computed_is_refused(tmp_path: Path) -> None:
    with raises("sheet-incomplete"):
        open_table(write(tmp_path / "t.xlsx", ["id", "v"], ["a", "=1+1"]))


def test_merged_cells_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", ["id", "v"], ["a", "sad"], ["b", None], merged="B2:B3")
    with raises("sheet-incomplete"):
        open_table(path)


def test_sheets_are_chosen_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", ["id"], ["a"])
    assert open_table(path, TableFormat(sheet="other")).columns == ["x"]
    with raises("sheet-unknown") as error:
        open_table(path, TableFormat(sheet="none"))
    assert "Sheet, other" in str(error.value)


def test_an_index_of_pandas_is_no_column(tmp_path: Path) -> None:
    pandas.DataFrame({"id": ["a"], "v": [1]}).to_excel(tmp_path / "t.xlsx")
    assert open_table(tmp_path / "t.xlsx").columns == ["id", "v"]


def test_a_column_without_name_is_refused(tmp_path: Path) -> None:
    with raises("column-unnamed"):
        open_table(write(tmp_path / "t.xlsx", ["id", None, "v"], ["a", "lost", 1]))


def test_what_is_no_spreadsheet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK\3\4 no archive")
    with raises("sheet-invalid"):
        open_table(tmp_path / "t.xlsx")


def test_without_the_packages_there_is_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "t.xlsx", ["id"], ["a"])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with raises("package-missing") as error:
        open_table(path)
    assert "save the sheet as CSV" in str(error.value)


@pytest.mark.parametrize("suffix", [".xlsx", ".ods"])
def test_a_sheet_becomes_a_data_dir(tmp_path: Path, suffix: str) -> None:
    writer = write if suffix == ".xlsx" else write_ods
    labels = ("sad", "glad")
    rows = [[f"some words {n}", labels[n % 2], f"s{n % 4}", 1 + n % 4 + 0.5] for n in range(16)]
    path = writer(tmp_path / f"t{suffix}", ["Text", "Emotion", "Sprecher", "Valenz"], *rows)
    assert main([str(path), str(tmp_path / "out"), "--vad-scale", "1", "5"]) == 0
    corpus = read_corpus(tmp_path / "out")
    made = [row for s in corpus.splits for row in read_manifest(tmp_path / "out" / f"{s}.tsv")]
    assert {(row.text, row.emotion, row.speaker, row.valence) for row in made} == {
        (text, emotion, speaker, (valence - 1) / 4) for text, emotion, speaker, valence in rows
    }


def test_a_date_in_a_column_that_is_not_read_hides_no_other_column(tmp_path: Path) -> None:
    rows = [
        [f"some words {n}", ("sad", "glad")[n % 2], datetime.date(2024, 2, 1)] for n in range(9)
    ]
    path = write(tmp_path / "t.xlsx", ["text", "label", "Datum"], *rows)
    assert main([str(path), str(tmp_path / "out")]) == 0
    assert read_corpus(tmp_path / "out").labels["emotion"] == ("glad", "sad")


def test_sheets_that_are_not_read_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [[f"some words {n}", ("sad", "glad")[n % 2]] for n in range(9)]
    path = write(tmp_path / "t.xlsx", ["text", "label"], *rows)
    assert main([str(path), str(tmp_path / "out")]) == 0
    assert "sheet Sheet; not read: other (--sheet reads another)" in capsys.readouterr().out
