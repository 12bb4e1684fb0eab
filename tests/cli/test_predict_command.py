"""``emotion-recognize export``, ``predict`` and ``evaluate``: one model by all its ways."""

import argparse
import csv
import io
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import yaml
from codes import raises

from data_prep.schema import read_manifest
from emo_fairseq.cli.__main__ import main
from emo_fairseq.cli.predict import command as predict
from emo_fairseq.evaluation import predictions
from emo_fairseq.export import onnx
from emo_fairseq.export.model_folder import write_model_folder

BOTH = "--modality text+speech --speech-input log_mel --auxiliary-targets vad"
SPEECH = "--modality speech --speech-input log_mel --target vad"
TEXT = "--modality text"
AXES = ("valence", "arousal", "dominance")


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def numbers(row: dict[str, str], beginning: str = "probability_") -> list[float]:
    return [float(cell) for name, cell in row.items() if name.startswith(beginning)]


def test_windows_are_held_to_what_the_model_reads():
    """Not to --max-speech-seconds, which a model of stored features does not obey."""

    def check(window: float, longest: float) -> None:
        predictor = SimpleNamespace(modalities=("speech",), max_seconds=lambda: longest)
        predict.check_windows(predictor, argparse.Namespace(window=window, hop=window / 2))

    check(30.0, math.inf)
    check(30.0, 30.0)
    with raises("window-too-long"):
        check(30.0, 20.0)


def test_a_folder_of_sounds_one_of_them_broken(trained_models, toy_corpus, tmp_path, capsys):
    sounds = tmp_path / "sounds" / "below"
    sounds.mkdir(parents=True)
    for row in read_manifest(toy_corpus / "test.tsv")[:3]:
        shutil.copy(toy_corpus / str(row.audio), sounds)
    (sounds / "a_broken.wav").write_bytes(b"RIFF, but no more")
    out = tmp_path / "made" / "rows.csv"
    words = ["predict", trained_models.folder(SPEECH), sounds.parent, "--output", out]
    assert main([*map(str, words), "--batch-size", "2"]) == 1
    failure, summary = capsys.readouterr().err.splitlines()[-2:]
    assert failure.startswith(f"failed: {sounds / 'a_broken.wav'}: ")
    assert failure.endswith("]"), "its code"
    assert "1 of 4 items failed" in summary
    broken, *others = table(out.read_text())
    assert "a_broken.wav" in broken["item"]
    assert "a_broken.wav" in broken["error"]
    assert numbers(others[0], "prediction_") != numbers(others[1], "prediction_")
    for row in others:
        assert list(row)[:4] == ["item", *(f"prediction_{x}" for x in AXES)]
        assert row["error"] == ""
        assert float(row["seconds"]) > 0


def test_a_recording_of_which_the_end_is_not_read_is_reported(
    trained_models, tmp_path, capsys, caplog
):
    for name, seconds in {"long": 21, "short": 1}.items():
        noise = np.random.default_rng(1).normal(0, 0.1, seconds * 16_000)
        soundfile.write(tmp_path / f"{name}.wav", noise, 16_000)
    assert main(["predict", str(trained_models.folder(SPEECH)), str(tmp_path)]) == 0
    line = capsys.readouterr().err.splitlines()[-1]
    assert "item 1 (long.wav): the recording is too long" in caplog.text
    assert "; truncated: 1; only the beginning is predicted of 1 recording" in line
    assert "analyze predicts all turns" in line


def test_rows_are_what_fairseq_validate_writes(trained_models, toy_corpus, command, tmp_path):
    expected = {row["id"]: row for row in trained_models.validated(trained_models.checkpoint(BOTH))}
    rows = read_manifest(toy_corpus / "test.tsv")
    lines = [
        json.dumps({"id": row.id, "said": row.text, "wav": str(toy_corpus / str(row.audio))})
        for row in rows
    ]
    asked = tmp_path / "rows.jsonl"
    asked.write_text("\n".join(lines))
    columns = ("--text-column", "said", "--audio-column", "wav")
    for model in (trained_models.folder(BOTH), trained_models.checkpoint(BOTH)):
        found = table(command("predict", model, asked, *columns, "--batch-size", "5"))
        assert [row["item"] for row in found] == [row.id for row in rows]
        for row in found:
            scored = expected[row["item"]]
            assert row["label"] == scored["prediction"]
            assert numbers(row) == pytest.approx(numbers(scored), abs=1e-5)
            assert row["modalities"] == "text+speech"
            assert len(numbers(row, "vad.")) == 3


