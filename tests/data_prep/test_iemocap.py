import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from codes import raises
from recorded_corpora import (
    IEMOCAP_VOTES,
    WriteSound,
    change,
    iemocap_labels,
    iemocap_words,
    write_iemocap,
)

from data_prep.commands.prepare import main
from data_prep.commands.validate import validate
from data_prep.corpora.iemocap import (
    CLASSES,
    FOUR_CLASS,
    FULL,
    prepare_iemocap,
)
from data_prep.schema import Corpus, Utterance, read_corpus, read_manifest


@pytest.fixture
def corpus_dir(tmp_path: Path, write_sound: WriteSound) -> Path:
    """Five sessions in the release's layout: 25 judged turns in 11 dialogues."""
    return write_iemocap(tmp_path / "IEMOCAP_full_release", write_sound)


def rows_of(out_dir: Path) -> dict[str, Utterance]:
    return {row.id: row for row in read_manifest(out_dir / "all.tsv")}


def note(corpus: Corpus, what: str) -> str:
    (found,) = (note for note in corpus.notes if what in note)
    return found


def test_labels_speakers_and_votes(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main("iemocap", [str(corpus_dir), str(out)]) == 0
    said = capsys.readouterr().out
    assert f"emotion-recognize train {out} --fold leave_one_session_out\n" in said
    assert read_corpus(out).data_raw == str(corpus_dir)
    rows = rows_of(out)
    assert rows["Ses01F_impro01_M000"] == Utterance(
        "Ses01F_impro01_M000",
        audio="Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav",
        n_samples=1600,
        text="Say M000.",
        speaker="Ses01_M",  # a man, though the woman wears the markers
        session="Ses01",
        dialogue="Ses01F_impro01",
        turn=1,  # said second, listed first
        emotion="happy",
        valence=0.75,
        arousal=0.5,
        dominance=0.25,
        votes="happy:2 neutral:1",  # of outside evaluators; M1 is an actor
        n_annotators=1,
        valence_sd=0.0,
        arousal_sd=0.0,
        dominance_sd=0.0,
        extra={
            "label": "hap",
            "gender": "male",
            "evaluators": "3",
            "agreement": "0.667",
            "evaluator_votes": "E2 hap; E3 hap exc; E4 neu; M1 exc",
            "ratings": "E3 val 4; act 3; dom 2 | M1 val ; act ; dom ",
            "turn_start": "7.5712",
            "turn_end": "8.5712",
        },
    )
    assert [row.id for row in list(rows.values())[:3]] == [
        f"Ses01F_impro01_{turn}" for turn in ("F000", "M000", "F001")
    ]
    assert rows["Ses01F_impro01_FXX0"].speaker == "Ses01_F"
    assert rows["Ses05M_script01_1_F000"].session == "Ses05"
    assert len(rows) == 25
    assert validate(out, corpus_dir) == []


@pytest.mark.parametrize(
    ("classes", "labels", "emotions"),
    [
        ("4", 4, ["neutral", "happy", None, "happy", None]),
        ("5", 5, ["neutral", "happy", None, "happy", "frustrated"]),
        ("6", 6, ["neutral", "happy", None, "excited", "frustrated"]),
        ("all", 10, ["neutral", "happy", None, "excited", "frustrated"]),
    ],
)
def test_class_maps_empty_labels_and_keep_every_row(
    corpus_dir: Path, tmp_path: Path, classes: str, labels: int, emotions: list[str | None]
) -> None:
    corpus = prepare_iemocap(corpus_dir, tmp_path / "out", classes=classes)
    rows = list(rows_of(tmp_path / "out").values())
    assert [row.emotion for row in rows[:5]] == emotions
    assert len(corpus.labels["emotion"]) == labels
    assert len(rows) == 25
    assert rows[2].valence == 0.5  # no label, but VAD
    missing = sum(emotion is None for emotion in emotions)
    assert note(corpus, "-class map").startswith(f"{missing} rows have no label in the {classes}-")
    assert validate(tmp_path / "out", corpus_dir) == []


def test_class_maps_add_up_to_the_known_counts() -> None:
    assert sum(FULL.values()) == 10_039
    assert sum(FULL[label] for label in CLASSES["4"]) == sum(FOUR_CLASS.values()) == 5_531
    assert set(CLASSES["all"]) == set(FULL) - {"xxx"}


def test_vad_outside_the_scale_is_refused_dropped_or_clipped(
    corpus_dir: Path, tmp_path: Path
) -> None:
    change(iemocap_labels(corpus_dir), "5.0000, 4.5000, 3.0000", "5.0000, 5.5000, 3.0000")
    with raises("vad-out-of-scale") as error:
        prepare_iemocap(corpus_dir, tmp_path / "out")
    assert "arousal 5.5 of Ses01F_impro01_M001" in str(error.value)
    assert not (tmp_path / "out").exists()
    clipped = prepare_iemocap(corpus_dir, tmp_path / "out", out_of_scale="clip")
    assert rows_of(tmp_path / "out")["Ses01F_impro01_M001"].arousal == 1.0
    assert "arousal 5.5 of Ses01F_impro01_M001" in note(clipped, "clipped")
    corpus = prepare_iemocap(corpus_dir, tmp_path / "out", out_of_scale="drop-axis")
    row = rows_of(tmp_path / "out")["Ses01F_impro01_M001"]
    assert (row.emotion, row.valence, row.arousal, row.dominance) == ("happy", 1.0, None, 0.5)
    assert [(d.id, d.what, d.reason) for d in corpus.dropped] == [
        ("Ses01F_impro01_M001", "arousal", "5.5 lies outside 1 to 5")
    ]
    assert corpus.splits["all"]["with_vad"] == 24


def test_a_blank_axis_or_vote_is_emptied_alone(corpus_dir: Path, tmp_path: Path) -> None:
    path = iemocap_labels(corpus_dir)
    change(path, "5.0000, 4.5000, 3.0000", "nan, , 3.0000")
    change(path, "C-E2:\tHappiness;\t()", "C-E2:\t;\t()")
    change(path, "C-M1:\tExcited;\t()", "C-M1:\t;\t()")
    corpus = prepare_iemocap(corpus_dir, tmp_path / "out")
    row = rows_of(tmp_path / "out")["Ses01F_impro01_M001"]
    assert (row.valence, row.arousal, row.dominance) == (None, None, 0.5)
    assert [(d.id[-4:], d.what, d.reason) for d in corpus.dropped] == [
        ("M001", "valence", "not rated"),
        ("M001", "arousal", "not rated"),
    ]
    assert note(corpus, "evaluators' lines").startswith("1 evaluators' lines")  # not the actor's
    assert "agreement" not in rows_of(tmp_path / "out")["Ses01F_impro01_M000"].extra


def test_the_bracket_goes_by_the_names_of_the_header(corpus_dir: Path, tmp_path: Path) -> None:
    change(iemocap_labels(corpus_dir), "[V, A, D]", "[A, V, D]")
    prepare_iemocap(corpus_dir, tmp_path / "out")
    row = rows_of(tmp_path / "out")["Ses01F_impro01_M000"]
    assert (row.arousal, row.valence, row.dominance) == (0.75, 0.5, 0.25)


def test_transcriptions_hold_more_than_utterances(corpus_dir: Path, tmp_path: Path) -> None:
    path = iemocap_words(corpus_dir)
    change(path, "Say M000.", "Yes. [LAUGHTER]  It\u2019s <sil> fine(2) ++NOISE++</s>")
    change(path, "Say F001.", "[BREATHING]")
    change(path, "Ses01F_impro01_FXX0 [015.0000-016.0000]: Say FXX0.\n", "")
    with path.open("ab") as file:
        file.write(b"Ses01F_impro01_MXX3 [017.0-018.0]: [LAUGHTER]\nM: [LAUGHTER]\n\n")
        file.write(b"Ses01F_impro01_F000 [006.2901-007.2901]: Say F000 caf\xe9.\n")
    (path.parent / f"._{path.name}").write_bytes(b"\x00finder")
    corpus = prepare_iemocap(corpus_dir, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert rows["Ses01F_impro01_M000"].text == "Yes. [LAUGHTER] It's fine"
    assert rows["Ses01F_impro01_F001"].text == "[BREATHING]"
    assert rows["Ses01F_impro01_F000"].text == "Say F000."
    assert rows["Ses01F_impro01_FXX0"].text is None
    assert ("Ses01F_impro01_FXX0", "text", "no transcript") in {
        (d.id, d.what, d.reason) for d in corpus.dropped
    }
    assert "1 transcribed lines without a label line" in note(corpus, "Ses01F_impro01_MXX3")
    assert note(corpus, "name no turn").startswith("1 ")
    assert note(corpus, "transcribed twice").endswith(": Ses01F_impro01_F000")
    assert note(corpus, "notes of sounds").startswith("2 texts hold")
    assert note(corpus, "forced alignment").startswith("1 texts held")
    assert validate(tmp_path / "out", corpus_dir) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (b"I mean\x85 you\x92re fine\x85", "I mean... you're fine..."),  # Windows-1252
        ("one\u2028two\x0bthree".encode(), "one two three"),
    ],
)
def test_a_line_of_a_transcription_ends_at_a_line_end_alone(
    corpus_dir: Path, tmp_path: Path, words: bytes, text: str
) -> None:
    path = iemocap_words(corpus_dir)
    path.write_bytes(path.read_bytes().replace(b"Say M000.", words))
    assert words in path.read_bytes()
    corpus = prepare_iemocap(corpus_dir, tmp_path / "out")
    assert rows_of(tmp_path / "out")["Ses01F_impro01_M000"].text == text
    assert not any("name no turn" in note for note in corpus.notes)


