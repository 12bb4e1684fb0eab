"""``predict`` of tables: the user's columns stay as they are, and those of predictions follow."""

import csv
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from codes import raises

from data_prep.schema import read_manifest
from data_prep.tables.json_lines import JsonLinesTable
from data_prep.tables.reader import open_table
from data_prep.tables.spooled import SpooledTable
from emo_fairseq.cli.__main__ import main
from emo_fairseq.cli.predict.columns import TableOptions
from emo_fairseq.cli.predict.items import Item, Reads
from emo_fairseq.cli.predict.tables import TableSource
from emo_fairseq.inference.predictor import load_predictor

TEXT = "--modality text"


def rows_of(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_cells_stay_as_they_are(suffix, trained_models, command, tmp_path):
    cells = {
        "Nr": " 007",
        "said": 'He said "no", twice; so\n  be it',
        "Stimmung": "traurig\r",
        "Bewertung": "1,50",
        "=1+1": "\tx",
        "emotion": "NaN",
    }
    table, out = tmp_path / "t.csv", tmp_path / f"out{suffix}"
    with table.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";", quoting=csv.QUOTE_ALL)
        writer.writerows([cells, cells.values(), ["x"], ["2", "", *cells.values()][:6]])
    words = ("--delimiter", ";", "--column", "text=said", "--output", out)
    command("predict", trained_models.folder(TEXT), table, *words, code=1)
    content = out.read_bytes().decode()
    if suffix == ".jsonl":
        first, broken, empty = map(json.loads, content.splitlines())
        assert "Nr" not in broken
    else:
        first, broken, empty = rows_of(content, "\t" if suffix == ".tsv" else ",")
        assert {broken[name] for name in cells} == {""}
    assert {name: first[name] for name in cells} == cells
    assert list(first)[:7] == [*cells, "item"]
    assert first["label"]
    assert "fields where the header has 6" in broken["error"]
    assert broken["item"].endswith("t.csv: row 5")
    assert empty["error"].endswith("[item-empty]")
    assert (empty["Nr"], empty["Stimmung"]) == ("2", " 007")


