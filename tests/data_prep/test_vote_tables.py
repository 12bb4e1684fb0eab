"""Tables of votes: a column of pairs, or a column of counts for each emotion."""

from pathlib import Path

import pytest

from data_prep.commands.table import main
from data_prep.commands.validate import validate
from data_prep.schema import Utterance, read_corpus, read_manifest

COUNTED = """utt,words,ang,hap,oth
u1,Hello,3,1,0
u2,Well,2,2,
u3,So,0,1,4
u4,No,0,0,0
"""
WRITTEN = """utt,words,choices,mean,sd,raters
u1,Hello,hap:1 joy:2 ang:1,3,1.2,4
u2,Well,ang:1,2,,
"""
VOTES = "--vote-column angry=ang --vote-column happy=hap --vote-column other=oth"
COMMON = "--column id=utt --column text=words --split-by row --valid-fraction 0 --test-fraction 0"


def prepare(tmp_path: Path, table: str, options: str) -> dict[str, Utterance]:
    path = tmp_path / "table.csv"
    path.write_text(table, encoding="utf-8")
    words = [str(path), str(tmp_path / "out"), *COMMON.split(), *options.split()]
    assert main(words) == 0
    assert validate(tmp_path / "out") == []
    return {row.id: row for row in read_manifest(tmp_path / "out" / "train.tsv")}


def refusal(tmp_path: Path, table: str, options: str, capsys: pytest.CaptureFixture[str]) -> str:
    path = tmp_path / "table.csv"
    path.write_text(table, encoding="utf-8")
    words = [str(path), str(tmp_path / "out"), *COMMON.split(), *options.split()]
    capsys.readouterr()
    assert main(words) != 0
    return capsys.readouterr().err.partition("error: ")[2]


def test_columns_of_counts_are_votes_and_their_majority_the_emotion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = prepare(tmp_path, COUNTED, VOTES)
    found = [(row.votes, row.emotion) for row in rows.values()]
    assert found == [
        ("angry:3 happy:1", "angry"),
        ("angry:2 happy:2", None),  # a tie
        ("other:4 happy:1", None),
        (None, None),
    ]
    corpus = read_corpus(tmp_path / "out")
    assert corpus.labels["emotion"] == ("angry", "happy")
    (note,) = (note for note in corpus.notes if "votes" in note)
    assert note.startswith("3 of 4 rows have annotators' votes; 2 of them have no emotion: 1 ")
    assert "votes for angry = ang" in capsys.readouterr().out


def test_a_column_of_emotions_is_kept_beside_votes(tmp_path: Path) -> None:
    table = "\n".join(
        f"{line},{label}"
        for line, label in zip(
            COUNTED.split(), ["said", "happy", "angry", "happy", "angry"], strict=True
        )
    )
    rows = prepare(tmp_path, table, f"{VOTES} --column emotion=said")
    assert [row.emotion for row in rows.values()] == ["happy", "angry", "happy", "angry"]
    assert rows["u1"].votes == "angry:3 happy:1"


def test_a_column_of_pairs_follows_the_label_map(tmp_path: Path) -> None:
    options = "--column votes=choices --label-map joy=happy --label-map hap=happy"
    vad = "--column valence=mean --column valence_sd=sd --column n_annotators=raters"
    rows = prepare(tmp_path, WRITTEN, f"{options} --label-map ang=angry {vad} --vad-scale 1 5")
    assert (rows["u1"].votes, rows["u1"].emotion) == ("happy:3 angry:1", "happy")
    assert (rows["u1"].valence, rows["u1"].n_annotators) == (0.5, 4)
    assert rows["u1"].valence_sd == pytest.approx(0.3)
    assert (rows["u2"].valence_sd, rows["u2"].n_annotators) == (None, None)


@pytest.mark.parametrize(
    ("table", "options", "names"),
    [
        (COUNTED.replace("3,1,0", "3,few,0"), VOTES, ["row 2", "column hap", "'few'"]),
        (COUNTED.replace("3,1,0", "3,-1,0"), VOTES, ["row 2", "'-1'"]),
        (COUNTED, f"{VOTES} --label-order happy,sad", ["row 2", "'angry'", "happy, sad"]),
        (WRITTEN.replace("ang:1,3", "ang,3"), "--column votes=choices", ["row 2", "angry:2 sad:1"]),
        (COUNTED, f"{VOTES} --column votes=oth", ["--vote-column"]),
        (COUNTED, "--vote-column angry=nothere", ["nothere"]),
    ],
)
def test_what_is_no_vote_is_refused(
    tmp_path: Path,
    table: str,
    options: str,
    names: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = refusal(tmp_path, table, options, capsys)
    assert all(name in message for name in names), message
    assert not (tmp_path / "out" / "corpus.yaml").exists()
