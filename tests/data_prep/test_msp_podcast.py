from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from data_prep.audio.decoding import Reader
from data_prep.audio.opening import open_audio
from data_prep.commands.prepare import main
from data_prep.commands.validate import validate
from data_prep.corpora.msp_podcast import (
    COLUMNS,
    LABELS,
    prepare_msp_podcast,
)
from data_prep.schema import Corpus, Utterance, read_corpus, read_manifest

ROWS = [
    "MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.5,30,Male,Train",
    "MSP-PODCAST_0001_0009.wav,A,7.0,1.0,5.5,30,Male,Train",
    "MSP-PODCAST_0002_0001_0001.wav,C,4.0,4.0,4.0,Unknown,Unknown,Train",
    "MSP-PODCAST_0003_0001.wav,H,4.0,5.5,4.0,41,Female,Development",
    "MSP-PODCAST_0004_0001.wav,X,4.0,4.0,4.0,42,Female,Test1",
    "MSP-PODCAST_0005_0001.wav,O,4.0,4.0,4.0,Unknown,Female,Test2",
    "MSP-PODCAST_test3_0002.wav,N,4.0,4.0,4.0,30,Male,Test3",
]
SPLITS = ("train", "valid", "test1", "test2", "test3")


@pytest.fixture
def corpus_dir(tmp_path: Path, write_sound: Callable[..., Path]) -> Path:
    """Seven rows as distributed, with a transcript each but for test3, and one more of test3."""
    root = tmp_path / "MSP-PODCAST"
    write_table(root, *ROWS)
    (root / "Transcripts").mkdir()
    for row in ROWS:
        name = row.split(".wav")[0]
        write_sound(root / "Audios" / f"{name}.wav", 1600)
        if "test3" not in name:
            (root / "Transcripts" / f"{name}.txt").write_text(f"so {name[-4:]}\n")
    write_sound(root / "Audios" / "MSP-PODCAST_test3_0001.wav", 3200)
    return root


def write_table(root: Path, *rows: str, header: str = ",".join(COLUMNS)) -> None:
    (root / "Labels").mkdir(parents=True, exist_ok=True)
    (root / "Labels" / "labels_consensus.csv").write_text("\n".join([header, *rows]) + "\n")


def rows_of(out_dir: Path) -> dict[str, list[Utterance]]:
    return {split: read_manifest(out_dir / f"{split}.tsv") for split in read_corpus(out_dir).splits}


def note(corpus: Corpus, what: str) -> str:
    (found,) = (note for note in corpus.notes if what in note)
    return found


def test_columns_are_read_by_name(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main("msp_podcast", [str(corpus_dir), str(out)]) == 0
    assert f"train with: --data {out} --data-raw {corpus_dir}\n" in capsys.readouterr().out
    splits = rows_of(out)
    assert tuple(splits) == SPLITS
    assert splits["train"][1] == Utterance(
        "MSP-PODCAST_0001_0009",
        audio="Audios/MSP-PODCAST_0001_0009.wav",
        n_samples=1600,
        text="so 0009",
        speaker="30",
        session="MSP-PODCAST_0001",
        emotion="angry",
        valence=0.0,
        arousal=1.0,
        dominance=0.75,
        extra={"label": "angry", "gender": "male"},
    )
    unknown = splits["train"][2]
    assert (unknown.speaker, unknown.extra) == (None, {"label": "contempt"})
    assert unknown.session == "MSP-PODCAST_0002"
    assert read_corpus(out).dropped == []
    assert validate(out, corpus_dir) == []


def test_columns_in_another_order_are_the_same(corpus_dir: Path, tmp_path: Path) -> None:
    prepare_msp_podcast(corpus_dir, tmp_path / "a")
    order = [3, 0, 7, 5, 4, 2, 1, 6]
    turned = [",".join(row.split(",")[i] for i in order) for row in ROWS]
    write_table(corpus_dir, *turned, header=",".join(COLUMNS[i] for i in order))
    prepare_msp_podcast(corpus_dir, tmp_path / "b")
    for split in SPLITS:
        a, b = (tmp_path / name / f"{split}.tsv" for name in "ab")
        assert a.read_bytes() == b.read_bytes()


def test_test3_has_recordings_and_nothing_else(corpus_dir: Path, tmp_path: Path) -> None:
    corpus = prepare_msp_podcast(corpus_dir, tmp_path / "out")
    assert rows_of(tmp_path / "out")["test3"] == [
        Utterance(
            "MSP-PODCAST_test3_0002", audio="Audios/MSP-PODCAST_test3_0002.wav", n_samples=1600
        ),
        Utterance(
            "MSP-PODCAST_test3_0001", audio="Audios/MSP-PODCAST_test3_0001.wav", n_samples=3200
        ),
    ]
    assert note(corpus, "name no speaker").startswith("4 rows name no speaker")


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (["--classes", "8"], ["neutral", "angry", "contempt", "happy", None, None]),
        (["--classes", "4"], ["neutral", "angry", None, "happy", None, None]),
        (["--keep-other"], ["neutral", "angry", "contempt", "happy", None, "other"]),
        (
            ["--classes", "4", "--keep-no-agreement"],
            ["neutral", "angry", None, "happy", "no_agreement", None],
        ),
    ],
)
def test_class_maps_empty_labels_and_keep_every_row(
    corpus_dir: Path, tmp_path: Path, options: list[str], labels: list[str | None]
) -> None:
    out = tmp_path / "out"
    assert main("msp_podcast", [str(corpus_dir), str(out), *options]) == 0
    rows = [row for split, rows in rows_of(out).items() if split != "test3" for row in rows]
    assert [row.emotion for row in rows] == labels
    assert all(row.valence is not None for row in rows)
    corpus = read_corpus(out)
    assert note(corpus, "of no class").startswith(f"{labels.count(None)} rows")
    assert set(labels) - {None} <= set(corpus.labels["emotion"])
    assert validate(out, corpus_dir) == []


