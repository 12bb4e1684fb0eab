"""Turns with emotions from files, and the recordings of two sides."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from data_prep.segmentation.formats import write_turns
from data_prep.segmentation.turn import Turn
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.turn_files import has_turns, pair_recordings, read_turns
from emo_fairseq.evaluation.value_labels import values_text

TABLE = """recording,start,end,speaker,text,emotion,valence
b.wav,2.5,4,B,hello there,happy,0.75
a.wav,0,1.5,A,,sad,
b.wav,0,2,A,,,0.5
"""
ANALYZED = """recording,start,end,speaker,text,emotion,probability_sad,probability_happy,\
prediction_valence,error
a.wav,0,1,s1,,sad,0.6,0.4,0.25,
a.wav,1,2,s1,,,,,,the turn is too short [turn-short]
"""


def test_a_table_has_the_turns_of_several_recordings(tmp_path: Path) -> None:
    file = tmp_path / "turns.csv"
    file.write_text(TABLE, encoding="utf-8")
    found = read_turns(file)
    assert [*found.turns] == ["b.wav", "a.wav"]
    first, second = found.turns["b.wav"]
    assert (first.start, first.end, first.turn.speaker, first.emotion) == (0.0, 2.0, "A", None)
    assert (second.emotion, second.turn.text) == ("happy", "hello there")
    assert [dict(turn.values) for turn in (first, second)] == [{"valence": 0.5}, {"valence": 0.75}]
    assert found.turns["a.wav"][0].values == {}
    assert (found.labels, found.axes, found.folder) == ([], ["valence"], tmp_path)


def test_a_table_of_analyze_names_the_labels_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(ANALYZED, encoding="utf-8")
    empty = ANALYZED.partition("\n")[0] + "\n"
    (tmp_path / "nobody.csv").write_text(empty, encoding="utf-8")
    (tmp_path / "a.TextGrid").write_text("not read", encoding="utf-8")
    found = read_turns(tmp_path)
    assert [*found.turns] == ["a.wav", "nobody"]
    assert found.turns["nobody"] == []
    assert found.labels == ["sad", "happy"]
    assert [turn.emotion for turn in found.turns["a.wav"]] == ["sad", None]
    assert found.turns["a.wav"][0].values == {"valence": 0.25}
    assert found.notes == [f"{tmp_path}: 2 .csv read, 1 .textgrid not"]


def test_json_lines_of_analyze(tmp_path: Path) -> None:
    row = {
        "recording": "a.wav",
        "start": 0.5,
        "end": 2.0,
        "speaker": None,
        "text": None,
        "emotion": "happy",
        "probabilities": {"sad": 0.25, "happy": 0.75},
        "values": {"arousal": 0.5},
    }
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    found = read_turns(file)
    (turn,) = found.turns["a.wav"]
    assert (turn.turn.start, turn.emotion, turn.values) == (
        Decimal("0.5"),
        "happy",
        {"arousal": 0.5},
    )
    assert found.labels == ["sad", "happy"]


@pytest.mark.parametrize("kind", ["textgrid", "eaf"])
def test_tiers_of_labels_are_the_emotions_of_their_speakers(tmp_path: Path, kind: str) -> None:
    turns = [
        Turn(Decimal(0), Decimal(2), "A", "hello"),
        Turn(Decimal(1), Decimal(3), "B"),
        Turn(Decimal(4), Decimal(5), "A", "bye"),
    ]
    text = write_turns(turns, kind, recording="call.wav", labels=["sad", None, "happy"])
    file = tmp_path / f"call.{kind}"
    file.write_text(text, encoding="utf-8")
    found = read_turns(file)
    (of_file,) = found.turns.values()
    assert [*found.turns] == ["call"]
    assert [turn.emotion for turn in of_file] == ["sad", None, "happy"]
    assert [turn.turn.speaker for turn in of_file] == ["A", "B", "A"]
    assert not any("(emotion)" in note for note in found.notes)


@pytest.mark.parametrize("kind", ["textgrid", "eaf"])
def test_tiers_of_a_model_of_numbers_are_values(tmp_path: Path, kind: str) -> None:
    turns = [Turn(Decimal(n), Decimal(n + 1), "A") for n in range(2)]
    labels = [values_text({"valence": 0.25, "arousal": -0.5}), "valence unknown"]
    file = tmp_path / f"call.{kind}"
    file.write_text(write_turns(turns, kind, recording="call.wav", labels=labels))
    found = read_turns(file)
    (of_file,) = found.turns.values()
    assert [turn.emotion for turn in of_file] == [None, "valence unknown"]
    assert [turn.values for turn in of_file] == [{"valence": 0.25, "arousal": -0.5}, {}]
    assert found.axes == ["valence", "arousal"]


def test_overlaps_within_the_rounding_of_times_are_noted(tmp_path: Path) -> None:
    file = tmp_path / "turns.csv"
    file.write_text("recording,start,end,speaker\na,0,1.003,A\na,1,2,A\nb,0,1.001,B\nb,1,2,B\n")
    found = read_turns(file)
    assert [turn.end for turn in found.turns["a"]] == [1.0, 2.0]
    kind = "ends of turns (at most 0.01 s) within the next turn of their speaker"
    assert found.notes == [f"{file}: {kind} skipped: 2"]


@pytest.mark.parametrize("kind", ["textgrid", "eaf", "csv"])
def test_labels_of_turns_whose_speakers_are_unknown(tmp_path: Path, kind: str) -> None:
    """They overlap, so that there are several tiers; one is of a speaker of ELAN's default name."""
    times = [(0, 2, None), (1, 3, None), (1, 3, None), (4, 5, "default"), (4, 5, None), (6, 7, "A")]
    turns = [Turn(Decimal(start), Decimal(end), speaker) for start, end, speaker in times]
    labels = ["happy", "sad", "angry", "neutral", None, "happy"]
    file = tmp_path / f"call.{kind}"
    file.write_text(write_turns(turns, kind, recording="call.wav", labels=labels))
    (of_file,) = read_turns(file).turns.values()
    expected = [(*times[i], labels[i]) for i in range(len(times))]
    found = [(turn.start, turn.end, turn.turn.speaker, turn.emotion) for turn in of_file]
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_a_tier_of_labels_that_is_named_by_the_participant(tmp_path: Path) -> None:
    turns = [Turn(Decimal(0), Decimal(2), "Anna")]
    text = write_turns(turns, "eaf", recording="call.wav", labels=["sad"])
    file = tmp_path / "call.eaf"
    file.write_text(text.replace('TIER_ID="Anna"', 'TIER_ID="K1"').replace('F="Anna"', 'F="K1"'))
    (of_file,) = read_turns(file).turns.values()
    assert [(turn.turn.speaker, turn.emotion) for turn in of_file] == [("Anna", "sad")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("recording,start,end\n,0,1\n", "recording-missing"),
        ("start,end,valence\n0,1,high\n", "value-invalid"),
        ("start,end\n1,0\n", "turn-times-invalid"),
        ("from,to\n1,0\n", "column-missing"),
        ("start,end\nx,0\n", "time-invalid"),
    ],
)
def test_bad_turns_are_refused(tmp_path: Path, content: str, code: str) -> None:
    file = tmp_path / "turns.csv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"turns\.csv") as error:
        read_turns(file)
    assert error.value.code == code


