"""Tables of segments: what is read of them, what is refused, and that nothing is taken whole."""

import csv
import datetime
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import three_tones

from data_prep.audio.segment import audio_of
from data_prep.commands import (
    hf_table,
    table,
)
from data_prep.commands.combine import combine
from data_prep.commands.validate import validate
from data_prep.errors import ManifestError
from data_prep.manifest.corpus_card import count_split
from data_prep.schema import (
    Corpus,
    Utterance,
    read_corpus,
    read_manifest,
    write_corpus,
)
from data_prep.tables.audformat import with_units
from data_prep.tables.segments import parse_seconds, time_field

BASE = ("--name", "x", "--column", "id=id", "--column", "audio=file", "--split-column", "split")
NO_TIMES = ("--column", "start=", "--column", "end=")
TIMES = ("--column", "start=start", "--column", "end=end")
ROWS = {
    "id": ["t0", "t1", "t2"],
    "file": ["long.wav"] * 3,
    "start": ["0", "0.5", "1"],
    "end": ["0.5", "1.0", ""],
    "split": ["train", "train", "test"],
}


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
    return path


def prepared(folder: Path, *more: str, columns: Mapping[str, Sequence[Any]] = ROWS) -> int:
    write_csv(folder / "t.csv", columns)
    words = [str(folder / "t.csv"), str(folder / "out"), *BASE, "--data-raw", str(folder)]
    return table.main([*words, *more])


def refusal(capsys: pytest.CaptureFixture[str], folder: Path, *more: str, **columns: Any) -> str:
    assert prepared(folder, *more, columns={**ROWS, **columns}) == 1
    return capsys.readouterr().err.partition("error: ")[2].strip()


def read(folder: Path) -> list[Utterance]:
    corpus = read_corpus(folder / "out")
    return [row for s in corpus.splits for row in read_manifest(folder / "out" / f"{s}.tsv")]


def tones(rows: Sequence[Utterance], raw: Path) -> list[int]:
    sounds = [audio_of(row, raw) for row in rows]
    return [three_tones.pitch(sound.load()) for sound in sounds if sound]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    three_tones.write_recording(tmp_path / "long.wav")
    return tmp_path


def test_times_of_another_unit_by_their_name_are_no_seconds(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {name: cells for name, cells in ROWS.items() if name not in ("start", "end")}
    milliseconds = {"start_ms": ["0", "1", "2"], "end_ms": ["1", "2", "3"]}  # in it as seconds, too
    times = ("--column", "start=start_ms", "--column", "end=end_ms")
    assert prepared(folder, *times, columns={**rows, **milliseconds}) == 1
    assert "the column start_ms is not in seconds by its name" in capsys.readouterr().err


# -- table -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "times",
    [
        {"start": ["0", "0.5", "1"], "end": ["0.5", "1.0", ""]},
        {"start": ["", "00:00:00.5", "0:00:01"], "end": ["00:00:00.500", "00:00:01", ""]},
        {
            "start": ["0 days 00:00:00.000000", "0 days 00:00:00.500", "0 days 00:00:01"],
            "end": ["0 days 00:00:00.500000", "0 days 00:00:01", "0 days 00:00:01.5"],
        },
        {"start": ["0.0", "5e-1", "1."], "end": [".5", "1", "1.51"]},  # 10 ms behind the end
    ],
)
def test_each_row_is_its_segment(folder: Path, times: Mapping[str, Sequence[str]]) -> None:
    assert prepared(folder, *TIMES, columns={**ROWS, **times}) == 0
    rows = read(folder)
    assert [row.n_samples for row in rows] == [8000, 8000, 8000]
    assert tones(rows, folder) == list(three_tones.HERTZ)
    assert validate(folder / "out", folder) == []
    assert {path.name for path in (folder / "out").iterdir()} == {
        "corpus.yaml",
        "train.tsv",
        "test.tsv",  # nothing was cut out
    }