@pytest.mark.parametrize(
    "words",
    [
        dict(zip(LABELS, LABELS, strict=True)),
        {letter: name.capitalize() for letter, name in LABELS.items()},
        {"A": "Anger", "H": "Happiness", "N": "neutral", "X": "No agreement", "O": "Other"},
        {"A": "angry", "H": "happy", "N": "Neutral", "X": "No-Agreement", "C": "Contempt"},
    ],
)
def test_letters_and_words_say_the_same(
    corpus_dir: Path, tmp_path: Path, words: dict[str, str]
) -> None:
    prepare_msp_podcast(corpus_dir, tmp_path / "a")
    coded = []
    for row in ROWS:
        name, letter, *rest = row.split(",")
        coded.append(",".join([name, words.get(letter, letter), *rest]))
    write_table(corpus_dir, *coded)
    prepare_msp_podcast(corpus_dir, tmp_path / "b")
    for split in SPLITS:
        a, b = (tmp_path / name / f"{split}.tsv" for name in "ab")
        assert a.read_bytes() == b.read_bytes()


def test_faults_are_listed_each_with_its_reason(
    corpus_dir: Path, tmp_path: Path, cut: Callable[[Path], Path]
) -> None:
    write_table(
        corpus_dir,
        *ROWS,
        ROWS[0],
        "MSP-PODCAST_0006_0001.wav,S,7.5,4.0,4.0,9,Male,Train",
        "MSP-PODCAST_0006_0002.wav,S,,nan,4.0,9,Male,Train",
    )
    cut(corpus_dir / "Audios" / "MSP-PODCAST_0001_0009.wav")
    (corpus_dir / "Audios" / "MSP-PODCAST_0003_0001.wav").unlink()
    (corpus_dir / "Transcripts" / "MSP-PODCAST_0003_0001.txt").unlink()
    (corpus_dir / "Transcripts" / "MSP-PODCAST_0004_0001.txt").write_text("\n")
    (corpus_dir / "Transcripts" / "MSP-PODCAST_0006_0001.txt").write_text("Well\n")
    (corpus_dir / "Transcripts" / "MSP-PODCAST_0006_0002.txt").write_text("No\n")
    (corpus_dir / "Audios" / "._MSP-PODCAST_test3_0009.wav").write_bytes(b"finder")
    corpus = prepare_msp_podcast(corpus_dir, tmp_path / "out")
    reasons = {(d.split, d.id[12:], d.what): d.reason for d in corpus.dropped}
    assert reasons.pop(("train", "0001_0009", "audio")).startswith("audio: truncated")
    assert reasons == {
        ("train", "0001_0008", "row"): "row 9 repeats the recording of row 2",
        ("train", "0006_0001", "arousal"): "7.5 lies outside 1 to 7",
        ("train", "0006_0002", "arousal"): "not rated",
        ("train", "0006_0002", "valence"): "not rated",
        ("train", "0006_0001", "audio"): "audio: there is no such file",
        ("train", "0006_0002", "audio"): "audio: there is no such file",
        ("valid", "0003_0001", "text"): "no transcript",
        ("valid", "0003_0001", "row"): "audio: there is no such file, and no text",
        ("test1", "0004_0001", "text"): "the transcript is blank",
    }
    splits = rows_of(tmp_path / "out")
    assert {split: len(rows) for split, rows in splits.items()} == {
        "train": 5,
        "test1": 1,
        "test2": 1,
        "test3": 2,
    }
    half = splits["train"][3]
    assert (half.valence, half.arousal, half.dominance) == (0.5, None, 0.5)
    half = splits["train"][4]
    assert (half.valence, half.arousal, half.dominance) == (None, None, 0.5)
    assert validate(tmp_path / "out", corpus_dir) == []


