"""Rows of manifests as columns: equal to rows that are read one by one, stored, and digested."""

import random
from pathlib import Path

import numpy as np
import pytest

from data_prep.errors import ManifestError
from data_prep.manifest import column_rules, stored_table, tsv
from data_prep.manifest.columns import KIND_OF, Kind
from data_prep.manifest.digests import rows_digest, sequence_digest, texts_digest
from data_prep.manifest.provenance import seen_rows
from data_prep.manifest.table import (
    ManifestTable,
    codes,
    counts,
    group_numbers,
    has,
    numbers,
    select,
    shared_cells,
    values,
)
from data_prep.schema import (
    KNOWN_COLUMNS,
    REQUIRED_COLUMNS,
    Utterance,
    read_manifest,
    scan_manifest,
    write_manifest,
)

GOOD = {
    Kind.VALUE: ["", "ann", "Ann B.", "žofie", "名前", "a,b;c"],
    Kind.LABEL: ["", "sad", "happy", "très content", "می\u200cشود"],
    Kind.TEXT: ["", "so what?", '"quoted"', "C'est ça …", " ", "x" * 300, "\\n", "#"],
    Kind.COUNT: ["", "0", "16000", "007"],
    Kind.UNIT: ["", "0", "1", "0.5", ".25", "1.", "1e-3", "-0.0", "0.1000000000000000055511"],
    Kind.NUMBER: ["", "-3", "2.5", "1e300", "-1E-5"],
    Kind.SECONDS: ["", ""],
    Kind.VOTES: ["", "sad:2 happy:1", "très content:0.5"],
    Kind.SPREAD: ["", "0.125"],
}
BAD = {
    Kind.VALUE: ["a\x00", "b\x85", "c\u2028", "d\r", "x" * 10_001],
    Kind.LABEL: ["hap\u200bpy", "très\u00a0content", "s\x1fad", "y" * 10_001],
    Kind.TEXT: ["a\x00b", "mojibake \x92", "line\u2029", "del\x7f", "cr\rcr"],
    Kind.COUNT: ["-1", "1.5", "many", " 7", "٣", "9" * 19],
    Kind.UNIT: ["1.5", "-0.1", "nan", "inf", "0_1", " 0.5", "+0.5", "٠.٥", "1e999", "0x1"],
    Kind.NUMBER: ["nan", "-inf", "1_000", "", "one", "3,5"],
    Kind.SECONDS: ["1.5", "0.5", "-1", "nan"],
    Kind.VOTES: ["sad", "sad:0", "sad:1  happy:2"],
    Kind.SPREAD: ["2", "-0.5"],
}
N_MANIFESTS = 50
IDS = ["{}", "dia{}_utt0", "a/b {}", "č{}", "{}.wav", "id with space {}"]
BAD_IDS = [
    "",
    "../{}",
    "a//{}",
    " {}",
    "a\\{}",
    "{}\u200b",
    "x" * 201,
    "same",
    "caf\u00e9",
    "cafe\u0301",
]


def generate(seed: int) -> str:
    """Return a manifest whose cells are good, but for a few of some seeds."""
    draw = random.Random(seed)
    columns = [*REQUIRED_COLUMNS, *draw.sample(sorted({*KNOWN_COLUMNS} - {*REQUIRED_COLUMNS}), 4)]
    columns += ["rating", "x y"][: draw.randrange(3)]
    draw.shuffle(columns)
    share = draw.choice([0.0, 0.0, 0.002, 0.02])
    lines = ["\t".join(columns)]
    for row in range(draw.randrange(60)):
        cells = []
        for name in columns:
            kind = KIND_OF.get(name, Kind.TEXT)
            is_bad = draw.random() < share
            if kind is Kind.ID:
                cells.append(draw.choice(BAD_IDS if is_bad else IDS).format(row))
            else:
                cells.append(draw.choice((BAD if is_bad else GOOD)[kind]))
        line = "\t".join(cells)
        lines.append(line + "\t" if draw.random() < share else line)
        lines += [""] * (draw.random() < share / 4)
    return draw.choice(["\n", "\r\n"]).join(lines) + draw.choice(["", "\n"])


