from pathlib import Path

import pytest
from codes import raises
from recorded_corpora import (
    PODCAST_ROWS,
    WriteSound,
    write_msp_podcast,
    write_podcast_table,
)

from data_prep.commands.prepare import main
from data_prep.commands.validate import validate
from data_prep.corpora.msp_podcast import (
    COLUMNS,
    LABELS,
    prepare_msp_podcast,
)
from data_prep.schema import Corpus, Utterance, read_corpus, read_manifest

SPLITS = ("train", "valid", "test1", "test2", "test3")


@pytest.fixture
def corpus_dir(tmp_path: Path, write_sound: WriteSound) -> Path:
    """Seven rows as distributed, with a transcript each but for test3, and one more of test3."""
    return write_msp_podcast(tmp_path / "MSP-PODCAST", write_sound)


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
    assert f"train with: emotion-recognize train {out}\n" in capsys.readouterr().out
    assert read_corpus(out).data_raw == str(corpus_dir)
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
    turned = [",".join(row.split(",")[i] for i in order) for row in PODCAST_ROWS]
    write_podcast_table(corpus_dir, *turned, header=",".join(COLUMNS[i] for i in order))
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
    assert note(corpus, "no speaker").startswith("4 rows have no speaker")


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
    for row in PODCAST_ROWS:
        name, letter, *rest = row.split(",")
        coded.append(",".join([name, words.get(letter, letter), *rest]))
    write_podcast_table(corpus_dir, *coded)
    prepare_msp_podcast(corpus_dir, tmp_path / "b")
    for split in SPLITS:
        a, b = (tmp_path / name / f"{split}.tsv" for name in "ab")
        assert a.read_bytes() == b.read_bytes()


