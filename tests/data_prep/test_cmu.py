"""CMU-MOSI and CMU-MOSEI in MMSA's layout."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from codes import raises
from video_clips import write_video

from data_prep.commands.prepare import main
from data_prep.commands.validate import validate
from data_prep.corpora import (
    cmu_mosi,
)
from data_prep.corpora.cmu_mosei import CMU_MOSEI
from data_prep.corpora.cmu_mosi import CMU_MOSI, prepare_cmu_mosi
from data_prep.corpora.mmsa import RULE, prepare_mmsa
from data_prep.schema import Utterance, read_corpus, read_manifest

HEADER = ("video_id", "clip_id", "text", "label", "label_T", "label_A", "label_V")
# video, clip, text, label, annotation, mode
ROWS: list[tuple[object, ...]] = [
    ("03bSnISJMiM", 11, "A LOT OF SAD PARTS", -2.2, "Negative", "train"),
    ("03bSnISJMiM", 2, "THERE IS SAD PART", "0.0", "Neutral", "train"),
    ("-_dI--eQ6qVU", 1, "I\u2019M IN LOVE WITH IT\u2026", 3.0, "Positive", "train"),
    ("73jzhE8R1TQ", "3_13", "um  Nothing new", -0.3333333134651184, "Negative", "valid"),
    ("73jzhE8R1TQ", "3_2", "it is what it is", 0, "Neutral", "valid"),
    ("5W7Z1C_fDaE", 9, "", 1.4, "Positive", "test"),
    ("5W7Z1C_fDaE", 10, "Yes", 0.6, "", "test"),
]


def write_labels(folder: Path, rows: list[tuple[object, ...]]) -> Path:
    """In the column order of MOSI's label.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "label.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*HEADER, "annotation", "mode"])
        for *first, label, annotation, mode in rows:
            writer.writerow([*first, label, "", "", "", annotation, mode])
    return folder


@pytest.fixture
def corpus_dir(tmp_path: Path) -> Path:
    return write_labels(tmp_path / "MOSI", ROWS)


@pytest.fixture
def with_clips(corpus_dir: Path) -> Path:
    for video, clip, *_ in ROWS:
        write_video(corpus_dir / "Raw" / str(video) / f"{clip}.mp4", 0.5)
    return corpus_dir


def rows_of(out: Path) -> dict[str, Utterance]:
    return {u.id: u for s in read_corpus(out).splits for u in read_manifest(out / f"{s}.tsv")}


