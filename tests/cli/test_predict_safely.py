"""``emotion-recognize predict``: inputs stay unchanged, and each problem has its row or line."""

import csv
import io
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_fairseq.cli.__main__ import main
from emo_fairseq.cli.predict import batches
from emo_fairseq.cli.predict.items import Item
from emo_fairseq.errors import UsageError

TEXT = "--modality text"
SPEECH = "--modality speech --speech-input log_mel"
BOTH = "--modality text+speech --speech-input log_mel --auxiliary-targets vad"
TUNING = "emo_fairseq.models.tuning"


def answers(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def wav(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, np.random.default_rng(1).normal(0, 0.1, 16_000), 16_000)
    return file


def test_odd_audio_is_answered_with_a_warning(trained_models, tmp_path, command):
    voice = np.sin(np.arange(16_000) / 9)
    sounds = {
        "antiphase": np.stack([voice, -voice], axis=1),
        "half": np.append(voice, 0 * voice),
        "silent": 0 * voice,
        "voice": voice,
    }
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000)
    model = trained_models.folder(SPEECH)
    rows = list(csv.DictReader(io.StringIO(command("predict", model, tmp_path))))
    for row in rows:
        numbers = [float(cell) for name, cell in row.items() if name.startswith("probability_")]
        assert sum(numbers) == pytest.approx(1, abs=1e-4)
        assert row["error"] == ""
    antiphase, *others = (row["warning"] for row in rows)
    assert antiphase.startswith("channels in antiphase: ")
    assert others == ["", "digital silence: every sample is 0", ""]
    options = ("--timeline", "--window", "1", "--hop", "1", "--format", "jsonl")
    first, second = answers(command("predict", model, tmp_path / "half.wav", *options))
    assert (first["warnings"], second["warnings"]) == ([], ["digital silence: every sample is 0"])


def test_items_of_a_speaker_stay_together_where_one_fails():
    """They are normalized together: in halves, each would be by a part of the speaker."""

    def predict(items):
        if any(item.name == "3" for item in items):
            raise UsageError("the model's output is NaN", "output-not-finite")
        return [len(items)] * len(items)

    rows = batches._rows_of([Item(str(number)) for number in range(6)], predict, groups=True)
    assert [row.prediction for row in rows] == [5, 5, 5, None, 5, 5]


