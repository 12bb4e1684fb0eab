"""Videos through the commands: predict, analyze, export, and train on a corpus of clips."""

import csv
import io
import shutil
from pathlib import Path

import hf_folders
import numpy as np
import pytest
from talking_faces import write_faces, write_talking_face
from video_clips import write_video

from data_prep.corpora.meld import COLUMNS
from data_prep.schema import read_manifest
from data_prep.segmentation.formats import read_segmentation
from emo_fairseq.cli.__main__ import main
from emo_fairseq.export.onnx import export_onnx
from emo_fairseq.inference.predictor import load_predictor

pytest.importorskip("av")
pytest.importorskip("PIL")


@pytest.fixture(scope="module")
def faces(toy_corpus, tmp_path_factory):
    """Talking faces, and a frozen encoder of clips."""
    root = tmp_path_factory.mktemp("faces")
    hf_folders.build_video(root / "videomae", "videomae")
    return write_faces(toy_corpus, root)


@pytest.fixture(scope="module")
def options(faces):
    encoder = faces.parent / "videomae"
    return f"--modality A+V --speech-input log_mel --video-encoder hf:{encoder}"


@pytest.fixture(scope="module")
def folder(trained_models, faces, options):
    return trained_models.folder(options, faces)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def clips(faces):
    return [faces.parent / "videos" / row.video for row in read_manifest(faces / "test.tsv")[:3]]


def test_a_video_gives_sound_and_pictures(folder, clips, command, tmp_path):
    (row,) = table(command("predict", folder, clips[0]))
    assert row["modalities"] == "speech+video"
    silent = write_video(tmp_path / "silent.mp4", sound=False)
    (row,) = table(command("predict", folder, silent))
    assert row["modalities"] == "video"
    assert "without speech" in row["warning"]


def test_a_model_of_speech_reads_the_sound_of_a_video(trained_models, clips, command):
    speech = trained_models.folder("--modality speech --speech-input log_mel")
    (row,) = table(command("predict", speech, clips[0]))
    assert row["modalities"] == "speech"


def test_a_column_of_videos_is_read_and_what_is_missing_counted(folder, clips, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    sound = tmp_path / "sound.mp4"
    shutil.copy(clips[2], sound)
    rows = [
        ("one", clips[0], "", "", ""),
        ("part", clips[0], "", 0.2, 0.6),
        ("both", clips[1], sound, "", ""),
        ("sound", "", sound, "", ""),
        ("broken", broken, "", "", ""),
    ]
    file = tmp_path / "t.csv"
    lines = ["id,video,audio,start,end", *(",".join(map(str, row)) for row in rows)]
    file.write_text("\n".join(lines) + "\n")
    assert main(["predict", str(folder), str(file)]) == 1
    written = capsys.readouterr()
    found = {row["id"]: row for row in table(written.out)}
    assert {name: row["modalities"] for name, row in found.items()} == {
        "one": "speech+video",
        "part": "speech+video",
        "both": "speech+video",
        "sound": "speech",
        "broken": "",
    }
    assert float(found["part"]["seconds"]) == pytest.approx(0.4, abs=0.01)
    assert "broken.mp4" in found["broken"]["error"]
    assert "[video-unreadable]" in found["broken"]["error"]
    assert "without video: 1" in written.err


def test_a_table_of_videos_gives_their_sound_to_a_model_of_speech(
    trained_models, clips, tmp_path, command
):
    speech = trained_models.folder("--modality speech --speech-input log_mel")
    file = tmp_path / "t.csv"
    file.write_text(f"id,video\na,{clips[0]}\n")
    (row,) = table(command("predict", speech, file))
    assert row["modalities"] == "speech"


def test_turns_of_a_video_are_analyzed_with_their_pictures(folder, clips, tmp_path, command):
    turns = tmp_path / "turns.csv"
    turns.write_text("start,end,speaker\n0,0.5,a\n0.5,1,b\n")
    out = tmp_path / "out"
    words = "--segments", turns, "--output", out, "--formats", "jsonl"
    command("analyze", folder, clips[0], *words)
    (file,) = out.rglob("*.jsonl")
    assert len(file.read_text().splitlines()) == 2
    read = read_segmentation(turns, recording=clips[0])
    found = load_predictor(folder, "cpu").conversation(clips[0], read).turns
    assert [turn.prediction.modalities for turn in found] == [("speech", "video")] * 2
    rows = table(command("predict", folder, clips[0], "--segments", turns))
    assert [row["modalities"] for row in rows] == ["speech+video"] * 2


def test_a_graph_predicts_from_videos(folder, clips, tmp_path, command):
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    export_onnx(copy, check=1)
    rows = table(command("predict", copy, clips[0]))
    graph = table(command("predict", copy, clips[0], "--onnx"))
    assert [row["modalities"] for row in graph] == ["speech+video"]
    for name, value in graph[0].items():
        if name.startswith("p_"):
            assert float(value) == pytest.approx(float(rows[0][name]), abs=1e-4)


# -- training on a corpus of clips -----------------------------------------------------------------


@pytest.fixture
def meld(tmp_path: Path) -> Path:
    """The layout of MELD with its clips in videos/{train,dev,test}: two dialogues a split."""
    folder = tmp_path / "MELD"
    emotions = {"anger": "negative", "joy": "positive"}
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(8_000) / 16_000)
    for official in ("train", "dev", "test"):
        rows = []
        for number in range(6):
            emotion = list(emotions)[number % 2]
            dialogue, turn = divmod(number, 3)
            times = "00:00:00,000", "00:00:01,000"
            labels = emotion, emotions[emotion]
            rows.append(["So what.", "Joey", *labels, dialogue, turn, "1", "1", *times])
            clip = folder / "videos" / official / f"dia{dialogue}_utt{turn}.mp4"
            write_talking_face(clip, tone.astype(np.float32), "angry" if number % 2 else "sad")
        with (folder / f"{official}_sent_emo.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
    return folder


def test_train_on_the_clips_of_meld(meld, faces, tmp_path, command, started, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoder = f"hf:{faces.parent / 'videomae'}"
    words = ["train", meld, "--modality", "V", "--video-encoder", encoder, "--freeze", "--cpu"]
    command(*words, "--epochs", "1", "--no-report", "--no-probe", "--batch-size", "3")
    rows = read_manifest(tmp_path / "data" / "meld" / "train.tsv")
    assert all(row.video and row.audio for row in rows)
    assert any("video" in printed for printed in started)
    assert list((tmp_path / "checkpoints").rglob("checkpoint_best.pt"))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("", "encoder-missing"),
        ("--video-encoder scratch:tiny", "encoder-spec-invalid"),
        ("--video-encoder features:faces", "features-missing"),
    ],
)
def test_video_without_an_encoder_is_refused_before_anything_is_prepared(
    meld, tmp_path, capsys, monkeypatch, options, code
):
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(meld), "--modality", "V", *options.split()]) == 2
    assert f"[{code}]" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_corpus_without_clips_is_refused_before_it_is_prepared(
    meld, faces, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(meld / "videos")
    encoder = f"hf:{faces.parent / 'videomae'}"
    assert main(["train", str(meld), "--modality", "T+V", "--video-encoder", encoder]) == 2
    assert "[column-empty]" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