def test_rows_with_sound(
    with_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main("cmu_mosi", [str(with_clips), str(out)]) == 0
    assert (
        f"train with: emotion-recognize train {out} --target sentiment_score\n"
        in capsys.readouterr().out
    )
    rows = rows_of(out)
    first = rows["03bSnISJMiM_11"]
    assert first.n_samples == pytest.approx(8000, abs=200)
    assert first == Utterance(
        "03bSnISJMiM_11",
        audio="audio/train/03bSnISJMiM_11.flac",
        n_samples=first.n_samples,
        text="A LOT OF SAD PARTS",
        speaker="03bSnISJMiM",
        dialogue="03bSnISJMiM",
        turn=11,
        sentiment="negative",
        sentiment_score=-2.2,
        video="03bSnISJMiM/11.mp4",
    )
    assert rows["-_dI--eQ6qVU_1"].text == "I'M IN LOVE WITH IT..."
    assert rows["73jzhE8R1TQ_3_13"].sentiment_score == -0.3333333134651184
    assert rows["5W7Z1C_fDaE_9"].text is None  # but its sound is there
    assert rows["5W7Z1C_fDaE_10"].sentiment is None
    corpus = read_corpus(out)
    assert corpus.video_raw == str(with_clips / "Raw")
    assert {s: c["rows"] for s, c in corpus.splits.items()} == {"train": 3, "valid": 2, "test": 2}
    assert corpus.splits["train"]["sentiment"] == {"negative": 1, "neutral": 1, "positive": 1}
    assert [(d.id, d.what) for d in corpus.dropped] == [("5W7Z1C_fDaE_10", "sentiment")]
    assert corpus.disjoint == ("dialogue",)
    assert RULE in corpus.notes
    assert "official train/valid/test (1284/229/686 rows)" in corpus.protocol
    assert validate(out) == []


def test_mosei_names_no_speakers(corpus_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main("cmu_mosei", [str(corpus_dir), str(out)]) == 0
    assert {row.speaker for row in rows_of(out).values()} == {None}
    corpus = read_corpus(out)
    assert corpus.name == "cmu_mosei"
    assert any(note.startswith("speaker is empty") for note in corpus.notes)
    assert "(16326/1871/4659 rows)" in corpus.protocol


def test_turns_are_clip_numbers_or_places(corpus_dir: Path, tmp_path: Path) -> None:
    corpus = prepare_mmsa(CMU_MOSI, corpus_dir, tmp_path / "out")
    turns = {name: row.turn for name, row in rows_of(tmp_path / "out").items()}
    assert (turns["03bSnISJMiM_11"], turns["03bSnISJMiM_2"]) == (11, 2)
    assert (turns["73jzhE8R1TQ_3_2"], turns["73jzhE8R1TQ_3_13"]) == (0, 1)
    assert "turn is the rank of the clip in 1 videos" in corpus.notes


def test_without_clips_it_is_text_only(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main("cmu_mosi", [str(corpus_dir), str(out)]) == 0
    assert "--target sentiment_score --modality text" in capsys.readouterr().out
    corpus = read_corpus(out)
    assert "text only: no Raw/ in the corpus folder" in corpus.notes
    assert [(d.split, d.id, d.reason, d.what) for d in corpus.dropped] == [
        ("test", "5W7Z1C_fDaE_10", "annotation is blank", "sentiment"),
        ("test", "5W7Z1C_fDaE_9", "neither text, audio nor video", "row"),
    ]
    assert len(rows_of(out)) == 6
    assert validate(out) == []


def test_clips_can_be_left_alone(with_clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main("cmu_mosi", [str(with_clips), str(out), "--text-only"]) == 0
    assert not (out / "audio").exists()
    assert "text only: as asked" in read_corpus(out).notes
    with raises("option-unused"):
        prepare_cmu_mosi(with_clips, out, text_only=True, max_seconds=3)


def test_bad_clips_are_listed_and_their_text_kept(with_clips: Path, tmp_path: Path) -> None:
    raw = with_clips / "Raw"
    (raw / "03bSnISJMiM" / "2.mp4").unlink()
    (raw / "5W7Z1C_fDaE" / "9.mp4").write_bytes(b"")
    write_video(raw / "5W7Z1C_fDaE" / "10.mp4", 1.5, rate=16_000)
    write_video(raw / "73jzhE8R1TQ" / "3_2.mp4", sound=False)
    corpus = prepare_mmsa(CMU_MOSEI, with_clips, tmp_path / "out", max_seconds=1)
    assert [(d.split, d.id, d.what, d.reason) for d in corpus.dropped] == [
        ("test", "5W7Z1C_fDaE_10", "sentiment", "annotation is blank"),
        ("train", "03bSnISJMiM_2", "audio", "clip: there is no such file"),
        ("valid", "73jzhE8R1TQ_3_2", "audio", "clip: holds no audio stream"),
        ("test", "5W7Z1C_fDaE_9", "audio", "clip: the file is empty (0 bytes)"),
        (
            "test",
            "5W7Z1C_fDaE_10",
            "audio",
            "clip: 1.5 s long or more, over the limit of 1 s",
        ),
        ("train", "03bSnISJMiM_2", "video", "clip: there is no such file"),
        ("test", "5W7Z1C_fDaE_9", "video", "clip: the file is empty (0 bytes)"),
        ("test", "5W7Z1C_fDaE_10", "video", "clip: 1.5 s, longer than 1 s"),
        ("test", "5W7Z1C_fDaE_9", "row", "neither text, audio nor video"),
    ]
    filmed = rows_of(tmp_path / "out")["73jzhE8R1TQ_3_2"]
    assert (filmed.audio, filmed.video) == (None, "73jzhE8R1TQ/3_2.mp4")
    assert len(rows_of(tmp_path / "out")) == 6
    assert validate(tmp_path / "out") == []


def test_twice_the_same_bytes(with_clips: Path, tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2), ("one", 2)):
        prepare_mmsa(CMU_MOSI, with_clips, tmp_path / name, workers=workers)
    one, two = (
        {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        for out in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    assert len([path for path in one if path.suffix == ".flac"]) == len(ROWS)


# -- faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        ("v", 1, "Hi", 3.2, "Positive", "train"),
        ("v", 1, "Hi", "nan", "Positive", "train"),
        ("v", 1, "Hi", "", "Positive", "train"),
        ("v", 1, "Hi", 1, "Happy", "train"),
        ("v", 1, "Hi", 1, "Positive", "dev"),
        ("../v", 1, "Hi", 1, "Positive", "train"),
        ("v", "..", "Hi", 1, "Positive", "train"),
        ("v", "", "Hi", 1, "Positive", "train"),
    ],
)
def test_a_bad_row_is_named_and_nothing_written(tmp_path: Path, row: tuple[object, ...]) -> None:
    folder = write_labels(tmp_path / "raw", [*ROWS, row])
    with raises("row-invalid") as error:
        prepare_cmu_mosi(folder, tmp_path / "out")
    assert f"{folder / 'label.csv'}: row 9: " in str(error.value)
    assert not (tmp_path / "out").exists()


def test_an_absent_table_or_column_is_refused(tmp_path: Path) -> None:
    with raises("table-unreadable"):
        prepare_cmu_mosi(tmp_path, tmp_path / "out")
    (tmp_path / "label.csv").write_text("video_id,clip_id,text,label\n", encoding="utf-8")
    with raises("column-missing"):
        prepare_cmu_mosi(tmp_path, tmp_path / "out")


def test_a_repeated_clip_is_dropped(tmp_path: Path) -> None:
    folder = write_labels(tmp_path / "raw", [*ROWS, ROWS[0]])
    corpus = prepare_mmsa(CMU_MOSI, folder, tmp_path / "out", text_only=True)
    assert ("train", "03bSnISJMiM_11", "row 9 repeats the video and clip of row 2") in [
        (d.split, d.id, d.reason) for d in corpus.dropped
    ]
    assert corpus.splits["train"]["rows"] == 3


def test_two_clips_with_one_id_are_refused(tmp_path: Path) -> None:
    odd = ("73jzhE8R1TQ_3", 13, "Other words", 1, "Positive", "test")
    folder = write_labels(tmp_path / "raw", [*ROWS, odd])
    with raises("id-ambiguous") as error:
        prepare_cmu_mosi(folder, tmp_path / "out")
    assert "row 9: video 73jzhE8R1TQ_3 with clip 13, and video 73jzhE8R1TQ with" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_contradictions_and_shared_videos_are_said(tmp_path: Path) -> None:
    odd = [
        ("03bSnISJMiM", 12, "Hi", 1.0, "Negative", "valid"),
        ("03bSnISJMiM", 13, "Ho", 0.2, "NEUTRAL", "train"),
    ]
    folder = write_labels(tmp_path / "raw", [*ROWS, *odd])
    corpus = prepare_mmsa(CMU_MOSEI, folder, tmp_path / "out")
    assert (
        "annotation contradicts the sign of the score: 2 x (03bSnISJMiM_13, 03bSnISJMiM_12)"
        in corpus.notes
    )
    assert "1 videos have clips in more than one split: 03bSnISJMiM" in corpus.notes
    assert corpus.disjoint == ()
    assert validate(tmp_path / "out") == []


def test_other_counts_than_the_official_ones_are_warned_of(
    corpus_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = prepare_mmsa(CMU_MOSI, corpus_dir, tmp_path / "out")
    said = "train has 3 rows, where the official split has 1284"
    assert said in corpus.notes
    assert said in caplog.text


@pytest.fixture
def full_copy(tmp_path: Path) -> Callable[..., Path]:
    """As many rows as the official splits have."""

    def write(counts: dict[str, int]) -> Path:
        rows: list[tuple[object, ...]] = [
            (f"{mode}{number // 20}", number % 20, "Fine", 1.0, "Positive", mode)
            for mode, count in counts.items()
            for number in range(count)
        ]
        return write_labels(tmp_path / "full", rows)

    return write


@pytest.mark.parametrize("kind", [CMU_MOSI, CMU_MOSEI], ids=lambda kind: kind.name)
def test_a_full_copy_is_not_warned_of(
    kind: cmu_mosi.MmsaCorpus,
    full_copy: Callable[..., Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    corpus = prepare_mmsa(kind, full_copy(dict(kind.official)), tmp_path / "out")
    assert {s: c["rows"] for s, c in corpus.splits.items()} == kind.official
    assert "official split has" not in caplog.text
    assert not any("official split has" in note for note in corpus.notes)