def test_sound_notes_are_cut_out_when_told(corpus_dir: Path, tmp_path: Path) -> None:
    change(iemocap_words(corpus_dir), "Say M000.", "Yes. [LAUGHTER] No.")
    change(iemocap_words(corpus_dir), "Say F001.", "[BREATHING]")
    out = tmp_path / "out"
    assert main("iemocap", [str(corpus_dir), str(out), "--drop-sound-notes"]) == 0
    rows = rows_of(out)
    assert rows["Ses01F_impro01_M000"].text == "Yes. No."
    assert rows["Ses01F_impro01_F001"].text is None
    assert [(d.id, d.reason) for d in read_corpus(out).dropped if d.what == "text"] == [
        ("Ses01F_impro01_F001", "the transcript is blank")
    ]


@pytest.mark.parametrize(
    ("row", "old", "new"),
    [
        (4, "\tneu\t", "\tneutral\t"),
        (4, "[2.5000, 2.5000, 2.5000]", ""),
        (4, "2.5000, 2.5000, 2.5000", "2.5, 2.5"),
        (4, "2.5000, 2.5000, 2.5000", "a, 2.5, 2.5"),
        (4, "Ses01F_impro01_F000", "Ses01F_impro02_F000"),
        (4, "Ses01F_impro01_F000", "Ses01F_impro01_X000"),
        (1, "[V, A, D]", "[P, A, D]"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused(
    corpus_dir: Path, tmp_path: Path, row: int, old: str, new: str
) -> None:
    path = iemocap_labels(corpus_dir)
    lines = [line for line in path.read_text().split("\n") if "M000" not in line and line]
    path.write_text("\n".join([lines[0], "", *IEMOCAP_VOTES.splitlines()[:1], *lines[7:]]))
    change(path, old, new)
    with raises("row-invalid") as error:
        prepare_iemocap(corpus_dir, tmp_path / "out")
    assert f"{path}: row {row}: " in str(error.value)
    assert not (tmp_path / "out").exists()


def test_recordings_without_a_label_line_are_noted(
    corpus_dir: Path, tmp_path: Path, write_sound: WriteSound
) -> None:
    write_sound(corpus_dir / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_MXX9.wav")
    corpus = prepare_iemocap(corpus_dir, tmp_path / "out")
    assert note(corpus, "recordings").startswith("1 recordings have no label line: Ses01F_impro01_")


def test_odd_votes_and_repeated_turns_are_noted(corpus_dir: Path, tmp_path: Path) -> None:
    path = iemocap_labels(corpus_dir)
    change(path, "C-E4:\tNeutral state;", "C-E4:\tBoredom;")
    with path.open("a") as file:
        file.write("\n[20.0 - 21.0]\tSes01F_impro01_F000\tsad\t[1.0, 1.0, 1.0]\n")
    corpus = prepare_iemocap(corpus_dir, tmp_path / "out")
    assert note(corpus, "evaluators' lines").startswith(
        "1 evaluators' lines cannot be read: Ses01F_impro01.txt: row "
    )
    rows = rows_of(tmp_path / "out")
    votes = rows["Ses01F_impro01_M000"].extra
    assert "agreement" not in votes  # of two known votes both agree, of three nobody knows
    assert (votes["evaluators"], votes["evaluator_votes"]) == ("2", "E2 hap; E3 hap exc; M1 exc")
    assert note(corpus, "no agreement").startswith("1 rows have no agreement")
    assert note(corpus, "no agreement").endswith(": Ses01F_impro01_M000")
    assert rows["Ses01F_impro01_F000"].emotion == "neutral"
    (row,) = (d for d in corpus.dropped if d.what == "row")
    assert row.id == "Ses01F_impro01_F000"
    assert "repeats the turn of row 11" in row.reason


def test_folds_of_sessions_and_speakers(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    corpus = prepare_iemocap(corpus_dir, out)
    printed = capsys.readouterr().out
    assert "leave_one_session_out fold 5 test: 4 rows, 2 speakers" in printed
    assert f"leave_one_speaker_out: 10 folds; {out}/folds/leave_one_speaker_out.json" in printed
    assert "leave_one_speaker_out fold" not in printed
    assert corpus.folds == {
        "leave_one_session_out": {"unit": "session", "folds": 5, "seed": 1},
        "leave_one_session_out_dialogues": {"unit": "session", "folds": 5, "seed": 1},
        "leave_one_speaker_out": {"unit": "speaker", "folds": 10, "seed": 1},
        "seed_sessions": {"unit": "session", "folds": 1, "seed": 1},
    }
    rows = rows_of(out)
    sets = {name: json.loads((out / f"folds/{name}.json").read_text()) for name in corpus.folds}
    for number, fold in sets["leave_one_session_out"]["folds"].items():
        assert {rows[name].session for name in fold["test"]} == {f"Ses0{number}"}
        speakers = [{rows[name].speaker for name in fold[split]} for split in ("train", "valid")]
        assert speakers[0].isdisjoint(speakers[1])
        assert f"Ses0{number}" not in {rows[n].session for n in fold["train"] + fold["valid"]}
    seed = sets["seed_sessions"]["folds"]["1"]
    assert [len(seed[split]) for split in ("train", "valid", "test")] == [17, 4, 4]
    for fold in sets["leave_one_speaker_out"]["folds"].values():
        assert {rows[n].session for n in fold["valid"]} == {rows[n].session for n in fold["test"]}


def test_a_part_of_the_corpus_is_prepared_and_said(corpus_dir: Path, tmp_path: Path) -> None:
    for path in corpus_dir.glob("Session[2-5]"):
        path.rename(tmp_path / path.name)
    corpus = prepare_iemocap(corpus_dir, tmp_path / "out")
    assert note(corpus, "a part of") == "a part of the corpus: Ses01"
    assert note(corpus, "leave_one_session_out are").startswith(
        "folds leave_one_session_out are not made: 1 sessions are too few"
    )
    assert not (tmp_path / "out" / "folds").exists()
    assert validate(tmp_path / "out", corpus_dir) == []


def test_other_counts_than_the_known_ones_are_warned_of(
    corpus_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        corpus = prepare_iemocap(corpus_dir, tmp_path / "out")
    assert note(corpus, "full copy has").endswith(
        "has 10039 turns; in 4 classes 5531: Ses01 1085, Ses02 1023, Ses03 1151, Ses04 1031, "
        "Ses05 1241"
    )
    assert "this copy differs from the full one: neu 1, not 1708;" in caplog.text


def test_folds_that_differ_are_kept(corpus_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_iemocap(corpus_dir, out)
    before = (out / "corpus.yaml").read_bytes(), (out / "all.tsv").read_bytes()
    path = iemocap_labels(corpus_dir)
    path.write_text(path.read_text().split("[15.0000")[0])  # one turn fewer
    with raises("folds-exist"):
        prepare_iemocap(corpus_dir, out)
    assert before == ((out / "corpus.yaml").read_bytes(), (out / "all.tsv").read_bytes())
    prepare_iemocap(corpus_dir, out, force=True)
    assert len(rows_of(out)) == 24


def test_another_layout_is_refused(corpus_dir: Path, tmp_path: Path) -> None:
    with raises("corpus-layout"):
        prepare_iemocap(tmp_path / "nothing", tmp_path / "out")
    path = iemocap_labels(corpus_dir, "Ses02F_script01_1")
    path.rename(iemocap_labels(corpus_dir).with_name(path.name))
    with raises("file-misplaced") as error:
        prepare_iemocap(corpus_dir, tmp_path / "out")
    assert path.name in str(error.value)


@pytest.mark.realdata
def test_the_real_corpus(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    corpus_dir = real_data("iemocap")
    assert main("iemocap", [str(corpus_dir), str(tmp_path)]) == 0
    corpus = read_corpus(tmp_path)
    assert corpus.splits["all"]["rows"] == 10_039
    assert corpus.splits["all"]["emotion"] == {
        "neutral": 1708,
        "sad": 1084,
        "angry": 1103,
        "happy": 1636,
    }
    assert not any("differs from the full" in note for note in corpus.notes)
    assert validate(tmp_path, corpus_dir) == []