def test_lines_tables_and_texts_say_the_same(trained_models, command, tmp_path, monkeypatch):
    model, text = trained_models.folder(TEXT), 'so "you" say, no'
    (alone,) = table(command("predict", model, "--text", text))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{text}\nno no\n"))
    first, _ = table(command("predict", model, "-"))
    (tmp_path / "a.csv").write_text('text,more\n"so ""you"" say, no",1\n')
    (tmp_path / "a.tsv").write_text(f"text\n{text}\n")
    (tmp_path / "a.txt").write_text(f"\ufeff{text}\r\n", encoding="utf-8")
    files = [tmp_path / f"a.{suffix}" for suffix in ("csv", "tsv", "txt")]
    rows = table(command("predict", model, *files))
    for row in (first, *rows):
        assert numbers(row) == pytest.approx(numbers(alone))
    assert [row["text"] for row in rows] == [text, text, ""], "the columns of tables"
    assert [row["model_text"] for row in rows] == ["", "", alone["text"]]


@pytest.mark.parametrize(
    ("name", "content", "printed"),
    [
        ("a.csv", "text\nfine\na,b\n", "2 fields where the header has 1"),
        ("a.csv", 'text\nfine\n"no\n', "a quote is opened here and never closed"),
        ("a.jsonl", '{"text": "fine"}\n{oops\n', "not JSON"),
        ("a.jsonl", '{"text": "fine"}\n[1]\n', "not a JSON object"),
        ("a.jsonl", '{"text": "fine"}\n{"text": 3}\n', "holds 3, a number and no text"),
        ("a.jsonl", '{"text": "fine"}\n{"mood": "x"}\n', "neither text nor audio is given"),
        ("a.jsonl", '{"text": "fine"}\n{"audio": "a.wav"}\n', "the model reads text"),
        ("a.txt", "fine\n\n", "the text is empty"),
    ],
)
def test_a_bad_row_does_not_stop_the_rest(
    name, content, printed, trained_models, command, tmp_path
):
    (tmp_path / name).write_text(content)
    folder = trained_models.folder(TEXT)
    out = command("predict", folder, tmp_path / name, "--format", "jsonl", code=1)
    good, bad = (json.loads(line) for line in out.splitlines())
    assert good["label"] in good["probabilities"]
    assert "label" not in bad
    assert printed in bad["error"]
    assert re.search(r" \[[a-z]+(-[a-z]+)+\]$", bad["error"]), "a code"


def test_a_column_that_is_not_read_is_skipped(trained_models, command, capsys, tmp_path):
    """As that of the audio in a data dir; a row that has nothing else fails by itself."""
    asked, model = tmp_path / "test.tsv", trained_models.folder(TEXT)
    asked.write_text("id\taudio\ttext\na\tgone.wav\tno no\nb\tgone.wav\t\nc\t\tno\nd\tx\tno\n")
    assert main(["predict", str(model), str(asked)]) == 1
    written = capsys.readouterr()
    rows = table(written.out)
    assert [row["item"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["error"] for row in rows] == [
        "",
        "audio alone, but the model reads text [modality-not-read]",
        "",
        "",
    ]
    assert written.err.count(f"{asked}: cells of 'audio' skipped: 2; the model reads text") == 1
    asked.write_text('{"audio": 3, "text": "no no"}\n')
    lines = asked.rename(tmp_path / "rows.jsonl")
    (alone,) = table(command("predict", model, lines))
    assert numbers(alone) == pytest.approx(numbers(rows[0]))
    assert main(["predict", str(model), "gone.wav", "--text", "no"]) == 1
    assert "audio, but the model reads text; leave the audio out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ([], "[items-missing]"),
        (["{tmp}"], "[audio-missing]"),
        (["{tmp}/a.csv"], "[column-missing]"),
        (["{tmp}/b.csv"], "b.csv: No such file or directory"),
        (["{tmp}/b.csv", "--output", "{tmp}/out.xlsx"], "[format-unknown]"),
        (["-", "-"], "[stdin-repeated]"),
        (["-", "--null", "--lines", "texts"], "[option-idle]"),
        (["{tmp}/c.csv", "--column", "words=mood"], "[field-unknown]"),
        (["{tmp}/c.csv", "--column", "text=mood"], "[column-missing]"),
        (["{tmp}/c.csv", "--column", "text="], "[column-missing]"),
        (["{tmp}/c.csv", "--language", "en"], "[option-idle]"),
        (["a.wav", "b.wav", "--text", "x"], "[text-with-items]"),
        (["a.wav", "--onnx"], "model.onnx: there is no such file"),
    ],
)
def test_an_error_of_the_command_line_leaves_no_file(
    words, printed, trained_models, tmp_path, capsys
):
    (tmp_path / "a.csv").write_text("mood\nfine\n")
    (tmp_path / "c.csv").write_text("text\nfine\n")
    out = tmp_path / "out.csv"
    own = [word.format(tmp=tmp_path) for word in words]
    folder = str(trained_models.folder(TEXT))
    ended_with = main(["predict", folder, "--output", str(out), *own])
    errors = capsys.readouterr().err
    assert printed in errors
    assert ended_with == (2 if errors.startswith("error: --") else 1)
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["--batch-size", "0"], "argument --batch-size: 0 is not 1 or more"),
        (["--timeline", "--window", "inf"], "argument --window: inf is not above 0"),
        (["--timeline", "--hop", "0"], "argument --hop: 0 is not above 0"),
    ],
)
def test_a_number_that_cannot_be(words, printed, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "models/toy", "a.wav", *words])
    assert printed in capsys.readouterr().err


