"""``predict`` and ``analyze`` that were killed: what is finished is not computed again."""

import logging
import os
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep.audio.segment import AudioSegment
from emo_fairseq.cli.__main__ import main
from emo_fairseq.cli.analyze.formats import FORMATS
from emo_fairseq.cli.models import model_digests
from emo_fairseq.cli.predict import command, predicting
from emo_fairseq.cli.predict.items import Item
from emo_fairseq.inference.predictor import EmotionPredictor

MODEL = "--modality speech --speech-input log_mel"


class KilledError(Exception):
    """Ends a command at once."""


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(5):
        samples = random.normal(0, 0.1, 8_000 + 1_000 * number)
        soundfile.write(folder / f"{number}.wav", samples, 16_000)
    (folder / "3.wav").write_bytes(b"RIFF")  # cannot be read
    return folder


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is predicted; the command is killed at that in the first place, if any."""
    names: list[str] = []
    original = EmotionPredictor.predict_each

    def predict_each(self, audio, *args, **options):
        if any(Path(x).name == names[0] for x in audio):
            raise KilledError
        names.extend(Path(x).name for x in audio)
        return original(self, audio, *args, **options)

    monkeypatch.setattr(EmotionPredictor, "predict_each", predict_each)
    return names


def rewrite(recording: Path) -> None:
    """Replace the samples of a recording, which keeps its size and its time of modification."""
    samples, rate = soundfile.read(recording)
    status = recording.stat()
    soundfile.write(recording, np.full(len(samples), 0.1), rate)
    os.utime(recording, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert recording.stat().st_size == status.st_size


def test_predict_continues_after_the_last_batch(
    trained_models, recordings, predicted, monkeypatch, tmp_path, caplog
):
    monkeypatch.setattr(command, "_BATCHES_AT_ONCE", 1)
    model, files = trained_models.folder(MODEL), [tmp_path / "whole.csv", tmp_path / "killed.csv"]
    words = ["predict", str(model), str(recordings), "--batch-size", "2", "--output"]
    predicted[:] = [""]
    assert main([*words, str(files[0])]) == 1
    assert [*sorted(predicted)] == ["", "0.wav", "1.wav", "2.wav", "3.wav", "4.wav"]
    predicted[:] = ["4.wav"]
    with pytest.raises(KilledError):
        main([*words, str(files[1])])
    assert len(list((tmp_path / ".killed.csv.partial").iterdir())) == 2
    rewrite(recordings / "1.wav")  # its batch is stale
    predicted[:] = [""]
    with caplog.at_level(logging.INFO):
        assert main([*words, str(files[1])]) == 1
    assert predicted == ["", "0.wav", "1.wav", "4.wav"]
    rows = [file.read_text().splitlines() for file in files]
    assert [rows[1][i] for i in (0, 1, 3, 4, 5)] == [rows[0][i] for i in (0, 1, 3, 4, 5)]
    assert not (tmp_path / ".killed.csv.partial").exists()


def test_parts_of_a_long_recording_are_told_apart():
    items = [Item("a", AudioSegment("a.wav", start, 12_350.0)) for start in (12_345.1, 12_345.11)]
    first, second = map(predicting._describe, items)
    assert first != second


def test_pictures_of_a_folder_that_have_changed_are_told_apart(tmp_path):
    picture = tmp_path / "1.jpg"
    picture.write_bytes(b"one")
    before = predicting._describe(Item("a", video=tmp_path))
    assert predicting._describe(Item("a", video=tmp_path)) == before
    picture.write_bytes(b"two")
    assert predicting._describe(Item("a", video=tmp_path)) != before


@pytest.mark.parametrize("changed", ["whisper/model.bin", "tokenizer.yaml", "tokenizer.json"])
def test_a_model_whose_tokenizer_or_whisper_has_changed_is_another(
    trained_models, toy_corpus, tmp_path, changed
):
    """Of a checkpoint, which reads its tokenizer in the data dir, and of a model folder."""
    for name in ("whisper", "model/text"):
        (tmp_path / name).mkdir(parents=True)
    data, whisper = tmp_path / "toy", tmp_path / "whisper"
    (whisper / "model.bin").write_bytes(b"weights")
    shutil.copytree(toy_corpus, data, ignore=shutil.ignore_patterns("*.flac", "*.wav"))
    files = {
        "whisper/model.bin": whisper / "model.bin",
        "tokenizer.yaml": next((data / "text").glob("*/tokenizer.yaml")),
        "tokenizer.json": tmp_path / "model/text/tokenizer.json",
    }
    (tmp_path / "model/config.json").write_text("{}")
    files["tokenizer.json"].write_text("{}")
    model = tmp_path / "model"
    if changed == "tokenizer.yaml":
        model = trained_models.checkpoint("--modality text")
    options = Namespace(model=model, data=data if model.is_file() else None, transcribe=whisper)
    before = model_digests(options)
    assert model_digests(options) == before
    files[changed].write_text("other: 1")
    assert model_digests(options) != before


def test_analyze_leaves_out_what_is_finished(
    trained_models, recordings, monkeypatch, tmp_path, capsys
):
    model, output = trained_models.folder(MODEL), tmp_path / "output"
    turns = tmp_path / "turns"
    turns.mkdir()
    for number in range(5):
        (turns / f"{number}.csv").write_text("start,end\n0,0.25\n0.25,0.5\n")
    words = ["analyze", str(model), str(recordings), "--segments", str(turns)]
    words += ["--formats", "csv,jsonl", "--output-dir", str(output)]
    original, seen = EmotionPredictor.conversation, []

    def conversation(self, path, *args, **options):
        seen.append(path.name)
        if stop_at == path.name:
            raise KilledError
        return original(self, path, *args, **options)

    monkeypatch.setattr(EmotionPredictor, "conversation", conversation)
    stop_at = "2.wav"
    with pytest.raises(KilledError):
        main(words)
    (output / "1.csv").write_text("cut")
    stop_at, seen[:] = "", []
    capsys.readouterr()
    assert main([*words, "--overwrite"]) == 1
    assert seen == ["1.wav", "2.wav", "3.wav", "4.wav"]
    assert "recordings that an earlier run has finished: 1" in capsys.readouterr().err
    assert not (output / ".analysis.json").exists()
    assert sorted(path.stem for path in output.glob("*.csv")) == ["0", "1", "2", "4"]


def test_analyze_continues_where_files_were_being_written(
    trained_models, recordings, monkeypatch, tmp_path, capsys
):
    """And replaces those of a recording with a turn that could not be predicted."""
    model, output, turns = trained_models.folder(MODEL), tmp_path / "output", tmp_path / "turns"
    turns.mkdir()
    for number in range(5):
        end = 0.01 if number == 0 else 0.25
        (turns / f"{number}.csv").write_text(f"start,end\n0,{end}\n0.25,0.5\n")
    words = ["analyze", str(model), str(recordings), "--segments", str(turns)]
    words += ["--formats", "csv,jsonl", "--output-dir", str(output)]
    original = FORMATS["jsonl"]

    def write(written):
        if written.recording.name == "1.wav":
            raise KilledError
        original.write(written)

    with monkeypatch.context() as patch:
        patch.setitem(FORMATS, "jsonl", replace(original, write=write))
        with pytest.raises(KilledError):
            main(words)
    assert sorted(path.name for path in output.glob("[01].*")) == ["0.csv", "0.jsonl", "1.csv"]
    assert main(words) == 1
    assert len(list(output.glob("*.jsonl"))) == len(list(output.glob("*.csv"))) == 4
    capsys.readouterr()
    assert main(words) == 2, "its files are those of no interrupted run"
    assert "0.csv is there" in capsys.readouterr().err