def test_what_partitions_share_is_said(corpus_dir: Path, tmp_path: Path) -> None:
    assert not any("more than one split" in n for n in prepare_notes(corpus_dir, tmp_path / "a"))
    write_table(corpus_dir, *ROWS, "MSP-PODCAST_0001_0099.wav,N,4,4,4,30,Male,Test1")
    notes = prepare_notes(corpus_dir, tmp_path / "b")
    assert "1 speakers are in more than one split: 30" in notes
    assert "1 podcasts are in more than one split: MSP-PODCAST_0001" in notes


def prepare_notes(corpus_dir: Path, out_dir: Path) -> list[str]:
    return prepare_msp_podcast(corpus_dir, out_dir).notes


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("clip.wav,N,4,4,4,9,Male,Train", "row 9: FileName is 'clip.wav', not like MSP-"),
        ("MSP-PODCAST_9_1.wav,Q,4,4,4,9,Male,Train", "row 9: EmoClass is 'Q', none of N, S"),
        ("MSP-PODCAST_9_1.wav,N,4,four,4,9,Male,Train", "row 9: EmoVal is 'four', no number"),
        ("MSP-PODCAST_9_1.wav,N,4,4,4,9,Male,Dev", "row 9: Split_Set is 'Dev', none of train"),
        ("MSP-PODCAST_9_1.wav,N,4,4,4,9,Male", "row 9: 7 fields where the header has 8"),
    ],
)
def test_a_bad_row_is_named_and_nothing_written(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, message: str
) -> None:
    write_table(corpus_dir, *ROWS, row)
    assert main("msp_podcast", [str(corpus_dir), str(tmp_path / "out")]) == 1
    table = corpus_dir / "Labels" / "labels_consensus.csv"
    assert f"error: {table}: {message}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_layout_is_named(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main("msp_podcast", [str(tmp_path), str(out)]) == 1
    assert "no Labels/labels_consensus.csv; name the folder with Labels/" in capsys.readouterr().err
    (corpus_dir / "Audios").rename(corpus_dir / "Sounds")
    assert main("msp_podcast", [str(corpus_dir), str(out)]) == 1
    assert "none of 7 recordings is there, such as Audios/MSP" in capsys.readouterr().err
    (corpus_dir / "Sounds").rename(corpus_dir / "Audio")
    assert main("msp_podcast", [str(corpus_dir), str(out)]) == 0
    assert rows_of(out)["train"][0].audio == "Audio/MSP-PODCAST_0001_0008.wav"
    write_table(corpus_dir, *ROWS, header=",".join(COLUMNS).replace("EmoVal", "Valence"))
    assert main("msp_podcast", [str(corpus_dir), str(out)]) == 1
    assert "row 1: no column EmoVal; its columns are FileName" in capsys.readouterr().err


def test_text_only(corpus_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main("msp_podcast", [str(corpus_dir), str(out), "--text-only"]) == 0
    assert tuple(rows_of(out)) == SPLITS[:4]
    assert [(d.id, d.reason) for d in read_corpus(out).dropped] == [
        ("MSP-PODCAST_test3_0002", "no text, and text only was asked for")
    ]
    assert validate(out) == []


def test_no_transcripts_is_said(corpus_dir: Path, tmp_path: Path) -> None:
    (corpus_dir / "Transcripts").rename(tmp_path / "elsewhere")
    corpus = prepare_msp_podcast(corpus_dir, tmp_path / "out")
    assert note(corpus, "no transcripts") == "no transcripts: there is no Transcripts"
    assert corpus.splits["train"]["with_text"] == 0
    assert validate(tmp_path / "out", corpus_dir) == []


def test_twice_the_same_bytes_and_only_changed_files_are_decoded(
    corpus_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_sound: Callable[..., Path],
) -> None:
    out = tmp_path / "out"
    prepare_msp_podcast(corpus_dir, out)
    written = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    prepare_msp_podcast(corpus_dir, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == written
    changed = write_sound(corpus_dir / "Audios" / "MSP-PODCAST_0001_0008.wav", 2000)
    lengths = out / ".audio_lengths.tsv"
    lengths.write_text(lengths.read_text() + "Audios/MSP-PODC")  # cut short in writing
    decoded = []

    def count(path: Path, *rest: object, **limits: Any) -> AbstractContextManager[Reader]:
        decoded.append(path)
        return open_audio(path, **limits)

    monkeypatch.setattr("data_prep.audio.loading.open_audio", count)
    prepare_msp_podcast(corpus_dir, out)
    assert decoded == [changed]
    assert rows_of(out)["train"][0].n_samples == 2000
    prepare_msp_podcast(corpus_dir, out)
    assert decoded == [changed]
