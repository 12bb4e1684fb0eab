import json
from pathlib import Path

import pytest
from codes import raises

from data_prep.commands.prepare import main
from data_prep.commands.validate import validate
from data_prep.corpora.goemotions import (
    prepare_goemotions,
    unquoted,
)
from data_prep.errors import ManifestError
from data_prep.manifest.summary import print_summary
from data_prep.schema import Utterance, read_corpus, read_manifest

EMOTIONS = ["admiration", "anger", "annoyance", "joy", "surprise", "neutral"]
EKMAN = {"anger": ["anger", "annoyance"], "joy": ["joy", "admiration"], "surprise": ["surprise"]}
SENTIMENT = {
    "positive": ["joy", "admiration"],
    "negative": ["anger", "annoyance"],
    "ambiguous": ["surprise"],
}
ROWS = {
    "train": [
        "Great, glad to hear\t0\tee01",
        "Don\u2019t be mad\t5\tee02",
        "Two of one group\t1,2\tee03",
        "Two of two groups\t1,3\tee04",
        '"I said, ""No"" and left"\t2\tee05',
        "Great, glad to hear\t0\tee01",
        " \t3\tee06",
    ],
    "dev": ["Wow\t4\tee07"],
    "test": ["Wow\t3\tee08"],
}


def write_tree(folder: Path, rows: dict[str, list[str]] = ROWS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, lines in rows.items():
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "emotions.txt").write_text("\n".join(EMOTIONS))
    (folder / "ekman_mapping.json").write_text(json.dumps(EKMAN))
    (folder / "sentiment_dict.json").write_text(json.dumps(SENTIMENT))
    return folder


@pytest.fixture
def corpus_dir(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "raw")


def test_single_label_rows_are_kept_and_the_rest_listed(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main("goemotions", [str(corpus_dir), str(out)]) == 0
    assert f"train with: emotion-recognize train {out} --modality text" in capsys.readouterr().out
    assert read_manifest(out / "train.tsv") == [
        Utterance("ee01", text="Great, glad to hear", emotion="admiration"),
        Utterance("ee02", text="Don't be mad", emotion="neutral"),
        Utterance("ee05", text='I said, "No" and left', emotion="annoyance"),
    ]
    corpus = read_corpus(out)
    assert corpus.labels == {"emotion": tuple(EMOTIONS)}
    assert [(d.split, d.id, d.reason) for d in corpus.dropped] == [
        ("train", "ee03", "2 labels"),
        ("train", "ee04", "2 labels"),
        ("train", "ee01", "row 6 repeats the id of an earlier row"),
        ("train", "ee06", "no text"),
    ]
    assert corpus.notes == ["1 texts occur in more than one split, word for word"]
    assert corpus.license == "CC BY 4.0"
    assert validate(out) == []
    print_summary(out)
    assert "dropped: 2 x row: 2 labels (ee03, ee04)" in capsys.readouterr().out


def test_ekmans_groups(corpus_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main("goemotions", [str(corpus_dir), str(out), "--labels", "ekman"]) == 0
    emotions = {row.id: row.emotion for row in read_manifest(out / "train.tsv")}
    assert emotions == {"ee01": "joy", "ee02": "neutral", "ee03": "anger", "ee05": "anger"}
    corpus = read_corpus(out)
    assert corpus.labels == {"emotion": ("joy", "anger", "surprise", "neutral")}
    assert [d.id for d in corpus.dropped] == ["ee04", "ee01", "ee06"]
    assert validate(out) == []


def test_sentiments_fill_their_own_column(corpus_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main("goemotions", [str(corpus_dir), str(out), "--labels", "sentiment"]) == 0
    rows = read_manifest(out / "train.tsv")
    assert {(row.id, row.sentiment, row.emotion) for row in rows} == {
        ("ee01", "positive", None),
        ("ee02", "neutral", None),
        ("ee03", "negative", None),
        ("ee05", "negative", None),
    }
    labels = ("positive", "negative", "ambiguous", "neutral")
    assert read_corpus(out).labels == {"sentiment": labels}
    assert validate(out) == []


def test_the_newer_name_of_the_sentiment_file(corpus_dir: Path, tmp_path: Path) -> None:
    (corpus_dir / "sentiment_dict.json").rename(corpus_dir / "sentiment_mapping.json")
    corpus = prepare_goemotions(corpus_dir, tmp_path / "out", labels="sentiment")
    assert corpus.splits["train"]["rows"] == 4


def test_twice_gives_the_same_bytes(corpus_dir: Path, tmp_path: Path) -> None:
    for name in ("one", "one", "two"):
        prepare_goemotions(corpus_dir, tmp_path / name, labels="ekman")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("Hi\t6\tx", "row-invalid"),
        ("Hi\t\tx", "row-invalid"),
        ("Hi\t1", "row-invalid"),
        ("Hi\t1\t", "row-invalid"),
    ],
)
def test_a_bad_row_is_named_and_nothing_written(
    corpus_dir: Path, tmp_path: Path, line: str, code: str
) -> None:
    (corpus_dir / "dev.tsv").write_text(f"Wow\t4\tee07\n{line}\n")
    with raises(code) as error:
        prepare_goemotions(corpus_dir, tmp_path / "out")
    assert f"{corpus_dir / 'dev.tsv'}: row 2: " in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("ekman_mapping.json", None),
        ("ekman_mapping.json", "[1]"),
        ("ekman_mapping.json", '{"joy": ["joy"]}'),
        ("emotions.txt", "joy\njoy"),
        ("emotions.txt", None),
        ("test.tsv", None),
    ],
)
def test_a_missing_or_odd_file_is_named(
    corpus_dir: Path, tmp_path: Path, file: str, content: str | None
) -> None:
    (corpus_dir / file).unlink()
    if content is not None:
        (corpus_dir / file).write_text(content)
    with pytest.raises(ManifestError, match=file):
        prepare_goemotions(corpus_dir, tmp_path / "out", labels="ekman")
    assert not (tmp_path / "out").exists()


def test_only_a_csvs_quoting_is_undone() -> None:
    assert unquoted('"') == '"'
    assert unquoted('say "no"') == 'say "no"'
    assert unquoted('"""Yes"""') == '"Yes"'
