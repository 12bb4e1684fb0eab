"""``predict`` of tables with dialogues: whole, in order of turn, and written in order of rows."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from dialogue_models import BOTH_SIDES, CAUSAL

from data_prep.schema import read_manifest
from emo_fairseq.cli.__main__ import main
from emo_fairseq.cli.predict.batches import batches_of
from emo_fairseq.cli.predict.columns import TableOptions
from emo_fairseq.cli.predict.items import Item, ListSource, Reads
from emo_fairseq.cli.predict.tables import TableSource
from emo_fairseq.evaluation.predictions import PROBABILITY
from emo_fairseq.inference.predictor import load_predictor

READS = Reads(("text",), dialogues=True)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def scores(row: dict[str, str]) -> list[float]:
    return [float(value) for name, value in row.items() if name.startswith(PROBABILITY)]


@pytest.fixture
def turns(toy_corpus):
    """The rows of the test split, the last turns first, those of its dialogues mixed."""
    rows = read_manifest(toy_corpus / "test.tsv")
    return sorted(rows, key=lambda row: (-row.turn, row.id))


def test_dialogues_are_predicted_whole(turns, trained_models, toy_corpus, tmp_path, capsys):
    table = tmp_path / "turns.csv"
    cells = [
        [row.id, str(toy_corpus / row.audio), row.text, row.speaker, row.dialogue, str(row.turn)]
        for row in turns
    ]
    lost = ["lost", str(tmp_path / "lost.wav"), "gone", "x", turns[0].dialogue, "99"]
    alone = ["alone", "", "a text by itself", "x", "", ""]
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        header = ["id", "audio", "text", "speaker", "Dialogue_ID", "Utterance_ID"]
        writer.writerows([header, *cells[:3], lost, alone, *cells[3:]])
    model = trained_models.folder(BOTH_SIDES)
    words = ["predict", model, table, "--batch-size", "2", "--column", "turn=Utterance_ID"]
    assert main(list(map(str, words))) == 1
    out, err = capsys.readouterr()
    found = rows_of(out)
    assert [row["item"] for row in found] == [x[0] for x in (*cells[:3], lost, alone, *cells[3:])]
    assert "[file-missing]" in found[3]["error"]
    assert "the dialogue is not given" in found[4]["warning"]
    n_dialogues = len({row.dialogue for row in turns})
    assert f"{len(turns) + 1} of {len(turns) + 2} items predicted in {n_dialogues} dialogues" in err
    assert "rows without a dialogue or a turn: 1" in err
    in_order = sorted(turns, key=lambda row: row.turn)
    predictions = load_predictor(model, "cpu").predict(
        [toy_corpus / row.audio for row in in_order],
        [row.text for row in in_order],
        speaker=[row.speaker for row in in_order],
        dialogue=[row.dialogue for row in in_order],
    )
    expected = dict(zip([row.id for row in in_order], predictions, strict=True))
    for row in (*found[:3], *found[5:]):
        assert row["warning"] == ""
        wanted = expected[row["item"]].probabilities.values()
        assert scores(row) == pytest.approx(list(wanted), abs=1e-5)


def test_turns_of_a_recording_are_one_dialogue(trained_models, toy_corpus, tmp_path, capsys):
    (tmp_path / "turns.csv").write_text(
        "start,end,speaker,text\n0,0.3,A,you did what\n0.3,0.6,B,I sold it\n0.6,0.9,A,sold it\n"
    )
    recording = toy_corpus / read_manifest(toy_corpus / "test.tsv")[0].audio
    model = trained_models.folder(CAUSAL)
    words = ["predict", model, recording, "--segments", tmp_path / "turns.csv"]
    assert main(list(map(str, words))) == 0
    out, err = capsys.readouterr()
    assert "3 turns predicted in 1 dialogue (" in err
    texts = ["you did what", "I sold it", "sold it"]
    expected = load_predictor(model, "cpu").predict(
        text=texts, speaker=["A", "B", "A"], dialogue="d"
    )
    for row, prediction in zip(rows_of(out), expected, strict=True):
        assert scores(row) == pytest.approx(list(prediction.probabilities.values()), abs=1e-5)


def items_of(tmp_path: Path, lines: Sequence[str], **options) -> Iterator[Item]:
    table = tmp_path / "t.csv"
    table.write_text("\n".join(lines) + "\n")
    return TableSource(table, TableOptions(**options)).items(READS)


def test_a_table_names_dialogues_and_turns(tmp_path, capsys):
    lines = ["text,dialogue,turn", "a b c,d1,2", "a b d,d2,1.0", "a b e,d1,1", "a b f,,1"]
    found = list(items_of(tmp_path, lines))
    assert [(x.dialogue, x.position, x.n_following) for x in found] == [
        ("d1", 2, 1),
        ("d2", 1, 0),
        ("d1", 1, 0),
        (None, 0, 0),
    ]
    assert capsys.readouterr().err.count("\n") == 1  # the row in no dialogue


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("a b c,d1,1", "turn-duplicate"),
        ("a b c,d1,one", "turn-invalid"),
        (f"a b c,d1,{'9' * 5000}", "turn-invalid"),
        ("a b c,d1,-1", "turn-invalid"),
    ],
)
def test_a_turn_without_a_place_has_an_error(line, code, tmp_path):
    first, second = items_of(tmp_path, ["text,dialogue,turn", "a b d,d1,1", line])
    assert first.error is None
    assert second.error is not None
    assert second.error.code == code
    assert second.n_following == 0


def test_without_a_column_of_turns_rows_are_in_order(tmp_path, capsys):
    found = list(items_of(tmp_path, ["text,conversation", "a b c,x", "a b d,x"]))
    assert found[0].position < found[1].position
    assert "no column of turns" in capsys.readouterr().err
    found = list(items_of(tmp_path, ["text,conversation", "a b c,x"], columns={"dialogue": ""}))
    assert found[0].dialogue is None
    assert "no column of dialogues" in capsys.readouterr().err
    reads = Reads(("text",))
    (item,) = TableSource(tmp_path / "t.csv", TableOptions()).items(reads)
    assert (item.dialogue, capsys.readouterr().err) == (None, "")


def test_a_batch_holds_whole_dialogues():
    # Dialogue a is interrupted by b, which goes on after it; c and the rest are by themselves.
    names = "a b a b - c c c - - -"
    order = names.split()
    items = [
        Item(str(n), dialogue=None if x == "-" else x, n_following=order[n + 1 :].count(x))
        for n, x in enumerate(order)
    ]
    sources = [ListSource(items), ListSource(items)]
    for at_once in (1, 2, 3, 100, None):
        batches = list(batches_of(sources, READS, at_once))
        assert [item.name for batch in batches for item in batch] == 2 * [x.name for x in items]
        for name in {x.dialogue for batch in batches for x in batch} - {None}:
            assert sum(name in {x.dialogue for x in batch} for batch in batches) == 1
        if at_once == 1:
            assert [len(batch) for batch in batches] == 2 * [4, 1, 3, 1, 1, 1]