def test_what_has_no_turns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"")
    for path in (tmp_path, tmp_path / "model.pt", tmp_path / "absent.csv"):
        assert not has_turns(path)
        with pytest.raises(UsageError) as error:
            read_turns(path)
        assert error.value.code == "turns-unreadable"


def write(folder: Path, *names: str) -> Path:
    folder.mkdir()
    rows = [f"{name},{n},{n + 1},sad" for n, name in enumerate(names)]
    lines = ["recording,start,end,emotion", *rows]
    (folder / "turns.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_recordings_are_paired_by_path_then_file_name_then_stem(tmp_path: Path) -> None:
    reference = read_turns(write(tmp_path / "r", "x/a.wav", "y/a.wav", "b.wav", "c.flac", "d.wav"))
    hypothesis = read_turns(write(tmp_path / "h", "y/a.wav", "a.wav", "z/b.wav", "c.wav", "e.wav"))
    paired = pair_recordings(reference, hypothesis)
    starts = {x.name: (x.reference[0].start, x.hypothesis[0].start) for x in paired.recordings}
    assert starts == {"x/a.wav": (0, 1), "y/a.wav": (1, 0), "b.wav": (2, 2), "c.flac": (3, 3)}
    assert (paired.without_hypothesis, paired.without_reference) == (["d.wav"], ["e.wav"])


@pytest.mark.parametrize(
    ("names", "code"),
    [(["x/a.wav", "y/a.wav"], "recording-ambiguous"), (["b"], "recordings-differ")],
)
def test_recordings_that_cannot_be_paired_are_refused(
    tmp_path: Path, names: list[str], code: str
) -> None:
    hypothesis = read_turns(write(tmp_path / "h", "a.wav"))
    with pytest.raises(UsageError) as error:
        pair_recordings(read_turns(write(tmp_path / "r", *names)), hypothesis)
    assert error.value.code == code
    (tmp_path / "two").mkdir()
    for name in ("1.csv", "2.csv"):
        (tmp_path / "two" / name).write_text("recording,start,end\na,0,1\n", encoding="utf-8")
    with pytest.raises(UsageError) as error:
        read_turns(tmp_path / "two")
    assert error.value.code == "recording-twice"
