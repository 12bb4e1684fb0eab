from collections.abc import Callable
from pathlib import Path

import pytest
from codes import raises

from data_prep.commands.prepare import main
from data_prep.commands.validate import validate
from data_prep.corpora.emobank import (
    prepare_emobank,
)
from data_prep.schema import Utterance, read_corpus, read_manifest

ROWS = [
    "a_1,train,1.0,3.0,5.0,Hello",
    'a_2,dev,3.0,2.0,3.5,"Well, he\u2019s ""here"""',
    "a_3,test,2.78,2.89,2.78,None",
    "a_4,train,3.0,3.0,3.0,",
    'a_5,train,3.0,3.0,3.0,"  "',
]


def write_csv(folder: Path, *rows: str, header: str = "id,split,V,A,D,text") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "emobank.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


def test_rows_are_scaled_split_and_cleaned(tmp_path: Path) -> None:
    prepare_emobank(write_csv(tmp_path / "raw", *ROWS), tmp_path / "out")
    splits = {s: read_manifest(tmp_path / "out" / f"{s}.tsv") for s in ("train", "valid", "test")}
    assert splits["train"] == [
        Utterance("a_1", text="Hello", valence=0.0, arousal=0.5, dominance=1.0)
    ]
    assert splits["valid"] == [
        Utterance("a_2", text='Well, he\'s "here"', valence=0.5, arousal=0.25, dominance=0.625)
    ]
    assert splits["test"][0].text == "None"  # the word, not a missing value
    assert validate(tmp_path / "out") == []


def test_rows_without_text_are_dropped_and_listed(tmp_path: Path) -> None:
    prepare_emobank(write_csv(tmp_path / "raw", *ROWS), tmp_path / "out")
    corpus = read_corpus(tmp_path / "out")
    assert [(d.split, d.id, d.reason) for d in corpus.dropped] == [
        ("train", "a_4", "no text"),
        ("train", "a_5", "no text"),
    ]
    assert corpus.vad == {"source_scale": [1.0, 5.0], "mapping": "(x - 1) / 4"}


def test_sentiment_from_valence(tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "raw", *(f"v{v},train,{v},3,3,x {v}" for v in (1.0, 2.8, 3.2, 3.21)))
    words = [str(raw), str(tmp_path / "out"), "--sentiment-from-valence", "2.8", "3.2"]
    assert main("emobank", words) == 0
    found = [row.sentiment for row in read_manifest(tmp_path / "out" / "train.tsv")]
    assert found == ["negative", "neutral", "neutral", "positive"]
    corpus = read_corpus(tmp_path / "out")
    assert corpus.labels["sentiment"] == ("negative", "neutral", "positive")
    assert any("derived from valence" in note for note in corpus.notes)
    with raises("bounds-out-of-range"):
        prepare_emobank(raw, tmp_path / "other", bounds=(3.2, 2.8))


def test_texts_in_two_splits_are_counted(tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "raw", ROWS[0], ROWS[0].replace("a_1,train", "b,test"))
    assert prepare_emobank(raw, tmp_path / "out").notes == [
        "1 texts occur in more than one split, word for word"
    ]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("b,train,nan,3,3,x", "row-invalid"),
        ("b,train,3,3,high,x", "row-invalid"),
        ("b,train,3,3,,x", "row-invalid"),
        ("b,eval,3,3,3,x", "row-invalid"),
        ("a_1,train,3,3,3,x", "row-invalid"),
        (",train,3,3,3,x", "row-invalid"),
        ("b,train,3,3,3", "row-width"),
        ('b,train,3,3,3,"x', "quote-invalid"),
    ],
)
def test_a_bad_row_is_named_and_nothing_written(tmp_path: Path, row: str, code: str) -> None:
    raw = write_csv(tmp_path / "raw", ROWS[0], row)
    with raises(code) as error:
        prepare_emobank(raw, tmp_path / "out")
    assert f"{raw / 'emobank.csv'}: row 3: " in str(error.value)
    assert not (tmp_path / "out").exists()


def test_ratings_outside_the_scale_are_refused_clipped_or_dropped(tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "raw", ROWS[0], "b,train,3,5.5,0.5,x")
    with raises("vad-out-of-scale") as error:
        prepare_emobank(raw, tmp_path / "out")
    assert "2 ratings" in str(error.value)
    assert "arousal 5.5 of b" in str(error.value)
    prepare_emobank(raw, tmp_path / "out", out_of_scale="clip")
    row = read_manifest(tmp_path / "out" / "train.tsv")[-1]
    assert (row.valence, row.arousal, row.dominance) == (0.5, 1.0, 0.0)
    corpus = prepare_emobank(raw, tmp_path / "out", out_of_scale="drop-axis")
    row = read_manifest(tmp_path / "out" / "train.tsv")[-1]
    assert (row.valence, row.arousal, row.dominance) == (0.5, None, None)
    assert [(d.split, d.id, d.what) for d in corpus.dropped] == [
        ("train", "b", "arousal"),
        ("train", "b", "dominance"),
    ]


def test_several_bad_rows_are_named_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = write_csv(tmp_path / "raw", *["b,train,x,3,3,x"] * 25)
    assert main("emobank", [str(raw), str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert "emobank.csv: 25 rows (2, 3, 4, ...): V: " in err
    assert err.endswith("\n25 faults [row-invalid]\n")


def test_another_file_is_not_taken_for_emobank(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with raises("table-unreadable"):
        prepare_emobank(tmp_path, tmp_path / "out")
    write_csv(tmp_path, header="id,V,A,D,text")
    with raises("column-missing"):
        prepare_emobank(tmp_path, tmp_path / "out")


@pytest.mark.realdata
def test_the_real_corpus(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    assert main("emobank", [str(real_data("emobank")), str(tmp_path)]) == 0
    corpus = read_corpus(tmp_path)
    assert {s: c["rows"] for s, c in corpus.splits.items()} == {
        "train": 8062,
        "valid": 1000,
        "test": 1000,
    }
    assert corpus.dropped == []
    assert corpus.notes == ["34 texts occur in more than one split, word for word"]
    valid = {row.id: row for row in read_manifest(tmp_path / "valid.tsv")}
    assert valid["easy_money_13624_13628"].text == "None"
    assert valid["easy_money_13624_13628"].arousal == pytest.approx((2.89 - 1) / 4)
    assert validate(tmp_path) == []
