"""The column `video` of tables and manifests: read, checked, counted, joined."""

from pathlib import Path

import pytest
from codes import raises
from PIL import Image
from video_clips import write_video

from data_prep.commands import table
from data_prep.commands.combine import combine
from data_prep.commands.validate import validate
from data_prep.manifest.audio_root import video_root
from data_prep.manifest.digests import rows_digest, videos_digest
from data_prep.schema import Corpus, Utterance, read_corpus, read_manifest, write_corpus

BASE = ("--column", "id=id", "--column", "video=clip", "--split-column", "split")


def prepare(folder: Path, *more: str, rows: str) -> int:
    (folder / "t.csv").write_text(f"id,clip,start,end,split,mood\n{rows}", encoding="utf-8")
    words = [str(folder / "t.csv"), str(folder / "out"), *BASE, "--data-raw", str(folder)]
    return table.main([*words, "--column", "emotion=mood", *more])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_video(tmp_path / "clips" / "a.mp4", 1.0)
    (tmp_path / "clips" / "b.mp4").write_bytes(b"no video")
    return tmp_path


def test_rows_of_videos_alone_are_prepared_with_their_segments(folder: Path) -> None:
    rows = "u1,clips/a.mp4,,0.5,train,sad\nu2,clips/a.mp4,0.5,,train,glad\n"
    times = ("--column", "start=start", "--column", "end=end")
    assert prepare(folder, *times, rows=rows) == 0
    first, second = read_manifest(folder / "out" / "train.tsv")
    assert (first.video, first.end, first.audio) == ("clips/a.mp4", 0.5, None)
    assert (second.video, second.start) == ("clips/a.mp4", 0.5)
    corpus = read_corpus(folder / "out")
    assert corpus.splits["train"]["with_video"] == 2
    assert video_root(folder / "out") == folder
    assert validate(folder / "out") == []


def test_a_bad_video_is_a_fault_or_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "u1,clips/a.mp4,,,train,sad\nu2,clips/b.mp4,,,train,glad\n"
    assert prepare(folder, rows=rows) == 1
    error = capsys.readouterr().err
    assert "row 3" in error
    assert "[video-invalid]" in error
    assert prepare(folder, "--drop-bad-audio", rows=rows) == 0
    assert [row.id for row in read_manifest(folder / "out" / "train.tsv")] == ["u1"]
    assert [(d.id, d.what) for d in read_corpus(folder / "out").dropped] == [
        ("u2", "video"),
        ("u2", "row"),
    ]


def test_segments_that_are_not_in_their_video(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a training stops at them."""
    (folder / "pictures").mkdir()
    write_video(folder / "clips" / "c.mp4", 1.0)
    Image.new("RGB", (8, 8)).save(folder / "pictures" / "1.png")
    rows = (
        "u1,clips/a.mp4,0.2,0.9,train,sad\nu2,clips/a.mp4,1.5,1.9,train,glad\n"
        "u3,clips/c.mp4,0.5,9,train,sad\nu4,pictures,0,1,train,glad\n"
    )
    times = ("--column", "start=start", "--column", "end=end")
    assert prepare(folder, *times, rows=rows) == 1
    error = capsys.readouterr().err
    assert "row 3: video " in error
    assert "before the segment begins" in error
    assert "row 4: " in error
    assert "before the segment ends" in error
    assert "row 5: " in error
    assert "which has no times" in error
    assert "row 2" not in error
    columns = rows.replace(",train", "").splitlines()
    utterances = [
        Utterance(id_, video=path, start=float(start), end=float(end), emotion=mood)
        for id_, path, start, end, mood in (line.split(",") for line in columns)
    ]
    corpus = Corpus("small", labels={"emotion": ("glad", "sad")})
    write_corpus(folder / "written", corpus, {"train": utterances})
    faults = validate(folder / "written", folder)
    assert [(fault.row, fault.code) for fault in faults] == [
        (row, "video-invalid") for row in (3, 4, 5)
    ]


def test_combined_rows_keep_their_videos(folder: Path) -> None:
    for name in ("one", "two"):
        corpus = Corpus(name, labels={"emotion": ("sad",)}, video_raw=str(folder))
        rows = [Utterance("u", text="so", emotion="sad", video="clips/a.mp4")]
        write_corpus(folder / name, corpus, {"train": rows})
    combine([folder / "one", folder / "two"], folder / "both")
    for row in read_manifest(folder / "both" / "train.tsv"):
        assert (folder / "both" / (row.video or "")).resolve() == folder / "clips" / "a.mp4"
    assert validate(folder / "both") == []
    (folder / "clips" / "a.mp4").unlink()
    with raises("video-missing"):
        combine([folder / "one", folder / "two"], folder / "again")


def test_digests_of_videos_are_apart_from_those_of_audio() -> None:
    rows = [Utterance("u", text="so", video="a.mp4")]
    other = [Utterance("u", text="so", video="b.mp4")]
    assert rows_digest(rows) == rows_digest(other)
    assert videos_digest(rows) != videos_digest(other)


def test_a_folder_of_videos_that_moved_is_named(folder: Path) -> None:
    corpus = Corpus("x", labels={"emotion": ("sad",)}, video_raw=str(folder / "gone"))
    rows = [Utterance("u", text="so", emotion="sad", video="a.mp4")]
    write_corpus(folder / "x", corpus, {"train": rows})
    with raises("data-raw-moved") as error:
        video_root(folder / "x")
    assert "--video-raw" in str(error.value)
    assert video_root(folder / "x", folder) == folder
