import json
from pathlib import Path

import pytest
from codes import raises
from recorded_corpora import IMPROV_TEXTS, WriteSound, change, improv_line, write_msp_improv

from data_prep.commands.prepare import main
from data_prep.commands.validate import validate
from data_prep.corpora.msp_improv import (
    FULL,
    prepare_msp_improv,
)
from data_prep.schema import Corpus, Utterance, read_corpus, read_manifest


@pytest.fixture
def corpus_dir(tmp_path: Path, write_sound: WriteSound) -> Path:
    """Three sessions as distributed: ten clips, 48 kHz, each with its transcript."""
    return write_msp_improv(tmp_path / "MSP-IMPROV", write_sound)


def wav(corpus_dir: Path, clip: str) -> Path:
    return next(corpus_dir.glob(f"Audio/*/*/*/MSP-IMPROV-{clip}.wav"))


def rows_of(out_dir: Path) -> dict[str, Utterance]:
    return {row.id[len("MSP-IMPROV-") :]: row for row in read_manifest(out_dir / "all.tsv")}


def note(corpus: Corpus, what: str) -> str:
    (found,) = (note for note in corpus.notes if what in note)
    return found


def test_labels_votes_and_names(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main("msp_improv", [str(corpus_dir), str(out)]) == 0
    said = capsys.readouterr().out
    assert f"emotion-recognize train {out} --fold leave_one_session_out\n" in said
    assert read_corpus(out).data_raw == str(corpus_dir)
    rows = rows_of(out)
    assert rows["S01A-F01-S-FM01"] == Utterance(
        "MSP-IMPROV-S01A-F01-S-FM01",
        audio="Audio/session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav",
        n_samples=1600,
        text="How can I not S01A-F01-S-FM01",
        speaker="F01",
        session="session1",
        dialogue="session1_S01A_S_FM",
        turn=1,
        emotion="angry",
        valence=0.125,
        arousal=0.875,
        dominance=0.75,
        votes="angry:2 neutral:1",
        n_annotators=3,
        valence_sd=0.102062,  # of 1, 2 and 1.5, on a scale of 1 to 5
        arousal_sd=0.102062,
        dominance_sd=0.0,
        extra={
            "label": "A",
            "target": "angry",
            "scenario": "other, improvised",
            "gender": "female",
            "naturalness": "4.2",
            "evaluators": "3",
            "agreement": "0.667",
        },
    )
    assert rows["S01A-M01-S-FM02"].dominance is None  # NaN
    assert rows["S01A-M01-S-FM02"].dialogue == "session1_S01A_S_FM"
    assert rows["S01A-M01-S-FM02"].speaker == "M01"
    assert len(rows) == 10
    assert validate(out, corpus_dir) == []


def test_ratings_go_by_their_letter(corpus_dir: Path, tmp_path: Path) -> None:
    change(corpus_dir / "Evalution.txt", "A:4.5; V:1.5;", "V:1.5; A:4.5;")
    prepare_msp_improv(corpus_dir, tmp_path / "out")
    row = rows_of(tmp_path / "out")["S01A-F01-S-FM01"]
    assert (row.valence, row.arousal) == (0.125, 0.875)


@pytest.mark.parametrize(
    ("options", "emotions"),
    [
        ([], [None, None]),
        (["--keep-other"], [None, "other"]),
        (["--keep-no-agreement"], ["no_agreement", None]),
        (["--keep-other", "--keep-no-agreement"], ["no_agreement", "other"]),
    ],
)
def test_other_and_no_agreement_are_classes_on_request(
    corpus_dir: Path, tmp_path: Path, options: list[str], emotions: list[str | None]
) -> None:
    out = tmp_path / "out"
    assert main("msp_improv", [str(corpus_dir), str(out), *options]) == 0
    rows = rows_of(out)
    assert [rows[clip].emotion for clip in ("S01H-F01-P-FM01", "S01H-M01-P-FM02")] == emotions
    corpus = read_corpus(out)
    kept = [emotion for emotion in reversed(emotions) if emotion]
    assert corpus.labels["emotion"] == ("neutral", "sad", "angry", "happy", *kept)
    if None in emotions:
        assert note(corpus, "of no class").startswith(f"{emotions.count(None)} rows")
    assert rows["S01H-F01-P-FM01"].valence == 0.5
    assert validate(out, corpus_dir) == []


def test_activation_is_as_printed_and_its_polarity_measured(
    corpus_dir: Path, tmp_path: Path
) -> None:
    upright = prepare_msp_improv(corpus_dir, tmp_path / "upright")
    assert not any("inverted" in note for note in upright.notes)
    change(corpus_dir / "Evalution.txt", "A:4.5;", "A:1.5;")
    change(corpus_dir / "Evalution.txt", "A:2.0;", "A:4.0;")
    printed = prepare_msp_improv(corpus_dir, tmp_path / "printed")
    assert rows_of(tmp_path / "printed")["S01A-F01-S-FM01"].arousal == 0.125
    assert "less arousal than sad ones (mean 0.125 and 0.750)" in note(printed, "inverted")
    turned = prepare_msp_improv(corpus_dir, tmp_path / "turned", invert_activation=True)
    row = rows_of(tmp_path / "turned")["S01A-F01-S-FM01"]
    assert (row.arousal, row.valence, row.dominance) == (0.875, 0.125, 0.75)
    assert turned.vad == {
        "source_scale": [1.0, 5.0],
        "mapping": "(x - 1) / 4",
        "arousal": "(5 - x) / 4: inverted, as asked for",
    }
    assert not any("inverted" in note for note in turned.notes)


def test_faults_are_listed_each_with_its_reason(
    corpus_dir: Path,
    tmp_path: Path,
    write_sound: WriteSound,
) -> None:
    (corpus_dir / IMPROV_TEXTS / "MSP-IMPROV-S02N-M02-R-MM01.txt").unlink()
    write_sound(corpus_dir / "Audio" / "session3" / "MSP-IMPROV-S09N-F03-P-FM01.wav")
    write_sound(corpus_dir / "Audio" / "session3" / "MSP-IMPROV-S02N-M03-R-MM01.wav")
    with (corpus_dir / "Evalution.txt").open("a") as file:
        file.write(
            "\n" + improv_line("S01A-F01-S-FM01", "H", "3.0", "3.0", "3.0") + " W9; Bored; ; \n"
        )
    corpus = prepare_msp_improv(corpus_dir, tmp_path / "out")
    reasons = {(d.id[len("MSP-IMPROV-") :], d.what): d.reason for d in corpus.dropped}
    assert reasons == {
        ("S01A-F01-S-FM01", "row"): "row 25 repeats the clip of row 1",
        ("S01A-M01-S-FM02", "dominance"): "not rated",
        ("S01H-M01-P-FM02", "dominance"): "not rated",
        ("S02N-M02-R-MM01", "text"): "no transcript",
    }
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 10
    assert rows["S01A-F01-S-FM01"].emotion == "angry"
    assert rows["S01A-F01-S-FM01"].extra["agreement"] == "0.667"  # the bad line is of its copy
    assert rows["S01H-M01-P-FM02"].valence == 0.5
    assert not any("no agreement" in note for note in corpus.notes)
    assert note(corpus, "two folders").endswith(": MSP-IMPROV-S02N-M03-R-MM01")
    assert note(corpus, "no label line").endswith(": MSP-IMPROV-S09N-F03-P-FM01")
    assert note(corpus, "cannot be read") == "1 evaluators' lines cannot be read: row 26"
    assert validate(tmp_path / "out", corpus_dir) == []


def test_a_vote_of_no_known_word_is_no_disagreement(corpus_dir: Path, tmp_path: Path) -> None:
    change(corpus_dir / "Evalution.txt", "MSPW02; Angry;", "MSPW02; Furious;")
    corpus = prepare_msp_improv(corpus_dir, tmp_path / "out")
    row = rows_of(tmp_path / "out")["S01A-F01-S-FM01"]
    assert "agreement" not in row.extra
    assert (row.extra["evaluators"], row.votes) == ("2", "angry:1 neutral:1")
    assert note(corpus, "no agreement").endswith(": MSP-IMPROV-S01A-F01-S-FM01")
    assert note(corpus, "cannot be read") == "1 evaluators' lines cannot be read: row 3"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("; A; A:4.5", "; B; A:4.5"),
        ("A:4.5; ", ""),
        ("A:4.5", "A:high"),
        ("S01A-F01-S-FM01", "S01A-F01"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused(
    corpus_dir: Path, tmp_path: Path, old: str, new: str
) -> None:
    path = corpus_dir / "Evalution.txt"
    change(path, old, new)
    with raises("row-invalid") as error:
        prepare_msp_improv(corpus_dir, tmp_path / "out")
    assert f"{path}: row 1: " in str(error.value)
    assert not (tmp_path / "out").exists()


def test_other_layouts(corpus_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (corpus_dir / "Evalution.txt").rename(corpus_dir / "Evaluation.txt")
    for folder in (corpus_dir / "Audio").iterdir():
        folder.rename(corpus_dir / folder.name)
    (corpus_dir / "Audio").rmdir()
    (corpus_dir / IMPROV_TEXTS).rename(tmp_path / "texts")
    prepare_msp_improv(corpus_dir, out, transcripts=tmp_path / "texts")
    rows = rows_of(out)
    first = rows["S01A-F01-S-FM01"]
    assert first.audio == "session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav"
    assert first.text is not None
    wordless = prepare_msp_improv(corpus_dir, tmp_path / "wordless")
    assert note(wordless, "no transcripts").endswith(" or Human_transcriptions")
    (corpus_dir / "Evalution.txt").write_text("")
    with raises("corpus-layout"):
        prepare_msp_improv(corpus_dir, out)
    (corpus_dir / "Evaluation.txt").unlink()
    with raises("rows-missing"):
        prepare_msp_improv(corpus_dir, out)
    (corpus_dir / "Evalution.txt").unlink()
    with raises("corpus-layout"):
        prepare_msp_improv(corpus_dir, out)


def test_numbers_that_come_twice_are_no_order(corpus_dir: Path, tmp_path: Path) -> None:
    assert rows_of_prepared(corpus_dir, tmp_path / "a")["S01A-M01-S-FM02"].turn == 2
    change(corpus_dir / "Evalution.txt", "S01A-M01-S-FM02", "S01A-M01-S-FM01")
    corpus = prepare_msp_improv(corpus_dir, tmp_path / "b")
    assert {row.turn for row in rows_of(tmp_path / "b").values()} == {None}
    assert note(corpus, "turn is left empty").startswith("turn is left empty: 1 numbers")


def rows_of_prepared(corpus_dir: Path, out_dir: Path) -> dict[str, Utterance]:
    prepare_msp_improv(corpus_dir, out_dir)
    return rows_of(out_dir)


def test_folds_and_counts(corpus_dir: Path, tmp_path: Path) -> None:
    corpus = prepare_msp_improv(corpus_dir, tmp_path / "out")
    assert sum(FULL.values()) == 8438
    assert sum(FULL[letter] for letter in "NSAH") == 7798
    assert note(corpus, "a part") == "a part of the corpus: sessions 01, 02, 03"
    folds = json.loads((tmp_path / "out/folds/leave_one_speaker_out.json").read_text())["folds"]
    assert len(folds) == 6
    assert [len(folds["1"][split]) for split in ("train", "valid", "test")] == [4, 3, 3]
    assert sorted(corpus.folds or {}) == ["leave_one_session_out", "leave_one_speaker_out"]


def test_a_whole_copy_of_other_counts_is_warned_of(corpus_dir: Path, tmp_path: Path) -> None:
    with (corpus_dir / "Evalution.txt").open("a") as file:
        for session in (4, 5, 6):
            file.write("\n" + improv_line(f"S02N-F0{session}-R-FF01", "N", "3.0", "3.0", "3.0"))
    corpus = prepare_msp_improv(corpus_dir, tmp_path / "out")
    assert "N 6, not 3477; S 1, not 885" in note(corpus, "differs from the full one")