@pytest.mark.parametrize("output", ["T.csv", "linked.csv", "../here/T.csv", "{model}/rows.csv"])
def test_nothing_that_is_read_is_written_over(
    output, trained_models, tmp_path, monkeypatch, capsys
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    table = Path("T.csv")
    table.write_text("text\nno no\n")
    Path("linked.csv").hardlink_to(table)
    model = str(trained_models.folder(TEXT))
    assert main(["predict", model, "T.csv", "--output", output.format(model=model)]) == 2
    assert "[output-i" in capsys.readouterr().err
    assert table.read_text() == "text\nno no\n"
    assert not Path(model, "rows.csv").exists()


def test_earlier_rows_stay_until_all_are_there(trained_models, tmp_path, command, capsys):
    asked, out = tmp_path / "a.csv", tmp_path / "out.csv"
    asked.write_text("text\nno no\n")
    later = tmp_path / "later.csv"
    later.write_text("mood\nno\n")
    out.write_text("earlier")
    model = trained_models.folder(TEXT)
    command("predict", model, asked, later, "--output", out, "--batch-size", "1", code=1)
    assert out.read_text() == "earlier"
    command("predict", model, asked, "--output", out)
    assert "no no" in out.read_text()
    assert not (tmp_path / "out.csv.part").exists()


def test_a_path_that_the_system_refuses_is_an_error_row(trained_models, command, tmp_path):
    long, table = "a" * 300, tmp_path / "a.jsonl"
    rows = [{"id": 0, "text": "no"}, {"audio": long}, {"audio": "a\0b"}, {"text": "\ud800"}]
    table.write_text("\n".join(map(json.dumps, [*rows, {"id": "last", "text": "no"}])))
    words = ("--format", "jsonl", "--batch-size", "2")
    found = answers(command("predict", trained_models.folder(BOTH), table, long, *words, code=1))
    assert [row["item"] for row in found][::4] == ["0", "last"]
    errors = [str(row.get("error", "")) for row in found]
    assert ["File name too long" in error for error in errors] == [False, True, *[False] * 3, True]
    assert ["the path holds U+0000" in error for error in errors].index(True) == 2
    assert ["the text holds U+D800" in error for error in errors].index(True) == 3


def test_standard_input_is_utf_8_in_any_locale(trained_models, command, monkeypatch):
    typed = io.BytesIO("\ufeffjä\n".encode() + b"\xff\xfe oops\n" + "ein \ufffd\n".encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(typed, encoding="latin-1"))
    words = ("-", "--format", "jsonl")
    first, broken, marked = answers(command("predict", trained_models.folder(TEXT), *words, code=1))
    assert first["text"] == "jä"
    assert "the text is not UTF-8 text" in str(broken["error"])
    assert "error" not in marked, "the mark itself is a letter like others"


def test_what_is_skipped_in_a_folder_is_counted(trained_models, tmp_path, capsys):
    broken = wav(tmp_path / "in (1)" / "fine.wav").with_name("bad (x).wav")
    broken.write_bytes(b"junk")
    for name in ("a.doc", "b.DOC", "c.jpg", "._fine.wav", ".DS_Store"):
        (broken.parent / name).touch()
    wav(broken.parent / ".trash" / "old.wav")
    model = str(trained_models.folder(BOTH))
    for more in ([], ["--timeline"]):
        assert main(["predict", model, str(broken.parent), "--format", "jsonl", *more]) == 1
        printed = capsys.readouterr()
        assert "files skipped: 6 (2 of .doc, 1 of .jpg, 3 hidden)" in printed.err
        assert len({row["item"] for row in answers(printed.out)}) == 2
        assert answers(printed.out)[0]["error"].startswith(f"{broken}: ")
        assert "parameters are trained" not in printed.err


@pytest.mark.parametrize(
    ("options", "words", "printed"),
    [(BOTH, ["--window", "100"], "[window-too-long]"), (TEXT, [], "[modality-not-read]")],
)
def test_a_timeline_that_no_file_can_have(
    options, words, printed, trained_models, tmp_path, capsys
):
    files = [str(wav(tmp_path / name)) for name in ("a.wav", "b.wav")]
    model = str(trained_models.folder(options))
    ended_with = main(["predict", model, *files, "--timeline", *words])
    errors = capsys.readouterr().err
    assert errors.count(printed) == 1
    assert ended_with == (2 if errors.startswith("error: --") else 1)


def test_predicting_logs_no_trained_parameters(trained_models, command, caplog):
    with caplog.at_level(logging.INFO):
        command("predict", trained_models.folder(TEXT), "--text", "no")
    assert not [record for record in caplog.records if record.name == TUNING]
    assert logging.getLogger(TUNING).level == logging.NOTSET


def test_a_folder_whose_inputs_cannot_be_preprocessed_is_not_written(
    trained_models, copy_toy, tmp_path, capsys
):
    data = copy_toy()
    (data / "text").unlink()
    words = ["--data", str(data), "--output", str(tmp_path / "model")]
    export = ["export", str(trained_models.checkpoint(TEXT)), *words]
    assert main(export) == 1
    error = capsys.readouterr().err
    assert "[modalities-unsupported]" in error
    assert f"--data {data} does not" in error
    assert not (tmp_path / "model").exists()
    (data / "label_file_train.csv").touch()
    assert main(export) == 1
    assert f"{data} is in the legacy layout, which holds ids alone" in capsys.readouterr().err
