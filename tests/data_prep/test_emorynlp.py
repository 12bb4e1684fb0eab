from pathlib import Path

import pytest
from codes import raises

from data_prep.commands.prepare import main
from data_prep.commands.validate import validate
from data_prep.corpora.emorynlp import (
    parse_speakers,
    prepare_emorynlp,
)
from data_prep.manifest.summary import print_summary
from data_prep.schema import Utterance, read_corpus, read_manifest

HEADER = "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time"
TIMES = "00:00:02.877,00:00:07.548"
ROWS = {
    "train": [
        f"\"Yeah, right!.......Y'serious?\",['Joey Tribbiani'],Neutral,1,2,1,2,{TIMES}",
        f"Oh\u2026,\"['Chandler Bing', 'Joey Tribbiani']\",Sad,1,4,1,2,{TIMES}",
        f"Okay!,['#ALL#'],Joyful,2,1,1,2,{TIMES}",
        f"Okay!,['#ALL#'],Joyful,2,1,1,2,{TIMES}",
        f'" ",[],Powerful,2,3,1,2,{TIMES}',
    ],
    "dev": [f"Hi.,[],Peaceful,1,1,1,15,{TIMES}"],
    "test": [f"No\x92,['Ross Geller'],Mad,1,1,4,20,{TIMES}"],
}


def write_rows(folder: Path, split: str, rows: list[str], header: str = HEADER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join([header, *rows]) + "\n"
    (folder / f"emorynlp_{split}_final.csv").write_text(text, encoding="utf-8")


@pytest.fixture
def corpus_dir(tmp_path: Path) -> Path:
    for split, rows in ROWS.items():
        write_rows(tmp_path / "raw", split, rows)
    return tmp_path / "raw"


def test_rows_are_read(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main("emorynlp", [str(corpus_dir), str(out)]) == 0
    assert f"train with: emotion-recognize train {out} --modality text" in capsys.readouterr().out
    scene = {"session": "s01_e02", "dialogue": "s01_e02_c01"}
    assert read_manifest(out / "train.tsv") == [
        Utterance(
            "s01_e02_c01_u002",
            text="Yeah, right!.......Y'serious?",
            speaker="Joey Tribbiani",
            turn=2,
            emotion="Neutral",
            **scene,
        ),
        Utterance(
            "s01_e02_c01_u004",
            text="Oh...",
            speaker="Chandler Bing & Joey Tribbiani",
            turn=4,
            emotion="Sad",
            **scene,
        ),
        Utterance(
            "s01_e02_c02_u001",
            text="Okay!",
            speaker="#ALL#",
            session="s01_e02",
            dialogue="s01_e02_c02",
            turn=1,
            emotion="Joyful",
        ),
    ]
    (valid,) = read_manifest(out / "valid.tsv")
    assert (valid.id, valid.speaker) == ("s01_e15_c01_u001", None)
    assert [row.text for row in read_manifest(out / "test.tsv")] == ["No'"]
    corpus = read_corpus(out)
    assert corpus.disjoint == ("dialogue",)
    assert corpus.license
    assert "Zahiri" in corpus.citation
    assert validate(out) == []


def test_dropped_rows_are_listed_and_counted(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = prepare_emorynlp(corpus_dir, tmp_path / "out")
    assert [(d.split, d.id, d.reason) for d in corpus.dropped] == [
        (
            "train",
            "s01_e02_c02_u001",
            "row 5 repeats the scene and utterance number of an earlier row",
        ),
        ("train", "s01_e02_c02_u003", "no text"),
    ]
    assert corpus.splits["train"]["rows"] == 3
    print_summary(tmp_path / "out")
    assert "dropped: 1 x row: no text (s01_e02_c02_u003)" in capsys.readouterr().out


def test_twice_gives_the_same_bytes(corpus_dir: Path, tmp_path: Path) -> None:
    for name in ("one", "one", "two"):
        prepare_emorynlp(corpus_dir, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_scene_in_two_splits_is_said(corpus_dir: Path, tmp_path: Path) -> None:
    write_rows(corpus_dir, "dev", [f"Hi.,['Ross'],Mad,1,9,1,2,{TIMES}"])
    corpus = prepare_emorynlp(corpus_dir, tmp_path / "out")
    assert corpus.disjoint == ()
    assert corpus.notes == ["1 scenes are in more than one split"]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (f"Hi.,['Ross'],Happy,1,1,1,1,{TIMES}", "row-invalid"),
        (f"Hi.,['Ross'],Mad,x,1,1,1,{TIMES}", "row-invalid"),
        (f"Hi.,Ross,Mad,1,1,1,1,{TIMES}", "row-invalid"),
        ("Hi.,['Ross'],Mad,1,1,1,1", "row-width"),
    ],
)
def test_a_bad_row_is_named_and_nothing_written(
    corpus_dir: Path, tmp_path: Path, row: str, code: str
) -> None:
    write_rows(corpus_dir, "dev", [row])
    with raises(code) as error:
        prepare_emorynlp(corpus_dir, tmp_path / "out")
    assert "emorynlp_dev_final.csv: row 2: " in str(error.value)
    assert not (tmp_path / "out").exists()


def test_another_table_is_not_taken_for_emorynlp(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(corpus_dir, "test", [], header="Utterance,Speaker")
    with raises("column-missing"):
        prepare_emorynlp(corpus_dir, tmp_path / "out")
    with raises("table-unreadable"):
        prepare_emorynlp(tmp_path, tmp_path / "out")


def test_speakers() -> None:
    assert parse_speakers('["Chandler\u2019s Date"]') == "Chandler's Date"
    with pytest.raises(ValueError, match="no list"):
        parse_speakers("[1]")
