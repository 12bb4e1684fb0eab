"""Votes of annotators: the cell of a manifest, checks of a data dir, and combined data dirs."""

from pathlib import Path

import pytest
from codes import raises

from data_prep.commands.combine import combine
from data_prep.commands.validate import validate
from data_prep.errors import ManifestError
from data_prep.manifest.summary import read_data_dir, render_summary, summarize
from data_prep.manifest.votes import format_votes, majority, parse_votes
from data_prep.schema import (
    REQUIRED_COLUMNS,
    Corpus,
    Utterance,
    read_corpus,
    read_manifest,
    write_corpus,
    write_manifest,
)

LABELS = ("angry", "sad", "very sad")


def write_rows(folder: Path, *rows: Utterance, name: str = "mine") -> Path:
    corpus = Corpus(name, labels={"emotion": LABELS})
    write_corpus(folder, corpus, {"train": [Utterance("plain", text="x", emotion="sad"), *rows]})
    return folder


def test_votes_and_spreads_survive_the_round_trip(tmp_path: Path) -> None:
    row = Utterance(
        "u1",
        text="x",
        votes="very sad:2 angry:0.5",
        n_annotators=3,
        valence_sd=0.25,
        dominance_sd=0.0,
    )
    write_manifest(tmp_path / "train.tsv", [row, Utterance("u2", text="y")])
    header = (tmp_path / "train.tsv").read_text().splitlines()[0].split("\t")
    assert header == [*REQUIRED_COLUMNS, "votes", "n_annotators", "valence_sd", "dominance_sd"]
    assert read_manifest(tmp_path / "train.tsv")[0] == row
    assert dict(parse_votes(row.votes or "")) == {"very sad": 2.0, "angry": 0.5}


@pytest.mark.parametrize(
    "cell",
    [
        "angry",
        "angry:",
        ":2",
        "angry:0",
        "angry:-1",
        "angry:2 angry:1",
        "angry:2  sad:1",
        " a:1",
        "a:1 ",
        "E2 hap; E3 hap exc",
        "angry:nan",
        "angry:1e5",
        "a:b:1",
        "angry:2\u200b sad:1",
    ],
)
def test_another_form_is_refused_with_its_row(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "train.tsv"
    columns = [*REQUIRED_COLUMNS, "votes"]
    values = {"id": "u1", "text": "x", "votes": cell}
    lines = ["\t".join(columns), "\t".join(values.get(name, "") for name in columns)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with raises("cell-invalid", ManifestError) as error:
        read_manifest(path)
    assert "row 2" in str(error.value)
    assert "angry:2 sad:1" in str(error.value)
    with raises("cell-invalid", ManifestError):
        write_manifest(path, [Utterance("u1", text="x", votes=cell)])


def test_a_label_with_a_colon_has_no_cell() -> None:
    with raises("votes-label"):
        format_votes({"happy: very": 2.0})
    assert format_votes({"happy": 0.0}) is None


@pytest.mark.parametrize(
    ("votes", "label"),
    [
        ({"angry": 2.0, "sad": 1.0}, "angry"),
        ({"angry": 1.0, "sad": 1.0}, None),
        ({"angry": 0.333333, "sad": 1 / 3}, None),  # thirds are written with six digits
        ({"other": 3.0, "sad": 1.0}, "other"),
    ],
)
def test_majority_of_a_tie_is_none(votes: dict[str, float], label: str | None) -> None:
    assert majority(votes) == label


def test_votes_for_unknown_labels_are_a_fault(tmp_path: Path) -> None:
    good = Utterance("u1", text="x", votes="very sad:1 other:2")
    folder = write_rows(tmp_path / "a", good)
    assert validate(folder) == []
    folder = write_rows(tmp_path / "b", good, Utterance("u2", text="x", votes="happy:2 sad:1"))
    (fault,) = validate(folder)
    assert (fault.row, fault.code) == (4, "label-unknown")
    assert "'happy'" in str(fault)


def test_rows_with_votes_are_counted(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "a", Utterance("u1", text="x", votes="sad:1"))
    corpus, splits = read_data_dir(folder)
    assert corpus.splits["train"]["with_votes"] == 1
    head, numbers = render_summary(summarize(corpus, splits)).splitlines()[2:4]
    assert dict(zip(head.split(), numbers.split(), strict=True))["votes"] == "1"
    without = write_rows(tmp_path / "b")
    assert "with_votes" not in read_corpus(without).splits["train"]


def test_combined_votes_follow_the_maps(tmp_path: Path) -> None:
    row = Utterance("u1", text="x", votes="angry:2 very sad:1 sad:1")
    dirs = [write_rows(tmp_path / name, row, name=name) for name in ("one", "two")]
    maps = {"emotion": {"one": {"very sad": "sad", "angry": ""}}}
    combine(dirs, tmp_path / "both", maps=maps)
    votes = [row.votes for row in read_manifest(tmp_path / "both" / "train.tsv") if row.votes]
    assert votes == ["other:2 sad:2", "angry:2 very sad:1 sad:1"]
    assert validate(tmp_path / "both") == []