def test_names_that_the_table_has_too(trained_models, tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("text,label,item,model_item,error\nno no,glad,7,8,9\n")
    assert main(["predict", str(trained_models.folder(TEXT)), str(table)]) == 0
    printed = capsys.readouterr()
    (row,) = rows_of(printed.out)
    own = [row[name] for name in ("label", "item", "model_item", "error")]
    assert own == ["glad", "7", "8", "9"]
    assert row["model_label"]
    assert row["model_model_item"].endswith("t.csv: row 2")
    assert row["model_error"] == ""
    assert "item, label, error: of predictions these columns are model_model_item" in printed.err
    assert main(["predict", str(trained_models.folder(TEXT)), str(table), "--format", "jsonl"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["label"], row["model_model_item"][-12:]) == ("glad", "t.csv: row 2")


def test_tables_of_other_columns_and_a_text(trained_models, command, tmp_path):
    (tmp_path / "a.csv").write_text("text,a\nno,1\n")
    (tmp_path / "b.jsonl").write_text('{"b": [1, null], "text": "no", "c": 1.50}\n{"text": "no"}\n')
    (tmp_path / "c.txt").write_text("no\n")
    files = (tmp_path / "a.csv", tmp_path / "b.jsonl", tmp_path / "c.txt")
    rows = rows_of(command("predict", trained_models.folder(TEXT), *files))
    assert list(rows[0])[:5] == ["text", "a", "b", "c", "item"]
    assert [(row["a"], row["b"], row["c"]) for row in rows] == [
        ("1", "", ""),
        ("", "[1, null]", "1.5"),
        *[("", "", "")] * 2,
    ]
    assert [row["model_text"] for row in rows] == ["", "", "", "no"]


def test_parquet_keeps_its_values_but_bytes(trained_models, tmp_path, capsys):
    pyarrow = pytest.importorskip("pyarrow")
    content = {
        "text": ["no", "yes"],
        "n": [1, None],
        "x": [0.5, float("nan")],
        "flag": [True, False],
        "list": [[1.0, 2.0], None],
        "raw": [b"\0\1", None],
    }
    path = tmp_path / "t.parquet"
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(content), path)
    model = str(trained_models.folder(TEXT))
    assert main(["predict", model, str(path)]) == 0
    printed = capsys.readouterr()
    names = ("n", "x", "flag", "list", "raw")
    cells = [[row[name] for name in names] for row in rows_of(printed.out)]
    assert cells == [["1", "0.5", "true", "[1.0, 2.0]", ""], ["", "", "false", "", ""]]
    assert "cells of the table that hold bytes are left out: 1" in printed.err
    assert main(["predict", model, str(path), "--format", "jsonl"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [[line[name] for name in names] for line in lines] == [
        [1, 0.5, True, [1.0, 2.0], None],
        [None, None, False, None, None],
    ]


def test_audio_paths_start_from_data_raw(trained_models, toy_corpus, command, tmp_path):
    speech = trained_models.folder("--modality speech --speech-input log_mel")
    (tmp_path / "t.csv").write_text("path,who\naudio/none.wav,a\n")
    words = ("predict", speech, tmp_path / "t.csv", "--column", "audio=path")
    (row,) = rows_of(command(*words, "--data-raw", "else", code=1))
    assert "else/audio/none.wav: there is no such file [file-missing]" in row["error"]
    (row,) = rows_of(command(*words, code=1))
    assert f"{tmp_path}/audio/none.wav" in row["error"]
    sound = next(toy_corpus.rglob("*.flac")).relative_to(toy_corpus)
    (tmp_path / "t.csv").write_text(f"path,who\n{sound},a\n")
    (row,) = rows_of(command(*words, "--data-raw", toy_corpus))
    assert (row["path"], row["who"], row["error"]) == (str(sound), "a", "")


def test_truncated_rows_say_so(trained_models, command, tmp_path):
    (tmp_path / "t.csv").write_text(f"text\nno\n{'no ' * 600}\n")
    short, long = rows_of(command("predict", trained_models.folder(TEXT), tmp_path / "t.csv"))
    assert short["truncated"] == ""
    assert long["truncated"].startswith("the text is too long for the model, which reads the first")


def test_one_line_sums_up(trained_models, tmp_path, capsys):
    (tmp_path / "t.csv").write_text(f"id,text\n1,no\n2,\n3,{'no ' * 600}\n3,no\n4,\n")
    model = str(trained_models.folder(TEXT))
    assert (
        main(["predict", model, "--output", str(tmp_path / "o.csv"), str(tmp_path / "t.csv")]) == 1
    )
    line = capsys.readouterr().err.splitlines()[-1]
    labels = {row["label"] for row in rows_of((tmp_path / "o.csv").read_text())} - {""}
    assert line.startswith("2 of 5 items predicted (")
    assert all(label in line for label in labels)
    assert "3 of 5 items failed (item-empty 2, id-duplicate 1), see the column error" in line
    assert line.endswith("; truncated: 1")


# -- inference: how a table is written, and which column is what ---------------------------------


def items_of(path: Path, *modalities: str, **options: Any) -> list[Item]:
    return list(TableSource(path, TableOptions(**options)).items(Reads(modalities or ("text",))))


def test_a_table_of_a_german_spreadsheet(trained_models, tmp_path, capsys):
    path = tmp_path / "t.csv"
    lines = [
        "Nr;Äußerung;Gefühl;Wert",
        "1;So schön, dass du da bist;Freude;1,5",
        "2;Geh weg, ja;Wut;2,5",
    ]
    for content in ("\ufeff" + "\n".join(lines), "\n".join(lines)):
        encoding = "utf-8" if content[0] == "\ufeff" else "cp1252"
        path.write_text(content, encoding=encoding, newline="\r\n")
        assert main(["predict", str(trained_models.folder(TEXT)), str(path)]) == 0
        printed = capsys.readouterr()
        first, _ = rows_of(printed.out)
        assert (first["Äußerung"], first["Wert"]) == ("So schön, dass du da bist", "1,5")
        assert "delimiter semicolon" in printed.err
        assert "columns text=Äußerung (--column changes them)" in printed.err


def test_a_list_of_files_without_a_header(tmp_path):
    (tmp_path / "t.csv").write_text("a.wav,glad\nb.wav,sad\nc.wav,glad\n")
    items = items_of(tmp_path / "t.csv", "speech")
    assert [item.audio for item in items] == [tmp_path / f"{name}.wav" for name in "abc"]
    assert items[0].cells == {"1": "a.wav", "2": "glad"}
    assert len(items_of(tmp_path / "t.csv", "speech", header=True)) == 2


def test_two_columns_that_fit_alike(tmp_path):
    (tmp_path / "t.csv").write_text("wav_file,wav_path,text\na.wav,b.wav,no\nc.wav,d.wav,no\n")
    assert [item.text for item in items_of(tmp_path / "t.csv")] == ["no", "no"]
    with raises("column-ambiguous") as error:
        items_of(tmp_path / "t.csv", "text", "speech")
    assert "--column audio=COLUMN" in str(error.value)
    first, _ = items_of(tmp_path / "t.csv", "text", "speech", columns={"audio": "wav_path"})
    assert first.audio == tmp_path / "b.wav"
    (tmp_path / "t.csv").write_text("c,a;b\nx,1;2\n")
    with raises("delimiter-unknown"):
        items_of(tmp_path / "t.csv")


def test_recordings_below_the_table(tmp_path, capsys):
    (tmp_path / "clips").mkdir()
    for name in "ab":
        (tmp_path / "clips" / f"{name}.wav").touch()
    (tmp_path / "t.csv").write_text("file,label\na.wav,x\nb.wav,y\n")
    first, _ = items_of(tmp_path / "t.csv", "speech")
    assert first.audio == tmp_path / "clips" / "a.wav"
    assert f"audio in {tmp_path / 'clips'} (--data-raw changes it)" in capsys.readouterr().err
    first, _ = items_of(tmp_path / "t.csv", "speech", data_raw=Path("else"))
    assert first.audio == Path("else/a.wav")


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_the_index_of_pandas_is_kept(suffix, trained_models, command, tmp_path):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / f"t{suffix}"
    frame = pandas.DataFrame({"text": ["no", "yes"], "n": [3, 4]}, index=[7, 9])
    (frame.to_csv if suffix == ".csv" else frame.to_excel)(path)
    first, second = rows_of(command("predict", trained_models.folder(TEXT), path))
    assert [first[name] for name in ("", "text", "n")] == ["7", "no", "3"]
    assert (second[""], second["label"] != "") == ("9", True)


# -- large tables ----------------------------------------------------------------------------------


def test_json_lines_are_parsed_once(tmp_path, monkeypatch):
    path = tmp_path / "t.jsonl"
    path.write_text(
        "".join(f'{{"text": "{n}", "onset": {n}, "k{n % 3}": 1}}\n' for n in range(600))
    )
    parsed = []
    parse = JsonLinesTable._row
    monkeypatch.setattr(
        JsonLinesTable, "_row", lambda table, *a: (parsed.append(a[0]), parse(table, *a))[1]
    )
    source = TableSource(path, TableOptions())
    assert sum(1 for _ in source.items(Reads(("text",)))) == 600
    assert parsed == list(range(1, 601))
    assert list(source.columns) == ["text", "onset", "k0", "k1", "k2"]


def test_a_spooled_table_is_the_table(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\n{oops\n\n' + '{"b": [null, 2.5]}\n' * 600)
    table = open_table(path)
    spooled = SpooledTable(table)
    assert list(spooled.rows()) == list(table.rows())
    both = zip(spooled.rows(), spooled.rows(), strict=True)  # at the same time
    assert all(one == other for one, other in both)
    assert (spooled.path, list(spooled.columns)) == (path, ["a", "b"])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_rows_are_not_kept_in_memory(suffix: str, tmp_path: Path):
    path, text = tmp_path / f"t{suffix}", "x" * 10_000
    rows = (text if suffix == ".csv" else json.dumps({"text": text}) for _ in range(4_000))
    path.write_text("\n".join(["text", *rows] if suffix == ".csv" else rows))
    assert path.stat().st_size > 40_000_000
    tracemalloc.start()
    source = TableSource(path, TableOptions())
    assert sum(1 for _ in source.items(Reads(("text",)))) == 4_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24_000_000


def test_channels_that_are_not_read_are_named(tmp_path, capsys):
    for channels, is_named in ((("1", "2"), True), (("1", "1"), False)):
        rows = ["file,channel"] + [f"{n}.wav,{x}" for n, x in enumerate(channels)]
        (tmp_path / "t.csv").write_text("\n".join(rows))
        assert len(list(TableSource(tmp_path / "t.csv", TableOptions()).items(Reads()))) == 2
        assert ("column channel not read" in capsys.readouterr().err) is is_named


def test_two_forms_of_a_letter_are_one_speaker_and_one_dialogue(tmp_path):
    rows = ["text,speaker,dialogue,turn", "a,Jos\xe9,\xe9,1", "b,Jose\u0301,e\u0301,2"]
    (tmp_path / "t.csv").write_text("\n".join(rows), encoding="utf-8")
    source = TableSource(tmp_path / "t.csv", TableOptions())
    items = list(source.items(Reads(("text",), groups=True, dialogues=True)))
    assert [(item.speaker, item.dialogue) for item in items] == [("Jos\xe9", "\xe9")] * 2


def test_items_are_normalized_with_those_of_their_speaker(
    trained_models, toy_corpus, command, tmp_path
):
    options = "--modality speech --speech-input log_mel --normalize-by speaker"
    folder = trained_models.folder(options)
    sounds = [f"{toy_corpus}/{row.audio}" for row in read_manifest(toy_corpus / "test.tsv")[:6]]
    who = ["ann", "bob", "ann", "bob", "ann", "bob"]
    lines = [f"{sound};{name}" for sound, name in zip(sounds, who, strict=True)]
    (tmp_path / "t.csv").write_text(
        "\n".join(["file;Sprecher", *lines[:3], "gone.wav;ann", *lines[3:]])
    )
    words = ("predict", folder, tmp_path / "t.csv", "--batch-size", "1")
    rows = rows_of(command(*words, code=1))
    assert rows.pop(3)["error"].endswith("[file-missing]")
    expected = load_predictor(folder, "cpu").predict(sounds, speaker=who)
    assert [row["warning"] for row in rows] == [""] * 6
    for row, prediction in zip(rows, expected, strict=True):
        for label, probability in prediction.probabilities.items():
            assert float(row[f"probability_{label}"]) == pytest.approx(probability, abs=1e-5)
