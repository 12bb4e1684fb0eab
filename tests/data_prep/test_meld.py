import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from codes import raises
from video_clips import write_video

from data_prep.commands.prepare import main
from data_prep.commands.validate import validate
from data_prep.corpora.meld import (
    BAD_CLIPS,
    COLUMNS,
    FOLDERS,
    MAX_SECONDS,
    clip_of,
    prepare_meld,
)
from data_prep.schema import Utterance, read_corpus, read_manifest

HEADER = ["Sr No.", *COLUMNS]
# split: (text, speaker, emotion, sentiment, dialogue, utterance)
TREE = {
    "train": [
        ("You must\u2019ve had your hands full.", "Joey", "neutral", "neutral", 0, 0),
        ("That I did\u2026", "Chandler\u2019s Date", "joy", "positive", 0, 1),
        ("Noo.", "Rachel", "sadness", "negative", 125, 3),
    ],
    "dev": [
        ("Hey!", "Joey", "surprise", "positive", 0, 0),
        ("No\x92", "Ross", "anger", "negative", 110, 7),
    ],
    "test": [("Hey!", "Joey", "joy", "positive", 0, 0), ("Hm", "Ross", "fear", "negative", 38, 4)],
}


def write_rows(folder: Path, split: str, rows: list[tuple[object, ...]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}_sent_emo.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number, row in enumerate(rows, start=1):
            writer.writerow([number, *row, 8, 3, f"00:00:0{number},059", "00:00:09,731"])


@pytest.fixture
def corpus_dir(tmp_path: Path) -> Path:
    for split, rows in TREE.items():
        write_rows(tmp_path / "raw", split, list(rows))
    return tmp_path / "raw"


@pytest.fixture
def corpus_dir_with_audio(corpus_dir: Path, write_sound: Callable[..., Path]) -> Path:
    for split, rows in TREE.items():
        for row in rows:
            write_sound(corpus_dir / "audios" / split / f"dia{row[4]}_utt{row[5]}.flac", 8000)
    (corpus_dir / "audios" / "dev" / "dia110_utt7.flac").unlink()
    return corpus_dir


def test_text_only(corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("meld", [str(corpus_dir), str(tmp_path / "out")]) == 0
    assert "--modality text" in capsys.readouterr().out
    assert read_manifest(tmp_path / "out" / "train.tsv")[:2] == [
        Utterance(
            "train_dia0_utt0",
            text="You must've had your hands full.",
            speaker="Joey",
            session="s08e03",
            dialogue="train_dia0",
            turn=0,
            emotion="neutral",
            sentiment="neutral",
        ),
        Utterance(
            "train_dia0_utt1",
            text="That I did...",
            speaker="Chandler's Date",
            session="s08e03",
            dialogue="train_dia0",
            turn=1,
            emotion="joy",
            sentiment="positive",
        ),
    ]
    assert [r.text for r in read_manifest(tmp_path / "out" / "valid.tsv")] == ["Hey!", "No'"]
    corpus = read_corpus(tmp_path / "out")
    assert corpus.dropped == []
    assert corpus.disjoint == ("dialogue",)
    assert validate(tmp_path / "out") == []


def test_audio_is_joined_and_bad_clips_keep_their_text(
    corpus_dir_with_audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("meld", [str(corpus_dir_with_audio), str(tmp_path / "out")]) == 0
    assert f"train with: emotion-recognize train {tmp_path / 'out'}\n" in capsys.readouterr().out
    assert read_corpus(tmp_path / "out").data_raw == str(corpus_dir_with_audio)
    first, _, corrupt = read_manifest(tmp_path / "out" / "train.tsv")
    assert (first.audio, first.n_samples) == ("audios/train/dia0_utt0.flac", 8000)
    assert (corrupt.audio, corrupt.n_samples, corrupt.text) == (None, None, "Noo.")
    dropped = read_corpus(tmp_path / "out").dropped
    assert {(d.split, d.id, d.what) for d in dropped} == {
        ("train", "train_dia125_utt3", "audio"),
        ("valid", "dev_dia110_utt7", "audio"),
        ("test", "test_dia38_utt4", "audio"),
    }
    assert all(d.reason == BAD_CLIPS[d.id] for d in dropped)
    assert validate(tmp_path / "out", corpus_dir_with_audio) == []


def test_missing_and_truncated_clips_are_listed(
    corpus_dir_with_audio: Path, tmp_path: Path, cut: Callable[[Path], Path]
) -> None:
    (corpus_dir_with_audio / "audios" / "train" / "dia0_utt0.flac").unlink()
    cut(corpus_dir_with_audio / "audios" / "train" / "dia0_utt1.flac")
    corpus = prepare_meld(corpus_dir_with_audio, tmp_path / "out")
    reasons = {d.id: d.reason for d in corpus.dropped}
    assert reasons["train_dia0_utt0"] == "clip: there is no such file"
    assert reasons["train_dia0_utt1"].startswith(("clip: unreadable", "clip: truncated"))
    assert len(reasons) == 5
    assert corpus.splits["train"]["rows"] == 3
    assert corpus.splits["train"]["with_audio"] == 0
    assert validate(tmp_path / "out", corpus_dir_with_audio) == []


def test_stereo_clips_count_per_channel_at_16_khz(
    corpus_dir_with_audio: Path, tmp_path: Path, write_sound: Callable[..., Path]
) -> None:
    clip = corpus_dir_with_audio / "audios" / "train" / "dia0_utt0.flac"
    write_sound(clip, 48_000, 48_000, channels=2)
    prepare_meld(corpus_dir_with_audio, tmp_path / "out")
    assert read_manifest(tmp_path / "out" / "train.tsv")[0].n_samples == 16_000


def test_repeated_numbers_are_dropped_and_repeated_words_reported(
    corpus_dir: Path, tmp_path: Path
) -> None:
    first = TREE["train"][0]
    write_rows(corpus_dir, "train", [first, first, ("Hi", "Ross", "joy", "positive", 1, 0)])
    corpus = prepare_meld(corpus_dir, tmp_path / "out")
    assert [(d.split, d.id, d.what) for d in corpus.dropped] == [
        ("train", "train_dia0_utt0", "row")
    ]
    assert "row 3 repeats" in corpus.dropped[0].reason
    assert corpus.splits["train"]["rows"] == 2


def test_one_utterance_under_two_dialogues_is_kept_and_noted(
    corpus_dir: Path, tmp_path: Path
) -> None:
    text = ("Hey!", "Ross", "joy", "positive")
    write_rows(corpus_dir, "train", [(*text, 1, 0)])
    write_rows(corpus_dir, "test", [(*text, 7, 2)])
    corpus = prepare_meld(corpus_dir, tmp_path / "out")
    assert corpus.notes[0].startswith("1 utterances occur more than once")
    assert [corpus.splits[s]["rows"] for s in ("train", "test")] == [1, 1]


def test_cp1252_bytes_are_read(corpus_dir: Path, tmp_path: Path) -> None:
    path = corpus_dir / "train_sent_emo.csv"
    raw = path.read_bytes().replace("\u2019".encode(), b"\x92")
    assert raw.count(b"\x92") == 2
    path.write_bytes(raw)
    prepare_meld(corpus_dir, tmp_path / "out")
    texts = [row.text for row in read_manifest(tmp_path / "out" / "train.tsv")]
    assert texts == ["You must've had your hands full.", "That I did...", "Noo."]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (("Hi", "Ross", "happy", "positive", 1, 0), "row-invalid"),
        (("Hi", "Ross", "joy", "good", 1, 0), "row-invalid"),
        (("Hi", "Ross", "joy", "positive", "x", 0), "row-invalid"),
        (("Hi", "Ross", "joy", "positive", 1, ""), "row-invalid"),
        (("Hi", "Ross", "joy", "positive", 1), "row-width"),
    ],
)
def test_a_bad_row_is_named_and_nothing_written(
    corpus_dir: Path, tmp_path: Path, row: tuple[object, ...], code: str
) -> None:
    write_rows(corpus_dir, "dev", [row])
    with raises(code) as error:
        prepare_meld(corpus_dir, tmp_path / "out")
    assert f"{corpus_dir / 'dev_sent_emo.csv'}: row 2: " in str(error.value)
    assert not (tmp_path / "out").exists()


def test_an_absent_csv_is_named(tmp_path: Path) -> None:
    with raises("table-unreadable") as error:
        prepare_meld(tmp_path, tmp_path / "out")
    assert "train_sent_emo.csv" in str(error.value)


# -- MELD.Raw --------------------------------------------------------------------------------------


@pytest.fixture
def video_dir(corpus_dir: Path, tmp_path: Path) -> Path:
    """The release's folders, with its faults: corrupt, absent, too long, macOS's files, later cuts.

    A minute of video takes seconds to write: what is cut wrongly is longer than two seconds here.
    """
    folder = tmp_path / "MELD.Raw"
    for official, rows in TREE.items():
        for row in rows:
            write_video(folder / FOLDERS[official] / f"dia{row[4]}_utt{row[5]}.mp4", 0.5)
    (folder / "train_splits" / "dia125_utt3.mp4").write_bytes(b"\0" * 4000)
    (folder / "dev_splits_complete" / "dia110_utt7.mp4").unlink()
    write_video(folder / "dev_splits_complete" / "dia66_utt9.mp4", 0.2)
    test = folder / "output_repeated_splits_test"
    write_video(test / "dia38_utt4.mp4", 3.0, rate=16_000)
    write_video(test / "final_videos_testdia0_utt0.mp4", 1.0, rate=44_100)
    (test / "._dia0_utt0.mp4").write_bytes(b"macOS")
    (test / "._final_videos_testdia0_utt0.mp4").write_bytes(b"macOS")
    return folder


def with_video(video_dir: Path, *options: str) -> list[str]:
    return ["--video", str(video_dir), "--max-seconds", "2", *options]


def test_sound_comes_out_of_the_videos(
    corpus_dir: Path, video_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main("meld", [str(corpus_dir), str(out), *with_video(video_dir)]) == 0
    assert f"train with: emotion-recognize train {out}\n" in capsys.readouterr().out
    first, second, corrupt = read_manifest(out / "train.tsv")
    assert first.audio == "audio/train/dia0_utt0.flac"
    assert first.n_samples == pytest.approx(8000, abs=200)
    assert second.audio == "audio/train/dia0_utt1.flac"
    assert (corrupt.audio, corrupt.n_samples, corrupt.text) == (None, None, "Noo.")
    later, _ = read_manifest(out / "test.tsv")
    assert later.audio == "audio/test/dia0_utt0.flac"
    assert later.n_samples == pytest.approx(16_000, abs=800)  # of the later cut
    assert sorted(path.relative_to(out).as_posix() for path in out.glob("audio/*/*")) == [
        "audio/test/dia0_utt0.flac",
        "audio/train/dia0_utt0.flac",
        "audio/train/dia0_utt1.flac",
        "audio/valid/dia0_utt0.flac",
    ]
    assert validate(out) == []


def test_every_bad_clip_is_listed_with_what_was_known_of_it(
    corpus_dir: Path, video_dir: Path, tmp_path: Path
) -> None:
    (video_dir / "train_splits" / "dia0_utt1.mp4").unlink()
    corpus = prepare_meld(corpus_dir, tmp_path / "out", video_dir=video_dir, max_seconds=2)
    sounds = [d for d in corpus.dropped if d.what == "audio"]
    assert {(d.split, d.id) for d in corpus.dropped if d.what == "video"} == {
        (d.split, d.id) for d in sounds
    }
    assert [(d.split, d.id, d.what, d.reason) for d in sounds] == [
        ("train", "train_dia0_utt1", "audio", "clip: there is no such file"),
        (
            "train",
            "train_dia125_utt3",
            "audio",
            "known bad clip: corrupt (unreadable: Format not recognised.)",
        ),
        (
            "valid",
            "dev_dia110_utt7",
            "audio",
            "known bad clip: absent from the release (there is no such file)",
        ),
        (
            "test",
            "test_dia38_utt4",
            "audio",
            "known bad clip: 305 s, cut wrongly (3.0 s long or more, over the limit of 2 s)",
        ),
    ]
    assert {s: c["with_audio"] for s, c in corpus.splits.items()} == {
        "train": 1,
        "valid": 1,
        "test": 1,
    }
    assert {s: c["with_text"] for s, c in corpus.splits.items()} == {
        "train": 3,
        "valid": 2,
        "test": 2,
    }
    assert "1 clips are later cuts of the release (final_videos_test*.mp4)" in corpus.notes
    assert "1 clips have no row in the CSVs and are not used" in corpus.notes
    assert validate(tmp_path / "out") == []


def test_a_known_bad_clip_that_somebody_mended_is_used(
    corpus_dir: Path, video_dir: Path, tmp_path: Path
) -> None:
    write_video(video_dir / "train_splits" / "dia125_utt3.mp4", 0.5)
    corpus = prepare_meld(corpus_dir, tmp_path / "out", video_dir=video_dir, max_seconds=2)
    assert read_manifest(tmp_path / "out" / "train.tsv")[2].audio == "audio/train/dia125_utt3.flac"
    assert "bad in the release, but not in this copy: train_dia125_utt3" in corpus.notes


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_twice_the_same_bytes_and_no_flac_made_twice(
    corpus_dir: Path, video_dir: Path, tmp_path: Path
) -> None:
    options = {"video_dir": video_dir, "max_seconds": 2.0}
    prepare_meld(corpus_dir, tmp_path / "one", **options, workers=1)  # type: ignore[arg-type]
    prepare_meld(corpus_dir, tmp_path / "two", **options, workers=3)  # type: ignore[arg-type]
    first = files_of(tmp_path / "one")
    assert first == files_of(tmp_path / "two")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*.flac")}
    prepare_meld(corpus_dir, tmp_path / "one", **options)  # type: ignore[arg-type]
    assert files_of(tmp_path / "one") == first
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_folders_in_one_a_split_are_found(
    corpus_dir: Path, video_dir: Path, tmp_path: Path
) -> None:
    for official, name in FOLDERS.items():
        (video_dir / official).mkdir()
        (video_dir / name).rename(video_dir / official / name)
    corpus = prepare_meld(corpus_dir, tmp_path / "out", video_dir=video_dir, max_seconds=2)
    assert [c["with_audio"] for c in corpus.splits.values()] == [2, 1, 1]


def test_the_folder_videos_beside_the_tables_is_read(
    corpus_dir: Path, video_dir: Path, tmp_path: Path
) -> None:
    videos = corpus_dir / "videos"
    videos.mkdir()
    for official, name in FOLDERS.items():
        (video_dir / name).rename(videos / official)
    out = tmp_path / "out"
    corpus = prepare_meld(corpus_dir, out, max_seconds=2)
    assert corpus.video_raw == str(videos)
    assert [c["with_audio"] for c in corpus.splits.values()] == [2, 1, 1]
    assert [c["with_video"] for c in corpus.splits.values()] == [2, 1, 1]
    first, _, corrupt = read_manifest(out / "train.tsv")
    assert (first.video, corrupt.video) == ("train/dia0_utt0.mp4", None)
    later, too_long = read_manifest(out / "test.tsv")
    assert later.video == "test/final_videos_testdia0_utt0.mp4"
    assert too_long.video is None
    (reason,) = (d.reason for d in corpus.dropped if (d.id, d.what) == (too_long.id, "video"))
    assert "longer than 2 s" in reason
    assert validate(out) == []
    (videos / "train" / "dia0_utt0.mp4").unlink()
    (fault,) = validate(out)
    assert (fault.row, fault.code) == (2, "video-invalid")


def test_a_folder_that_is_not_there_is_named_and_nothing_written(
    corpus_dir: Path, video_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (video_dir / "dev_splits_complete").rename(video_dir / "elsewhere")
    assert main("meld", [str(corpus_dir), str(tmp_path / "out"), *with_video(video_dir)]) == 1
    assert "[corpus-layout]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--max-seconds", "2"], "option-unused"),
        (["--video", "MELD.Raw", "--max-seconds", "0"], "duration-out-of-range"),
    ],
)
def test_a_limit_without_effect_or_clips_is_refused(
    corpus_dir: Path,
    video_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main("meld", [str(corpus_dir), str(tmp_path / "out"), *options]) == 2
    assert f"[{code}]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def seconds(time: str) -> float:
    hours, minutes, rest = time.replace(",", ".").split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


@pytest.mark.realdata
def test_the_limit_leaves_out_what_is_cut_wrongly_and_no_more(
    real_data: Callable[[str], Path],
) -> None:
    """By the times in the official CSVs, with five seconds to spare."""
    over = set()
    for official in FOLDERS:
        path = real_data("meld") / f"{official}_sent_emo.csv"
        for row in csv.DictReader(path.open(encoding="latin-1")):
            length = seconds(row["EndTime"]) - seconds(row["StartTime"])
            if length > MAX_SECONDS - 5:
                assert length > MAX_SECONDS + 5
                over.add(f"{official}_dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}")
    assert over == {name for name, reason in BAD_CLIPS.items() if "cut wrongly" in reason}


def test_clip_names() -> None:
    assert clip_of("train_dia0_utt3") == "audios/train/dia0_utt3.flac"
    assert len(BAD_CLIPS) == 5


@pytest.mark.realdata
def test_the_real_corpus(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    assert main("meld", [str(real_data("meld")), str(tmp_path)]) == 0
    corpus = read_corpus(tmp_path)
    assert {s: c["rows"] for s, c in corpus.splits.items()} == {
        "train": 9989,
        "valid": 1109,
        "test": 2610,
    }
    assert {s: c["with_text"] for s, c in corpus.splits.items()} == {
        "train": 9989,
        "valid": 1109,
        "test": 2610,
    }
    assert corpus.splits["test"]["emotion"] == {
        "neutral": 1256,
        "joy": 402,
        "sadness": 208,
        "anger": 345,
        "fear": 50,
        "disgust": 68,
        "surprise": 281,
    }
    assert corpus.splits["train"]["sentiment"] == {
        "neutral": 4710,
        "positive": 2334,
        "negative": 2945,
    }
    assert [corpus.splits[s]["dialogues"] for s in ("train", "valid", "test")] == [1038, 114, 280]
    assert corpus.notes[0].startswith("11 utterances occur more than once")
    rows = [row for s in corpus.splits for row in read_manifest(tmp_path / f"{s}.tsv")]
    assert {c for row in rows for c in row.text or "" if not c.isascii()} == {"\u00e9", "\u00f3"}
    assert validate(tmp_path) == []