def test_columns_are_read_as_rows_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "train.tsv"
    n_faulty = 0
    for seed in range(N_MANIFESTS):
        monkeypatch.setattr(tsv, "_BYTES_AT_ONCE", (1 << 22, 1500)[seed % 2])
        file.write_text(generate(seed), encoding="utf-8", newline="")
        by_column = scan_manifest(file)
        with monkeypatch.context() as patch:
            patch.setattr(column_rules, "read_columns", lambda content, columns: None)
            by_row = scan_manifest(file)
        assert by_column.faults == by_row.faults, seed
        assert by_column.lines.tolist() == by_row.lines.tolist(), seed
        assert list(by_column.rows) == list(by_row.rows), seed
        n_faulty += bool(by_row.faults)
    assert N_MANIFESTS / 5 < n_faulty < N_MANIFESTS * 4 / 5


def test_valid_rows_are_not_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("row by row")

    monkeypatch.setattr(tsv, "scan_rows", refuse)
    rows = [
        Utterance(f"é {n}", text='"né"', audio=f"ä{n}.wav", end=n + 1.0, valence=1 / 3)
        for n in range(9)
    ]
    rows[3:3] = [Utterance("plain/id", text="x", votes="sad:1", turn=3, extra={"own": "y"})]
    write_manifest(tmp_path / "train.tsv", rows)
    assert read_manifest(tmp_path / "train.tsv") == rows


@pytest.mark.parametrize("line", [2, 400])
def test_text_that_is_not_utf8_is_the_only_fault(tmp_path: Path, line: int) -> None:
    file = tmp_path / "train.tsv"
    lines = ["\t".join(REQUIRED_COLUMNS).encode()]
    lines += [str(n).encode() + b"\t" * (len(REQUIRED_COLUMNS) - 1) for n in range(500)]
    lines[3] += b"\t"  # another fault
    lines[line - 1] += b"\xff"
    file.write_bytes(b"\n".join(lines))
    rows, _, faults = scan_manifest(file)
    assert len(rows) == 0
    assert [(fault.row, fault.code) for fault in faults] == [(line, "file-encoding")]


ROWS = [
    Utterance("a", audio="x.wav", n_samples=5, text='say "hi"', speaker="Ben", valence=0.5),
    Utterance("b", text="né\\", speaker="Ann", extra={"own": "1"}),
    Utterance("c", audio="y.wav", n_samples=7, start=0.5, speaker="Ben", turn=0),
    Utterance("d", text="\x7f\t", corpus="c1"),
]


def test_a_table_is_a_sequence_of_rows() -> None:
    table = ManifestTable.of(ROWS)
    assert table == ROWS
    assert table[1:] == ROWS[1:]
    assert table[-1] == ROWS[-1]
    assert table[::2] == ROWS[::2]
    chosen = table.take([3, 1]).take([1, 0])
    assert chosen == [ROWS[1], ROWS[3]]
    assert ManifestTable.joined([chosen, ROWS[:1]]) == [ROWS[1], ROWS[3], ROWS[0]]
    assert table != ROWS[:2]
    with pytest.raises(IndexError):
        table[4]


@pytest.mark.parametrize(
    "rows", [ROWS, ManifestTable.of(ROWS), ManifestTable.of(ROWS).take(range(4))]
)
def test_columns_of_any_rows(rows: list[Utterance] | ManifestTable) -> None:
    assert has(rows, "text").tolist() == [True, True, False, True]
    assert has(rows, "votes").tolist() == [False] * 4
    assert counts(rows, "n_samples").tolist() == [5, 0, 7, 0]
    np.testing.assert_array_equal(numbers(rows, "turn"), [np.nan, np.nan, 0, np.nan])
    assert codes(rows, "speaker")[1] == ["Ben", "Ann"]
    assert codes(rows, "speaker")[0].tolist() == [0, 1, 0, -1]
    assert list(values(rows, "text")[1:3]) == ["né\\", None]
    assert select(rows, np.array([False, True, False, False])) == ROWS[1:2]


def test_codes_of_some_rows_leave_out_values_of_others() -> None:
    some = ManifestTable.of(ROWS).take([1, 3])
    assert codes(some, "speaker")[1] == ["Ann"]
    assert codes(some, "speaker")[0].tolist() == [0, -1]