def test_faults_are_listed_each_with_its_reason(corpus_dir: Path, tmp_path: Path) -> None:
    write_podcast_table(
        corpus_dir,
        *PODCAST_ROWS,
        PODCAST_ROWS[0],
        "MSP-PODCAST_0006_0001.wav,S,7.5,4.0,4.0,9,Male,Train",
        "MSP-PODCAST_0006_0002.wav,S,,nan,4.0,9,Male,Train",
    )
    (corpus_dir / "Transcripts" / "MSP-PODCAST_0006_0001.txt").write_text("Well\n")
    (corpus_dir / "Transcripts" / "MSP-PODCAST_0006_0002.txt").write_text("No\n")
    (corpus_dir / "Audios" / "._MSP-PODCAST_test3_0009.wav").write_bytes(b"finder")
    with raises("vad-out-of-scale"):
        prepare_msp_podcast(corpus_dir, tmp_path / "out")
    corpus = prepare_msp_podcast(corpus_dir, tmp_path / "out", out_of_scale="drop-axis")
    reasons = {(d.split, d.id[12:], d.what): d.reason for d in corpus.dropped}
    assert reasons == {
        ("train", "0001_0008", "row"): "row 9 repeats the recording of row 2",
        ("train", "0006_0001", "arousal"): "7.5 lies outside 1 to 7",
        ("train", "0006_0002", "arousal"): "not rated",
        ("train", "0006_0002", "valence"): "not rated",
        ("train", "0006_0001", "audio"): "audio: there is no such file",
        ("train", "0006_0002", "audio"): "audio: there is no such file",
    }
    splits = rows_of(tmp_path / "out")
    assert {split: len(rows) for split, rows in splits.items()} == {
        "train": 5,
        "valid": 1,
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
    write_podcast_table(
        corpus_dir, *PODCAST_ROWS, "MSP-PODCAST_0001_0099.wav,N,4,4,4,30,Male,Test1"
    )
    notes = prepare_notes(corpus_dir, tmp_path / "b")
    assert "1 speakers are in more than one split: 30" in notes
    assert "1 podcasts are in more than one split: MSP-PODCAST_0001" in notes


def prepare_notes(corpus_dir: Path, out_dir: Path) -> list[str]:
    return prepare_msp_podcast(corpus_dir, out_dir).notes


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("clip.wav,N,4,4,4,9,Male,Train", "row-invalid"),
        ("MSP-PODCAST_9_1.wav,Q,4,4,4,9,Male,Train", "row-invalid"),
        ("MSP-PODCAST_9_1.wav,N,4,four,4,9,Male,Train", "row-invalid"),
        ("MSP-PODCAST_9_1.wav,N,4,4,4,9,Male,Dev", "row-invalid"),
        ("MSP-PODCAST_9_1.wav,N,4,4,4,9,Male", "row-width"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused(
    corpus_dir: Path, tmp_path: Path, row: str, code: str
) -> None:
    write_podcast_table(corpus_dir, *PODCAST_ROWS, row)
    with raises(code) as error:
        prepare_msp_podcast(corpus_dir, tmp_path / "out")
    assert "labels_consensus.csv: row 9: " in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_table_of_earlier_releases_is_read(corpus_dir: Path, tmp_path: Path) -> None:
    prepare_msp_podcast(corpus_dir, tmp_path / "a")
    table = corpus_dir / "Labels" / "labels_consensus.csv"
    text = table.read_text().replace("Development", "Validation")
    table.rename(table.with_name("labels_concensus.csv")).write_text(text)
    prepare_msp_podcast(corpus_dir, tmp_path / "b")
    for split in SPLITS:
        a, b = (tmp_path / name / f"{split}.tsv" for name in "ab")
        assert a.read_bytes() == b.read_bytes()
    table.write_text(text)
    with raises("corpus-layout") as error:
        prepare_msp_podcast(corpus_dir, tmp_path / "c")
    assert "both Labels/labels_consensus.csv and Labels/labels_concensus.csv" in str(error.value)


def test_another_layout_is_refused(corpus_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with raises("corpus-layout"):
        prepare_msp_podcast(tmp_path, out)
    (corpus_dir / "Audios").rename(corpus_dir / "Audio")
    prepare_msp_podcast(corpus_dir, out)
    assert rows_of(out)["train"][0].audio == "Audio/MSP-PODCAST_0001_0008.wav"
    write_podcast_table(
        corpus_dir, *PODCAST_ROWS, header=",".join(COLUMNS).replace("EmoVal", "Valence")
    )
    with raises("column-missing"):
        prepare_msp_podcast(corpus_dir, out)


def test_no_transcripts_is_said(corpus_dir: Path, tmp_path: Path) -> None:
    (corpus_dir / "Transcripts").rename(tmp_path / "elsewhere")
    corpus = prepare_msp_podcast(corpus_dir, tmp_path / "out")
    assert note(corpus, "no transcripts") == "no transcripts: there is no Transcripts"
    assert corpus.splits["train"]["with_text"] == 0
    assert validate(tmp_path / "out", corpus_dir) == []


def test_text_only_leaves_out_test3(corpus_dir: Path, tmp_path: Path) -> None:
    corpus = prepare_msp_podcast(corpus_dir, tmp_path / "out", text_only=True)
    assert tuple(corpus.splits) == SPLITS[:4]
    assert [(d.id, d.reason) for d in corpus.dropped] == [
        ("MSP-PODCAST_test3_0002", "no text, and text only was asked for")
    ]


DETAILED = """Worker,FileName,EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom
W1,MSP-PODCAST_0001_0009.wav,Angry,"Angry,Annoyed",7,1,5
W2,MSP-PODCAST_0001_0009.wav,Other-Jealous,Other,7,1,6
W3,MSP-PODCAST_0001_0009.wav,Angry,,7,1,
W1,MSP-PODCAST_0004_0001.wav,Sad,Sad,1,4,4
W2,MSP-PODCAST_0004_0001.wav,Happy,Happy,7,4,4
W3,MSP-PODCAST_0004_0001.wav,Contempt,Happy,4,4,4
W1,MSP-PODCAST_0005_0001.wav,Bored,Bored,9,4,4
W1,MSP-PODCAST_test3_0002.wav,Sad,Sad,4,4,4
"""
LINES = """MSP-PODCAST_0001_0009.wav; A; A:7.000000; V:1.000000; D:5.500000;
 WORKER01; Angry; Angry,Annoyed; A:7.000000; V:1.000000; D:5.000000;
 WORKER02; Other-Jealous; Other; A:7.000000; V:1.000000; D:6.000000;
 WORKER03; Angry; ; A:7.000000; V:1.000000;

MSP-PODCAST_0004_0001.wav; X; A:4.000000; V:4.000000; D:4.000000;
 WORKER01; Sad; Sad; A:1.000000; V:4.000000; D:4.000000;
 WORKER02; Happy; Happy; A:7.000000; V:4.000000; D:4.000000;
 WORKER03; Contempt; Happy; A:4.000000; V:4.000000; D:4.000000;
MSP-PODCAST_0005_0001.wav; O; A:4.000000; V:4.000000; D:4.000000;
 WORKER01; Bored; Bored; A:9.000000; V:4.000000; D:4.000000;
"""


@pytest.mark.parametrize(
    ("name", "content"), [("labels_detailed.csv", DETAILED), ("labels.txt", LINES)]
)
def test_votes_and_spreads_of_workers_are_read(
    corpus_dir: Path, tmp_path: Path, name: str, content: str
) -> None:
    (corpus_dir / "Labels" / name).write_text(content)
    corpus = prepare_msp_podcast(corpus_dir, tmp_path / "out", classes="4")
    splits = rows_of(tmp_path / "out")
    angry, tied = splits["train"][1], splits["test1"][0]
    assert (angry.votes, angry.emotion) == ("angry:2 other:1", "angry")
    assert (angry.n_annotators, angry.valence_sd, angry.arousal_sd) == (3, 0.0, 0.0)
    assert angry.dominance_sd == pytest.approx(0.5 / 6, abs=1e-6)  # of 5 and 6
    assert (tied.votes, tied.emotion) == ("sad:1 happy:1 other:1", None)  # contempt is no class
    assert tied.arousal_sd == pytest.approx((6.0) ** 0.5 / 6, abs=1e-6)
    (bored,) = splits["test2"]
    assert (bored.votes, bored.arousal_sd, bored.valence_sd) == (None, None, 0.0)
    assert all(row.votes is None for row in splits["test3"])
    assert note(corpus, "no votes") == "1 workers' classes are no votes: Bored 1"
    assert note(corpus, "annotators' votes").startswith("2 rows have annotators' votes, 1 of them")
    assert validate(tmp_path / "out", corpus_dir) == []


def test_a_table_of_workers_without_their_classes_is_refused(
    corpus_dir: Path, tmp_path: Path
) -> None:
    (corpus_dir / "Labels" / "labels_detailed.csv").write_text("FileName,EmoAct\nx.wav,1\n")
    with raises("column-missing"):
        prepare_msp_podcast(corpus_dir, tmp_path / "out")
