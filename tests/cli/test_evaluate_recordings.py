"""``emotion-recognize evaluate --recordings`` of what ``analyze`` wrote."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_fairseq.cli.__main__ import main
from emo_fairseq.evaluation import recording_scores
from emo_fairseq.inference.predictor import load_predictor

REFERENCE = """recording,start,end,speaker,text,emotion,valence
a.wav,0,4,A,Hello there.,sad,0.2
a.wav,5,7,B,,happy,0.8
a.wav,8,9,A,,boredom,
a.wav,9,10,A,,,
b.wav,0,1,A,,sad,
"""
PREDICTED = """recording,start,end,speaker,text,emotion,probability_happy,probability_sad,\
prediction_valence,error
a.wav,1,4,s1,hello,sad,0.1,0.9,0.3,
a.wav,5,7,s2,something,sad,0.1,0.9,0.6,
a.wav,8,9,s1,,happy,0.9,0.1,0.6,
a.wav,9,10,s1,,,,,,the turn is silent [silent]
c.wav,0,1,s1,,sad,0.1,0.9,0.5,
"""


MODEL = "--modality text+speech --speech-input log_mel --auxiliary-targets vad"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    paths = tmp_path / "predicted.csv", tmp_path / "reference.csv"
    for path, text in zip(paths, (PREDICTED, REFERENCE), strict=True):
        path.write_text(text, encoding="utf-8")
    return str(paths[0]), str(paths[1])


def test_the_table_has_every_metric_and_what_is_left_out(files, command) -> None:
    pytest.importorskip("pyannote.metrics", reason="needs the extra conversations")
    head, columns, *lines = command("evaluate", *files, "--recordings").splitlines()
    assert head == (
        "1 recording, 4 reference turns, 0.1 min of speech; in parentheses 95% intervals over "
        "turns, since there are fewer than 3 recordings of like size"
    )
    assert columns.split() == ["predicted", "majority"]
    # 3 of 4 s of sad, none of 2 s of happy; 1 of 8 s of A and B is missed.
    table, notes = lines[:-6], lines[-6:]
    shown = {name: cells.split() for name, cells in (line.split("  ", 1) for line in table)}
    assert (shown["time-weighted UAR"][0], shown["time-weighted UAR"][-1]) == ("0.375", "0.500")
    assert shown["time-weighted UAR, where predicted"][0] == "0.500"
    assert shown["time-weighted recall, sad"][0] == "0.750"
    assert shown["speech without a prediction"][0] == "0.167"
    assert shown["segment F1, sad"][0] == "0.667"
    assert shown["DER"][0] == "0.125"
    assert shown["WER"][0] == "0.500"
    assert notes == [
        "1 recording with no predicted turns: not scored (b.wav)",
        "1 recording with no reference turns: not scored (c.wav)",
        "1 reference turn (1.0 s) with an emotion that is not predicted, not scored: boredom 1",
        "1 reference turn (1.0 s) without an emotion, not scored",
        "1 predicted turn without an emotion, which predict none: missed",
        "WER: 1 predicted turn left out, whose reference turn has no text",
    ]


def test_json_has_the_metrics_and_the_notes(files, command, monkeypatch) -> None:
    monkeypatch.setattr(recording_scores, "_is_installed", lambda _: False)
    record = json.loads(command("evaluate", *files, "--recordings", "--json"))
    assert (record["recordings"], record["turns"], record["labels"]) == (
        ["a.wav"],
        4,
        ["happy", "sad"],
    )
    assert record["metrics"]["time_uar"]["value"] == 0.375
    assert record["metrics"]["time_uar"]["baseline"] == 0.5
    assert not {"der", "wer"} & record["metrics"].keys()
    for metric, library in (("DER", "pyannote.metrics"), ("WER", "jiwer")):
        sentence = f"no {metric}: it needs {library}; pip install 'emo_fairseq[conversations]'"
        assert sentence in record["notes"]


def test_segmentations_without_emotions_are_scored_by_speakers(tmp_path, files, command) -> None:
    pytest.importorskip("pyannote.metrics", reason="needs the extra conversations")
    (tmp_path / "rttm").mkdir()
    lines = ["SPEAKER a 1 0 4 <NA> <NA> A <NA> <NA>", "SPEAKER a 1 5 2 <NA> <NA> B <NA> <NA>"]
    (tmp_path / "rttm" / "a.rttm").write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = command("evaluate", files[0], tmp_path / "rttm", "--recordings", "--json")
    record = json.loads(out)
    assert record["metrics"]["der"]["value"] == pytest.approx(3 / 6)  # 1 s missed, 2 s too much
    collar = command(
        "evaluate", files[0], tmp_path / "rttm", "--recordings", "--json", "--collar", "0.25"
    )
    assert json.loads(collar)["metrics"]["der"]["value"] != record["metrics"]["der"]["value"]
    assert "no reference turn has an emotion: no metrics of emotions" in record["notes"]


def test_emotions_in_the_texts_of_predicted_subtitles_are_noted(tmp_path, files, command) -> None:
    pytest.importorskip("jiwer", reason="needs the extra conversations")
    subtitles = tmp_path / "a.srt"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:04,000\n[A]: [sad] Hello there.\n")
    record = json.loads(command("evaluate", subtitles, files[1], "--recordings", "--json"))
    (note,) = [note for note in record["notes"] if note.startswith("WER: ")]
    assert note.startswith("WER: 1 predicted turn with a text that begins in brackets")
    assert record["metrics"]["wer"]["value"] == 0.5


def test_a_recording_in_which_nobody_was_found_to_speak_is_missed(files, command) -> None:
    pytest.importorskip("pyannote.metrics", reason="needs the extra conversations")
    predicted = Path(files[0]).with_name("a.csv")
    predicted.write_text(PREDICTED.partition("\n")[0] + "\n", "utf-8")
    record = json.loads(command("evaluate", predicted, files[1], "--recordings", "--json"))
    values = {key: metric["value"] for key, metric in record["metrics"].items()}
    assert (values["time_uar"], values["time_missed"], values["der"]) == (0.0, 1.0, 1.0)
    assert values["time_uar_predicted"] is None


@pytest.mark.parametrize(
    ("reference", "further", "code"),
    [
        (REFERENCE, ["--split", "valid"], "option-idle"),
        ("recording,start,end\na.wav,0,1\n", [], "turns-incomparable"),
        (REFERENCE.replace("0.8", "3.5"), [], "vad-scale"),
        ("recording,start,end\nd.wav,0,1\n", [], "recordings-differ"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    files, reference: str, further: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(files[1]).write_text(reference, encoding="utf-8")
    assert main(["evaluate", *files, "--recordings", *further]) != 0
    assert f"[{code}]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--collar", "1"], "--collar: is of whole recordings; add --recordings"),
        (["--speakers", "2"], "--speakers: is of whole recordings; add --recordings"),
        (["--recordings", "--speakers", "2"], "--speakers: is of turns that are found"),
        (["--recordings", "--combine", "mean"], "--combine: is of a data dir"),
    ],
)
def test_options_that_do_not_act_are_refused(
    files, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *files, *words]) != 0
    error = capsys.readouterr().err
    assert sentence in error
    assert "[option-idle]" in error


def test_a_model_analyzes_the_recordings_of_the_reference(
    trained_models, real_data, tmp_path, command
) -> None:
    pytest.importorskip("faster_whisper", reason="needs the extra asr")
    clips = sorted((real_data("ravdess") / "Actor_01").glob("*.flac"))[:2]
    sounds, rates = zip(*map(soundfile.read, clips), strict=True)
    first, second = (len(sound) / rates[0] for sound in sounds)
    soundfile.write(tmp_path / "call.wav", np.concatenate(sounds), rates[0])
    soundfile.write(tmp_path / "silence.flac", np.zeros(16_000), 16_000)
    rows = [("call", 0, first, "sad"), ("call", first, first + second, "happy")]
    lines = [",".join(map(str, row)) for row in (*rows, ("silence", 0, 1, "sad"))]
    reference = tmp_path / "reference.csv"
    reference.write_text("\n".join(["recording,start,end,emotion", *lines]) + "\n", "utf-8")
    model = trained_models.folder(MODEL)
    words = ("evaluate", model, reference, "--recordings", "--json", "--cpu")
    record = json.loads(command(*words))
    assert record["recordings"] == ["call", "silence"]
    # Speech is found in the recording of speech, and none in silence.
    seconds = record["seconds"]
    missed = record["metrics"]["time_missed"]["value"] * seconds
    assert 1.0 < missed < seconds - 1.0
    assert any("silence" in note for note in record["notes"])
    conversation = load_predictor(model, "cpu").conversation(tmp_path / "call.wav")
    predicted = sum(float(found.turn.end - found.turn.start) for found in conversation.turns)
    assert seconds - missed == pytest.approx(predicted, abs=0.05)
    (tmp_path / "call.wav").unlink()
    assert main([str(word) for word in words]) != 0