def test_shared_cells_are_in_the_order_of_their_rows() -> None:
    splits = {
        "train": [Utterance(n) for n in ("cafe\u0301", "b", "c")],
        "test": [Utterance("c"), Utterance("caf\u00e9")],
    }
    assert shared_cells(splits, "id") == {"train": ["caf\u00e9", "c"], "test": ["c", "caf\u00e9"]}


def test_groups_are_equal_where_all_keys_are() -> None:
    draw = np.random.default_rng(3)
    keys = draw.integers(3, size=(3, 50))
    groups = group_numbers(*keys)
    expected = [tuple(column) for column in keys.T.tolist()]
    for i in range(50):
        assert [groups[i] == groups[j] for j in range(50)] == [x == expected[i] for x in expected]


def test_digests_of_columns_are_those_of_rows() -> None:
    for rows in (ROWS, ManifestTable.of(ROWS), []):
        assert texts_digest(rows) == sequence_digest((row.id, row.text) for row in rows)
        sounds = ((row.id, f"{row.audio} {row.n_samples}{row.segment_key}") for row in rows)
        assert rows_digest(rows) == sequence_digest(sounds)


# -- columns that are stored -----------------------------------------------------------------------


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stored_table, "MIN_BYTES", 0)
    monkeypatch.setenv("EMO_FAIRSEQ_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    write_manifest(tmp_path / "data" / "train.tsv", ROWS[:3])
    return tmp_path / "data"


def _forbid_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsv, "_scan", lambda file: pytest.fail("parsed again"))


def test_stored_columns_are_mapped(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_manifest(data_dir / "train.tsv")
    _forbid_parsing(monkeypatch)
    again = read_manifest(data_dir / "train.tsv")
    assert list(first) == list(again) == ROWS[:3]
    assert again.derived("texts") == texts_digest(ROWS[:3])
    assert again.take([1]).derived("texts") is None
    assert texts_digest(again.take([1])) == texts_digest(ROWS[1:2])
    states = [seen_rows(rows, "c", "train").to_state() for rows in (again, ROWS[:3])]
    assert states[0] == states[1]
    states = [seen_rows(rows, "c", "train").to_state() for rows in (again.take([2]), ROWS[2:3])]
    assert states[0] == states[1]


def test_columns_of_another_content_are_made_again(data_dir: Path) -> None:
    read_manifest(data_dir / "train.tsv")
    write_manifest(data_dir / "train.tsv", ROWS[1:3])
    assert read_manifest(data_dir / "train.tsv") == ROWS[1:3]
    assert read_manifest(data_dir / "train.tsv") == ROWS[1:3]


@pytest.mark.parametrize("name", ["train.arrow", "train.json"])
def test_damaged_columns_are_made_again(data_dir: Path, name: str) -> None:
    read_manifest(data_dir / "train.tsv")
    file = data_dir / stored_table.FOLDER / name
    whole = file.read_bytes()
    for damaged in (whole[:-9], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:], b""):
        file.write_bytes(damaged)
        assert read_manifest(data_dir / "train.tsv") == ROWS[:3]
    assert file.read_bytes() == whole


def test_faulty_rows_are_not_stored(data_dir: Path) -> None:
    with (data_dir / "train.tsv").open("a") as out:
        out.write("\t\n")
    for _ in range(2):
        with pytest.raises(ManifestError, match=r"row 5: 2 fields"):
            read_manifest(data_dir / "train.tsv")
    assert not (data_dir / stored_table.FOLDER).exists()


def test_a_data_dir_that_cannot_be_written(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (data_dir / stored_table.FOLDER).touch()  # no folder can be made there
    assert read_manifest(data_dir / "train.tsv") == ROWS[:3]
    assert len(list((data_dir.parent / "cache" / "columns").glob("*/train.arrow"))) == 1
    with monkeypatch.context() as patch:
        _forbid_parsing(patch)
        assert read_manifest(data_dir / "train.tsv") == ROWS[:3]
    monkeypatch.setenv("EMO_FAIRSEQ_CACHE", "/dev/null/none")
    assert read_manifest(data_dir / "train.tsv") == ROWS[:3]
    assert "columns are in memory" in caplog.text
