"""``--feature-files``: features with a file for each row of a table."""

from pathlib import Path

import numpy as np
import pytest
from codes import raises

from data_prep.commands.table import main
from data_prep.features.linked import find_features
from data_prep.features.stored import are_missing, open_features
from data_prep.schema import read_corpus, read_manifest
from emo_fairseq.cli.__main__ import main as emotion_recognize

ROWS = 12


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of recordings that are not there, and a file of features for all but the last."""
    monkeypatch.chdir(tmp_path)
    lines = [f"day/{n}.wav,s{n % 6},{'sad' if n % 2 else 'calm'}" for n in range(ROWS)]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["file,speaker,emotion", *lines]), encoding="utf-8")
    (tmp_path / "vectors").mkdir()
    for n in range(ROWS - 1):
        np.save(tmp_path / "vectors" / f"{n}.npy", np.full((3, 4), n, np.float32))
    return table


def test_rows_without_recordings_are_read_by_their_features(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data"
    words = ["--feature-files", "mine=vectors", "--split-by", "speaker"]
    assert main([str(labels), str(out), *words]) == 0
    assert (
        "audio left out, and features read: none of its 12 audio files" in capsys.readouterr().out
    )
    corpus = read_corpus(out)
    assert "features mine: 11 of 12 rows have frames in vectors" in corpus.notes
    (dropped,) = corpus.dropped
    assert dropped.id == "day/11.wav"
    assert dropped.reason == "neither text, audio nor video nor features"
    for split in corpus.splits:
        rows = read_manifest(out / f"{split}.tsv")
        features = open_features(out / "features" / "mine", split, rows)
        values = [float(features.frames[start, 0]) for start in features.offsets[:-1]]
        assert values == [float(Path(row.id).stem) for row in rows]


def test_a_file_without_frames_is_none(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    np.save(tmp_path / "vectors" / "3.npy", np.zeros((0, 4), np.float32))
    words = ["--feature-files", "mine=vectors", "--split-by", "speaker"]
    assert main([str(labels), str(out), *words]) == 0
    assert {row.id for row in read_corpus(out).dropped} == {"day/3.wav", "day/11.wav"}
    first = next(iter(read_corpus(out).splits))
    rows = read_manifest(out / f"{first}.tsv")
    file = out / "features" / "mine" / f"{rows[0].id}.npy"
    file.unlink()
    np.save(file, np.zeros((0, 4), np.float32))
    missing = are_missing(out / "features" / "mine", first, rows)
    assert missing.tolist() == [True] + [False] * (len(rows) - 1)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"mine": "nowhere"}, "features-missing"),
        ({"a/b": "vectors"}, "features-name"),
        ({"mine": "."}, "features-mismatch"),
    ],
)
def test_folders_of_no_row_are_refused(labels: Path, given: dict[str, str], code: str) -> None:
    with raises(code):
        find_features({name: Path(folder) for name, folder in given.items()}, ["u1", "../u2"])


def test_a_row_without_a_file_loses_its_link_of_before(labels: Path, tmp_path: Path) -> None:
    words = [str(labels), str(tmp_path / "data"), "--feature-files", "mine=vectors"]
    assert main(words) == 0
    links = {x.name for x in (tmp_path / "data").rglob("*.wav.npy")}
    (tmp_path / "vectors").rename(tmp_path / "others")
    (tmp_path / "vectors").mkdir()
    for name in sorted(links)[1:]:
        file = tmp_path / "vectors" / name.replace(".wav", "")
        np.save(file, np.ones((3, 4), np.float32))
    assert main(words) == 0
    kept = {x.name for x in (tmp_path / "data").rglob("*.wav.npy")}
    assert kept == links - {min(links)}


def test_a_file_is_of_one_row(labels: Path) -> None:
    for name in ("a.wav", "b"):
        np.save(Path("vectors") / f"{name}.npy", np.zeros(4, np.float32))
    folders = {"mine": Path("vectors")}
    found = find_features(folders, ["x/a.wav", "y/b.flac", "z/c"])["mine"]
    assert {id_: file.name for id_, file in found.items()} == {
        "x/a.wav": "a.wav.npy",
        "y/b.flac": "b.npy",
    }
    for ids in (["x/b", "y/b"], ["b.1", "b.2"]):
        with raises("features-shared"):
            find_features(folders, ids)


def test_features_of_videos_are_linked_for_a_model_of_videos(
    labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(labels), "--modality", "V", "--video-encoder", "features:mine"]
    assert emotion_recognize([*words, "--feature-files", "mine=vectors", "--dry-run"]) == 0
    assert "--feature-files mine=vectors" in capsys.readouterr().out


def test_features_that_a_table_lacks_are_refused_before_it_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"sentence number {n},s{n},{'sad' if n % 2 else 'calm'}" for n in range(ROWS)]
    Path("labels.csv").write_text("\n".join(["text,speaker,emotion", *lines]), encoding="utf-8")
    words = ["train", "labels.csv", "--speech-encoder", "features:mine", "--dry-run"]
    assert emotion_recognize(words) == 2
    error = capsys.readouterr().err
    assert "give --feature-files mine=FOLDER" in error
    assert "[features-missing]" in error