def test_floating_point_samples_keep_their_sound(folder: Path) -> None:
    assert prepared(folder, *TIMES) == 0
    source, rate = soundfile.read(folder / "long.wav", dtype="float32", always_2d=True)
    for number, row in enumerate(read(folder)):
        sound = audio_of(row, folder)
        assert sound is not None
        part = source[number * rate // 2 : (number + 1) * rate // 2, 0]
        np.testing.assert_array_equal(sound.load(rate), part)
        assert np.abs(part).max() > 0.49


@pytest.mark.parametrize(
    ("start", "end", "what"),
    [
        ("1500ms", "", "start is '1500ms', not seconds (1.5), HH:MM:SS.fff or"),
        ("00:01", "", "start is '00:01', not seconds"),
        ("0,5", "1", "start is '0,5', not seconds"),
        ("-1", "1", "start is '-1', not seconds"),
        ("0", "nan", "end is 'nan', not seconds"),
        ("1.0", "0.5", "end 0.5 is not after start 1.0"),
        ("0.5", "0.5", "end 0.5 is not after start 0.5"),
        ("500", "1000", "is not in its 1.5 s"),
        ("1.0", "1.6", "is not in its 1.5 s"),
    ],
)
def test_other_times_are_refused(
    start: str, end: str, what: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {"start": ["0", start, "1"], "end": ["0.5", end, ""]}
    sentence = refusal(capsys, folder, *TIMES, **columns)
    assert f"{folder / 't.csv'}: row 3: " in sentence
    assert what in sentence
    assert not (folder / "out").exists()


def test_bad_audio_is_dropped_with_its_times(folder: Path) -> None:
    columns = {**ROWS, "end": ["0.5", "9", ""], "said": ["a", "b", "c"]}
    more = ("--column", "text=said", "--drop-bad-audio")
    assert prepared(folder, *TIMES, *more, columns=columns) == 0
    row = read(folder)[1]
    assert (row.text, row.audio, row.start, row.end) == ("b", None, None, None)
    (dropped,) = read_corpus(folder / "out").dropped
    assert (dropped.id, dropped.what) == ("t1", "audio")


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("start", "end"), "--column start=start --column end=end"),
        (("StartTime", "EndTime"), "--column start=StartTime --column end=EndTime"),
        (("onset", "offset"), "--column start=onset --column end=offset"),
        (("begin_ms", "x"), "--column start=begin_ms after converting them to seconds"),
    ],
)
def test_times_that_nothing_reads_are_refused_where_rows_share_audio(
    names: tuple[str, str],
    shown: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = dict(zip(names, (ROWS["start"], ROWS["end"]), strict=True))
    columns = {**{k: v for k, v in ROWS.items() if k not in ("start", "end")}, **times}
    assert prepared(folder, *NO_TIMES, columns=columns) == 1
    sentence = capsys.readouterr().err.partition("error: ")[2]
    read = " and ".join(name for name in names if name != "x")
    what = f"columns {read} are" if " and " in read else f"column {read} is"
    assert f"t.csv: the {what} not read, while 3 rows share long.wav" in sentence
    assert shown in sentence
    assert not (folder / "out").exists()


@pytest.mark.parametrize("name", ["duration", "Duration (s)", "seg_len"])
def test_a_duration_beside_a_start_is_refused(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {column: found for column, found in ROWS.items() if column != "end"}
    columns[name] = ["0.5"] * 3
    assert prepared(folder, *TIMES[:2], columns=columns) == 1
    error = capsys.readouterr().err
    assert f"the column {name} is not read, while 3 rows share long.wav" in error
    assert f"give --column end=COLUMN, a column of start + {name}" in error


def test_a_length_without_times_is_nothing_of_ours(folder: Path) -> None:
    columns = {k: v for k, v in ROWS.items() if k not in ("start", "end")}
    assert prepared(folder, columns={**columns, "length": ["1", "2", "3"]}) == 0


def test_audio_that_tables_of_splits_share_counts_too(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, start in (("train", "0"), ("test", "1")):
        row = {"id": [split], "file": ["long.wav"], "start": [start]}
        write_csv(folder / f"{split}.csv", row)
    tables = [f"{split}={folder / split}.csv" for split in ("train", "test")]
    words = [*tables, str(folder / "out"), *BASE[:6], *NO_TIMES, "--data-raw", str(folder)]
    assert table.main(words) == 1
    error = capsys.readouterr().err
    assert "train.csv: the column start is not read, while 2 rows share long.wav" in error
    assert "test.csv: the column start is not read, while 2 rows share long.wav" in error


def test_one_end_alone_is_refused_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = refusal(capsys, folder, *TIMES[:2], *NO_TIMES[2:])
    assert "the column end is not read" in sentence
    assert "--column end=end" in sentence


def test_times_that_are_kept_as_they_are_are_read(folder: Path) -> None:
    columns = {k: v for k, v in ROWS.items() if k not in ("start", "end")}
    columns["StartTime"] = ["1", "2", "3"]
    assert prepared(folder, "--extra", "StartTime", columns=columns) == 0
    assert [row.extra["StartTime"] for row in read(folder)] == ["1", "2", "3"]


def test_of_files_of_their_own_a_warning_is_enough(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "abc":
        three_tones.write_recording(folder / f"{name}.wav")
    assert prepared(folder, columns={**ROWS, "file": ["a.wav", "b.wav", "c.wav"]}) == 0
    assert [row.n_samples for row in read(folder)] == [24_000] * 3
    (note,) = [note for note in read_corpus(folder / "out").notes if "start" in note]
    assert "the columns start and end are not read: each row is a whole file" in note
    assert note in caplog.text


def test_times_need_audio(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(folder / "t.csv", ROWS)
    words = [str(folder / "t.csv"), str(folder / "out"), "--name", "x", "--column", "id=id"]
    more = ["--column", "text=id", "--split-column", "split", "--column", "audio=", *TIMES]
    assert table.main([*words, *more]) == 1
    assert "add --column audio=COLUMN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("1e-3", 0.001),
        ("100:00:00", 360_000.0),
        ("1 day 00:00:01", 86_401.0),
        (str(datetime.timedelta(days=2, seconds=1.5)), 172_801.5),
    ],
)
def test_times_as_seconds(value: str, seconds: float) -> None:
    assert parse_seconds(value) == seconds


@pytest.mark.parametrize(
    "value", ["", " 1", "1 s", "1:00", "00:60:00", "00:00:60", "1e999", "inf", "nan", "-0.1", "٣"]
)
def test_no_time(value: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_seconds(value)


@pytest.mark.parametrize("column", ["gender", "trend", "legend", "friend_end", "end_speaker", "s"])
def test_columns_that_are_no_times(column: str) -> None:
    assert time_field(column) is None


# -- hf_table --------------------------------------------------------------------------------------


def published(folder: Path, source: Path, *more: str) -> int:
    words = [str(source), str(folder / "out"), "--name", "x", "--data-raw", str(folder)]
    return hf_table.main([*words, "--split-column", "split", *more])


def test_a_published_csv_as_audformat_has_it(folder: Path) -> None:
    columns = {**ROWS, "start": ["0 days 00:00:00", "0 days 00:00:00.5", "0 days 00:00:01"]}
    assert published(folder, write_csv(folder / "t.csv", columns)) == 0
    assert tones(read(folder), folder) == list(three_tones.HERTZ)
    assert "audio=file" in read_corpus(folder / "out").notes[0]


@pytest.mark.parametrize("kind", ["seconds", "durations"])
def test_parquet_of_segments(kind: str, folder: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    times: dict[str, list[Any]] = {"start": [0.0, 0.5, 1.0], "end": [0.5, 1.0, None]}
    if kind == "durations":
        times = {
            name: [None if s is None else datetime.timedelta(seconds=s) for s in found]
            for name, found in times.items()
        }
    parquet = importlib.import_module("pyarrow.parquet")
    parquet.write_table(pa.table({**ROWS, **times}), folder / "t.parquet")
    assert published(folder, folder / "t.parquet", "--column", "audio=file") == 0
    assert tones(read(folder), folder) == list(three_tones.HERTZ)


def test_published_times_of_another_name_are_read(folder: Path) -> None:
    columns = {name: found for name, found in ROWS.items() if name not in ("start", "end")}
    columns |= {"start_time": ROWS["start"], "end_time": ROWS["end"]}
    assert published(folder, write_csv(folder / "t.csv", columns)) == 0
    assert tones(read(folder), folder) == list(three_tones.HERTZ)


def test_sounds_that_the_table_holds_are_cut_already(folder: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    content = (folder / "long.wav").read_bytes()
    clips = [None, *({"bytes": content, "path": f"{name}.wav"} for name in "ab")]
    columns = {**ROWS, "text": ["x", "y", "z"], "audio": clips, "start": [0.0, 60.0, 70.0]}
    del columns["file"]
    parquet.write_table(pa.table({**columns, "end": [0.5, 61.5, 71.5]}), folder / "t.parquet")
    words = [str(folder / "t.parquet"), str(folder / "out"), "--name", "x"]
    assert hf_table.main([*words, "--split-column", "split"]) == 0
    rows = read(folder)
    assert [(row.start, row.end, row.n_samples) for row in rows] == [
        (None, None, None),
        (None, None, 24_000),
        (None, None, 24_000),
    ]
    notes = read_corpus(folder / "out").notes
    assert "start" not in notes[0]
    assert any("columns start and end are not read" in note for note in notes)
    assert hf_table.main([*words, "--split-column", "split", "--column", "start=start"]) == 1


def test_times_of_texts_alone_are_no_segments(folder: Path) -> None:
    columns = {**ROWS, "text": ["a", "b", "c"]}
    del columns["file"]
    assert published(folder, write_csv(folder / "t.csv", columns)) == 0
    assert [row.start for row in read(folder)] == [None] * 3


# -- audformat -------------------------------------------------------------------------------------


def database(folder: Path) -> Path:
    header = (
        "name: mine\nsource: ''\nusage: research\nlanguages: [eng]\n"
        "schemes:\n  emotion: {dtype: str}\nsplits:\n  train: {type: train}\n"
        "tables:\n  emo:\n    type: segmented\n"
        "    split_id: train\n    columns:\n      emotion: {scheme_id: emotion}\n"
    )
    (folder / "db.yaml").write_text(header)
    rows = {
        "file": ["long.wav"] * 3,
        "start": ["0", "0.5", "0 days 00:00:01"],
        "end": ["0.5", "1", ""],
        "emotion": ["sad", "glad", "sad"],
    }
    write_csv(folder / "db.emo.csv", rows)
    return folder


def test_audformat_with_plain_seconds(folder: Path) -> None:
    pytest.importorskip("audformat")
    words = [str(database(folder)), str(folder / "out"), "--name", "x"]
    assert hf_table.main(words) == 0
    rows = read(folder)
    assert [row.id for row in rows] == ["long_0_500", "long_500_1000", "long_1000_end"]
    assert tones(rows, folder) == list(three_tones.HERTZ)


def test_plain_seconds_get_their_unit(folder: Path, tmp_path_factory: Any) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    assert with_units(database(folder), scratch) == scratch
    assert (scratch / "db.yaml").read_bytes() == (folder / "db.yaml").read_bytes()
    assert (scratch / "db.emo.csv").read_text() == (
        "file,start,end,emotion\nlong.wav,0s,0.5s,sad\nlong.wav,0.5s,1s,glad\n"
        "long.wav,0 days 00:00:01,,sad\n"
    )
    (folder / "db.emo.csv").write_text("file,start,end\na.wav,0 days,1 days\n")
    assert with_units(folder, scratch) == folder


def test_pickled_audformat_tables_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (database(folder) / "db.emo.pkl").write_bytes(b"cos\nsystem\n(S'touch /tmp/x'\ntR.")
    assert hf_table.main([str(folder), str(folder / "out"), "--name", "x"]) == 1
    assert "db.emo.pkl: a table stored as a pickle" in capsys.readouterr().err


# -- validate, counts, combine ---------------------------------------------------------------------


@pytest.fixture
def data_dir(folder: Path) -> Callable[..., Path]:
    def write(*rows: Utterance) -> Path:
        write_corpus(folder / "out", Corpus("x"), {"train": rows})
        return folder / "out"

    return write


def test_validate_holds_segments_to_their_recording(
    data_dir: Callable[..., Path], folder: Path
) -> None:
    first, second, third = (replace(row, emotion=None) for row in three_tones.rows())
    assert validate(data_dir(first, second, third), folder) == []
    longer, late = replace(first, n_samples=24_000), replace(third, start=1.5, end=2.0)
    faults = validate(data_dir(longer, second, late), folder)
    assert [(Path(fault.file).name, fault.row) for fault in faults] == [
        ("train.tsv", 2),
        ("train.tsv", 4),
    ]
    assert "n_samples is 24000 where long.wav from 0 s to 0.5 s has 8000" in faults[0].what
    assert "from 1.5 s to 2 s is not in its 1.5 s" in faults[1].what


def test_hours_count_segments() -> None:
    rows = [replace(row, n_samples=16_000 * 3600) for row in three_tones.rows()]
    assert count_split(rows, Corpus("x"))["hours"] == 3.0


def test_combined_corpora_keep_their_segments(folder: Path) -> None:
    for name in "ab":
        corpus = Corpus(name, labels={"emotion": ("sad", "glad")})
        write_corpus(folder / name, corpus, {"train": three_tones.rows()})
    combine([folder / "a", folder / "b"], folder / "out", data_raw={"a": folder, "b": folder})
    rows = read_manifest(folder / "out" / "train.tsv")
    assert tones(rows, folder / "out") == [*three_tones.HERTZ, *three_tones.HERTZ]


def test_segments_without_audio_are_refused_by_validate(folder: Path) -> None:
    with pytest.raises(ManifestError, match="start without audio"):
        write_corpus(folder / "out", Corpus("x"), {"train": [Utterance("a", text="a", start=1.0)]})