def test_a_timeline_has_a_row_for_each_window(trained_models, command, tmp_path):
    noise = np.random.default_rng(1).normal(0, 0.1, 44_100 * 5)
    soundfile.write(tmp_path / "a.wav", noise, 44_100)
    words = (tmp_path / "a.wav", "--timeline", "--window", "2", "--hop", "1")
    rows = table(command("predict", trained_models.folder(SPEECH), *words))
    assert [(row["start"], row["end"]) for row in rows] == [
        (f"{n}.0", f"{n + 2}.0") for n in range(4)
    ]
    assert len({row["prediction_valence"] for row in rows}) == 4


@pytest.mark.realdata
def test_a_recording_of_ravdess(trained_models, command, real_data):
    file = next(iter(sorted((real_data("ravdess") / "Actor_01").iterdir())))
    (row,) = table(command("predict", trained_models.folder(SPEECH), file))
    assert float(row["seconds"]) == pytest.approx(soundfile.info(file).duration, abs=1e-3)
    assert all(np.isfinite(numbers(row, "prediction_")))


def test_export_names_describes_and_draws_the_model(
    trained_models, toy_corpus, command: Callable[..., str], tmp_path
):
    checkpoint, saved = trained_models.checkpoint(BOTH), tmp_path / "test.tsv"
    predictions.write(saved, trained_models.validated(checkpoint))
    words = ("--output", f"{tmp_path}/", "--predictions", saved, "--onnx", "--check", "2")
    printed = command("export", checkpoint.parent, "--data", toy_corpus, *words)
    folder = tmp_path / "T-A-ET-cross_attention-scratch-tiny-scratch-tiny"
    assert f"{folder}: written" in printed
    card = (folder / "README.md").read_text()
    assert card.count("\n# T+A--ET--cross_attention(scratch-tiny+scratch-tiny)\n") == 1
    assert yaml.safe_load(card.split("---\n")[1])["datasets"] == ["toy"]
    assert "test, 12 utterances (`test.tsv`)" in card
    both = [command("predict", folder, "--text", "no no", *w) for w in ((), ("--onnx",))]
    rows = [table(out)[0] for out in both]
    assert numbers(rows[0]) == pytest.approx(numbers(rows[1]), abs=1e-5)
    command("export", checkpoint, "--output", folder)
    assert not (folder / "model.onnx").exists(), "it would be of other weights"


def test_an_export_whose_graph_is_refused_changes_nothing(
    trained_models, toy_corpus, command, tmp_path, monkeypatch, capsys
):
    export = ["export", str(trained_models.checkpoint(TEXT)), "--data", str(toy_corpus)]
    export += ["--onnx", "--check", "1", "--output"]
    command(*export, tmp_path / "old")
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "old").iterdir()}
    assert "model.onnx" in before
    monkeypatch.setattr(onnx, "TOLERANCE", -1.0)
    for folder in (tmp_path / "old", tmp_path / "new"):
        assert main([*export, str(folder)]) == 1
        assert "[graph-differs]" in capsys.readouterr().err
    assert before == {file.name: file.stat().st_mtime_ns for file in (tmp_path / "old").iterdir()}
    assert not (tmp_path / "new").exists()


def test_a_check_of_no_graph_is_refused(trained_models, tmp_path, capsys):
    checkpoint = str(trained_models.checkpoint(TEXT))
    assert main(["export", checkpoint, "--output", str(tmp_path / "new"), "--check", "3"]) == 2
    assert "[check-without-onnx]" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("options", [BOTH, SPEECH])
def test_a_model_folder_is_scored_by_fairseq_validate(
    options, trained_models, toy_corpus, command, started, tmp_path
):
    expected = trained_models.validated(trained_models.checkpoint(options))
    folder = write_model_folder(trained_models.checkpoint(options), None, tmp_path / "model")
    saved = tmp_path / "test.tsv"
    words = ("--cpu", "--batch-size", "5", "--save-predictions", saved, "-v")
    out = command("evaluate", folder, toy_corpus, *words)
    assert "fairseq-validate --user-dir" in out
    assert predictions.read(saved) == expected
    assert "| test | " in started[0]
    assert not list(Path(tmp_path).glob("**/*.pt"))
