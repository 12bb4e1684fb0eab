"""The reader of tables: what a file may be, and what of it is read."""

import csv
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from codes import raises

from data_prep.errors import ManifestError
from data_prep.manifest.cells import (
    file_stem,
    find_id_fault,
    read_text,
)
from data_prep.schema import REQUIRED_COLUMNS, Utterance, read_manifest, write_manifest
from data_prep.tables.cells import class_name, plain
from data_prep.tables.reader import open_table, read_table
from data_prep.tables.sniffing import sniff
from data_prep.tables.table import TableFormat


def rows_of(path: Path, how: TableFormat | None = None) -> list[tuple[int, dict[str, Any] | str]]:
    """(number, cells), or (number, what is wrong)."""
    return [
        (row.number, row.fault.what if row.fault else dict(row.cells))
        for row in open_table(path, how).rows()
    ]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_rows_have_the_number_of_the_line_on_which_they_begin(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", 'a,b\n\n1,"x\ny"\n\n2,z\n')
    assert rows_of(table) == [(3, {"a": "1", "b": "x\ny"}), (6, {"a": "2", "b": "z"})]


def test_a_bad_row_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", b'a,b\n1,"x" y\n2,z\n3\n4,caf\xe9\n5,w\n6,"open\n7,lost\n')
    assert rows_of(table) == [
        (2, "there is text after a closing quote"),
        (3, {"a": "2", "b": "z"}),
        (4, "1 fields where the header has 2"),
        (5, "not UTF-8 text"),
        (6, {"a": "5", "b": "w"}),
        (7, "a quote is opened here and never closed, up to row 8"),
    ]


@pytest.mark.parametrize(("delimiter", "suffix"), [("\t", ".tsv"), (",", ".csv")])
def test_rows_are_not_joined_by_quotes_of_their_texts(
    delimiter: str, suffix: str, tmp_path: Path
) -> None:
    texts = ["so", "no way", '"I am so', "never mind", 'glad of it"', "oh", '"Yes', 'I do"', "well"]
    rows = [delimiter.join([f"u{n}", text, "sad"]) for n, text in enumerate(texts)]
    content = "\n".join([delimiter.join(["id", "text", "emotion"]), *rows]) + "\n"
    table = write(tmp_path / f"t{suffix}", content)
    found = rows_of(table)
    problem = "a quote is opened here and closed in row {}, and each of these is a row"
    assert [what for _, what in found if isinstance(what, str)] == [
        problem.format(6),
        problem.format(9),
    ]
    as_they_are = rows_of(table, TableFormat(quotes=False))
    assert [cells["text"] for _, cells in as_they_are] == texts  # type: ignore[index]


def test_texts_of_several_lines_may_have_delimiters_in_each(tmp_path: Path) -> None:
    rows = [f"u{n},oh,sad" for n in range(5)]
    rows += ['u5,"Well, yes\nI think, no",sad', 'u6,"Well,yes\nfine,no",glad']
    table = write(tmp_path / "t.csv", "\n".join(["id,text,emotion", *rows]) + "\n")
    texts = [cells["text"] for _, cells in rows_of(table)]  # type: ignore[index]
    assert texts[5:] == ["Well, yes\nI think, no", "Well,yes\nfine,no"]


def test_a_line_of_excel_before_the_header_is_no_row(tmp_path: Path) -> None:
    content = '\ufeffsep=;\r\na;b\r\n1;x\r\n2;"y\r\n'
    table = write(tmp_path / "t.csv", content)
    assert sniff(table, TableFormat()).format.delimiter == ";"
    assert rows_of(table, TableFormat(delimiter=";")) == [
        (3, {"a": "1", "b": "x"}),
        (4, "a quote is opened here and never closed"),
    ]


def test_quotes_can_be_read_as_they_are(tmp_path: Path) -> None:
    table = write(tmp_path / "t.tsv", 'a\tb\n1\t"Yes" and "no"\n2\t"open\n')
    assert rows_of(table, TableFormat(quotes=False)) == [
        (2, {"a": "1", "b": '"Yes" and "no"'}),
        (3, {"a": "2", "b": '"open'}),
    ]


def test_a_manifest_of_ours_has_no_quoting(tmp_path: Path) -> None:
    """It can be predicted from, or prepared again, as it is."""
    texts = ['"Yes" and "no"', '"open', '"closed"']
    path = tmp_path / "train.tsv"
    write_manifest(path, [Utterance(f"u{n}", text=text) for n, text in enumerate(texts)])
    assert [cells["text"] for _, cells in read_table(path, ("id", "text"))] == texts


def test_the_limit_of_the_csv_module_stays(tmp_path: Path) -> None:
    """It is the whole process's: readers of others go on with what they have set."""
    table = write(tmp_path / "t.csv", "a\n" + "x" * 300_000 + "\ny\n")
    before = csv.field_size_limit(1234)
    try:
        lengths = []
        for row in open_table(table).rows():
            lengths.append(len(row.cells["a"]))
            assert csv.field_size_limit() == 1234
        assert lengths == [300_000, 1]
        threads = [threading.Thread(target=read_table, args=(table,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert csv.field_size_limit() == 1234
    finally:
        csv.field_size_limit(before)


def test_other_encodings_are_named_or_marked(tmp_path: Path) -> None:
    latin = write(tmp_path / "t.csv", "a\ncaf\u00e9\n".encode("cp1252"))
    assert rows_of(latin, TableFormat(encoding="cp1252")) == [(2, {"a": "caf\u00e9"})]
    assert rows_of(latin, TableFormat(legacy_bytes=True)) == [(2, {"a": "caf\u00e9"})]
    with raises("encoding-invalid"):
        rows_of(latin, TableFormat(encoding="ascii"))
    with raises("encoding-unknown"):
        open_table(latin, TableFormat(encoding="utf8x"))


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n"])
def test_a_delimiter_is_one_character(delimiter: str, tmp_path: Path) -> None:
    with raises("delimiter-invalid"):
        open_table(write(tmp_path / "t.csv", "a\n1\n"), TableFormat(delimiter))


@pytest.mark.parametrize(
    ("header", "because"),
    [
        ("a,a", "column a twice"),
        ("a,,b", "column 2 of the header has no name"),
        (",,b", "column 2 of the header has no name"),
        ("a,b\u200b,b\u200b", r"column 'b\\u200b' twice"),
    ],
)
def test_headers_that_cannot_be_read(header: str, because: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=f"row 1: {because}"):
        open_table(write(tmp_path / "t.csv", f"{header}\n1,2,3\n"))


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    """A pipe would be waited for, and cannot be read twice."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    with raises("classes-missing"):
        open_table(tmp_path / "folder.csv")
    with raises("table-unreadable"):
        open_table(tmp_path / "pipe.csv")
    with raises("table-unreadable"):
        open_table(tmp_path / f"{'a' * 300}.csv")
    with raises("table-unreadable"):
        open_table(tmp_path / "gone.csv")


def test_an_unseen_mark_in_a_header_is_shown(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "\ufeff\ufeffid,text\n1,2\n")
    with pytest.raises(ManifestError, match=r"no column id; its columns are '\\ufeffid', text"):
        read_table(table, ["id"])


def test_json_lines_keep_their_types_and_may_lack_keys(tmp_path: Path) -> None:
    lines = '{"id": "a", "n": 1}\n\n{"id": "b", "flag": true, "none": null}\n{"id": 1}{\n'
    table = open_table(write(tmp_path / "t.jsonl", lines))
    assert list(table.columns) == ["id", "n", "flag", "none"]
    one, other, bad = table.rows()
    assert (one.number, one.cells) == (1, {"id": "a", "n": 1})
    assert (other.number, other.cells["flag"]) == (3, True)
    assert (bad.number, bad.fault is not None) == (4, True)


def test_parquet_keeps_numbers_and_nulls_apart_from_words(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    columns = {
        "text": ["None", "nan", None],
        "number": [1, None, 3],
        "real": [0.5, float("nan"), None],
        "flag": [True, None, False],
    }
    pytest.importorskip("pyarrow.parquet").write_table(
        pyarrow.table(columns), tmp_path / "t.parquet"
    )
    rows = [row.cells for row in open_table(tmp_path / "t.parquet").rows()]
    assert [[plain(cell) for cell in row.values()] for row in rows] == [
        ["None", "1", "0.5", "True"],
        ["nan", "", "", ""],
        ["", "3", "", "False"],
    ]


def test_a_pickled_type_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    kind = {b"ARROW:extension:name": b"arrow.py_extension_type"}
    field = pyarrow.field("x", pyarrow.int64(), metadata=kind)
    schema = pyarrow.schema([field])
    place = tmp_path / "t.parquet"
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table([[1]], schema=schema), place)
    with raises("column-pickled"):
        open_table(place)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "xlsx"])
def test_a_pointer_of_git_lfs_is_no_table(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table.{suffix}"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with raises("table-unreadable") as error:
        open_table(path)
    assert str(error.value).endswith("in place of the file; fetch it with `git lfs pull`")


def test_a_parquet_file_that_ends_early_is_named(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    place = tmp_path / "t.parquet"
    content = pyarrow.table({"x": [f"{n} words" for n in range(9000)]})
    pytest.importorskip("pyarrow.parquet").write_table(content, place, compression="none")
    raw = bytearray(place.read_bytes())
    raw[8:4000] = bytes(3992)  # pages, but not the footer
    place.write_bytes(raw)
    with raises("parquet-invalid"):
        list(open_table(place).rows())


class _Names:
    path = Path("t")
    columns = ("label",)

    @property
    def class_names(self) -> dict[str, list[str]]:
        return {"label": ["sad", "glad"]}

    def rows(self, wanted: object = None) -> Any:
        return iter(())


def test_class_numbers_have_names() -> None:
    values = [class_name(_Names(), "label", n) for n in (1, -1, "sad", None)]
    assert values == ["glad", "", "sad", None]
    assert class_name(_Names(), "other", 7) == 7
    with pytest.raises(ValueError, match="label is 2, but its names are sad, glad"):
        class_name(_Names(), "label", 2)


def test_a_file_name_for_any_id_is_one_short_component() -> None:
    ids = ["a", "a/b", "..", "\u00e9" * 100, "\u00e9" * 99 + "e", "a b%"]
    names = [file_stem(row_id) for row_id in ids]
    assert len(set(names)) == len(ids)
    assert all(len(name) <= 200 and "/" not in name for name in names)
    assert all(find_id_fault(row_id) is None for row_id in ids if row_id != "..")


def test_text_of_windows_is_repaired_where_that_is_asked_for() -> None:
    assert read_text("don\x92t", normalize=True) == "don't"
    with pytest.raises(ValueError, match="U\\+0092"):
        read_text("don\x92t")
    with pytest.raises(ValueError, match="U\\+0000"):
        read_text("no\0 repair", normalize=True)
    assert read_text(" \u00a0 ") is None


def test_a_manifest_with_line_ends_of_windows_has_no_quoting(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    cells = ["a", "", "", '"No," he said', *[""] * (len(REQUIRED_COLUMNS) - 4)]
    lines = "\t".join(REQUIRED_COLUMNS), "\t".join(cells)
    for end in ("\n", "\r\n"):
        path.write_bytes("".join(line + end for line in lines).encode())
        ((_, row),) = read_table(path)
        assert row["text"] == '"No," he said'
        assert row["text"] == read_manifest(path)[0].text
