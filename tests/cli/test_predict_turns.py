"""``predict --segments``: a row for each turn of a recording, and files of turns with emotions."""

import csv
import io
import json
from pathlib import Path

import pytest
import soundfile
import three_tones
from codes import raises

from data_prep.segmentation.formats import read_segmentation
from emo_fairseq.cli.__main__ import main

SPEECH = "--modality speech --speech-input log_mel --target vad"
BOTH = "--modality text+speech --speech-input log_mel --target emotion"
AXES = ("valence", "arousal", "dominance")
SRT = """1
00:00:00,000 --> 00:00:00,500
[Anna]: so happy

2
00:00:00,500 --> 00:00:01,000
[Ben]: leave me

3
00:00:01,000 --> 00:00:01,010
[Anna]: short

4
00:00:01,200 --> 00:00:09,000
[Ben]: late
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording of three tones, each tone as a file of its own, and turns."""
    three_tones.write_recording(tmp_path / "long.wav", rate=16_000)
    samples, rate = soundfile.read(tmp_path / "long.wav")
    for number in range(3):
        part = samples[8000 * number : 8000 * (number + 1)]
        soundfile.write(tmp_path / f"{number}.wav", part, rate, "FLOAT")
    turns = [(0, 0.5, "A"), (0.5, 0.5, "B"), (1, 0.5, "A")]
    lines = [f"SPEAKER long 1 {start} {length} x x {who}\n" for start, length, who in turns]
    (tmp_path / "long.rttm").write_text("".join(lines))
    (tmp_path / "long.srt").write_text(SRT)
    return tmp_path


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def values(row: dict[str, str]) -> list[float]:
    return [float(row[f"prediction_{axis}"]) for axis in AXES]


def test_a_turn_is_predicted_as_its_own_file(trained_models, folder, command):
    model = trained_models.folder(SPEECH)
    alone = table(command("predict", model, *(folder / f"{number}.wav" for number in range(3))))
    words = ("predict", model, folder / "long.wav", "--segments", folder / "long.rttm")
    found = table(command(*words))
    assert [values(row) for row in found] == [pytest.approx(values(row), abs=1e-5) for row in alone]
    assert [(row["start"], row["end"], row["speaker"], row["text"]) for row in found] == [
        ("0.0", "0.5", "A", ""),
        ("0.5", "1.0", "B", ""),
        ("1.0", "1.5", "A", ""),
    ]
    assert found[2]["item"] == f"{folder / 'long.rttm'}: line 3"
    rows = [json.loads(line) for line in command(*words, "--format", "jsonl").splitlines()]
    assert [(row["start"], row["end"], row["text"]) for row in rows][2] == (1.0, 1.5, None)


def test_texts_are_read_and_a_turn_that_fails_keeps_its_row(trained_models, folder, capsys):
    model = str(trained_models.folder(BOTH))
    recording, turns = str(folder / "long.wav"), str(folder / "long.srt")
    assert main(["predict", model, recording, "--segments", turns]) == 1
    out, err = capsys.readouterr()
    found = table(out)
    assert [row["modalities"] for row in found] == ["text+speech", "text+speech", "", ""]
    assert "[audio-too-short]" in found[2]["error"]
    assert "[segment-outside]" in found[3]["error"]
    assert "2 of 4 turns failed" in err
    assert main(["predict", model, str(folder / "0.wav"), "--text", "so happy"]) == 0
    (alone,) = table(capsys.readouterr().out)
    assert found[0]["label"] == alone["label"]
    names = [name for name in alone if name.startswith("probability_")]
    assert names
    for name in names:
        assert float(found[0][name]) == pytest.approx(float(alone[name]), abs=1e-4)


def test_labels_of_subtitles_are_not_read_as_words(trained_models, folder, capsys):
    model, recording = str(trained_models.folder(BOTH)), str(folder / "long.wav")
    turns = folder / "long.srt"

    def predicted():
        assert main(["predict", model, recording, "--segments", str(turns)]) == 1
        out, err = capsys.readouterr()
        return table(out), err

    expected, err = predicted()
    assert "labels in brackets" not in err
    marked = SRT.replace(": so happy", ": [sad] so happy").replace("leave me", "[laughs] leave me")
    turns.write_text(marked)
    found, err = predicted()
    assert "labels in brackets skipped: 1" in err
    assert found[0] == expected[0]
    assert found[1]["text"] == "[laughs] leave me"


def test_a_model_normalizes_by_the_speakers_of_the_turns(trained_models, folder, command):
    model = trained_models.folder(f"{SPEECH} --normalize-by speaker")
    turns = ("predict", model, folder / "long.wav", "--segments", folder / "long.rttm")
    lines = ["audio,start,end,speaker", "long.wav,0,0.5,A", "long.wav,0.5,1,B", "long.wav,1,1.5,A"]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    expected = [values(row) for row in table(command("predict", model, folder / "t.csv"))]
    found = table(command(*turns))
    assert [values(row) for row in found] == [pytest.approx(row, abs=1e-6) for row in expected]
    assert [row["warning"] for row in found] == ["", "", ""]
    (folder / "long.rttm").write_text((folder / "long.rttm").read_text().replace(" A", " <NA>"))
    alone = table(command(*turns))
    assert values(alone[0]) != pytest.approx(expected[0], abs=1e-5)
    assert alone[0]["warning"]


@pytest.mark.parametrize("suffix", ["TextGrid", "eaf", "srt", "vtt", "rttm"])
def test_emotions_are_written_beside_the_turns(trained_models, folder, capsys, suffix):
    model, output = trained_models.folder(BOTH), folder / f"out.{suffix}"
    words = ["predict", model, folder / "long.wav", "--segments", folder / "long.srt"]
    assert main([*map(str, words), "--output", str(folder / "rows.csv")]) == 1
    labels = [row["label"] for row in table((folder / "rows.csv").read_text())]
    assert main([*map(str, words), "--output", str(output)]) == 1
    text = output.read_text()
    assert len(labels) == 4
    assert all(text.count(label) == labels.count(label) for label in set(labels) - {""})
    found = read_segmentation(output).turns
    times = [(0, 0.5), (0.5, 1), (1, 1.01), (1.2, 9)]
    assert [(float(turn.start), float(turn.end)) for turn in found] == times
    assert [turn.speaker for turn in found] == ["Anna", "Ben", "Anna", "Ben"]
    if suffix in ("TextGrid", "eaf"):
        label = read_segmentation(output, tiers=["Anna (emotion)"]).turns[0]
        assert label.text == labels[0]
        assert found[0].text == "so happy"
    elif suffix in ("srt", "vtt"):
        assert found[0].text == f"[{labels[0]}] so happy"
        assert found[3].text == "late"


def test_options_that_do_not_fit(trained_models, folder, capsys):
    model = str(trained_models.folder(SPEECH))
    recording, turns = str(folder / "long.wav"), str(folder / "long.rttm")
    for more, code in [
        ([recording, "--output", str(folder / "x.srt")], "format-needs-segments"),
        ([recording, "--tier", "A"], "option-idle"),
        ([recording, "--segments", turns, "--tier", "A"], "option-idle"),
        ([recording, "--segments", turns, "--timeline"], "option-idle"),
        ([recording, recording, "--segments", turns], "segments-recording"),
        ([str(folder), "--segments", turns], "segments-recording"),
        ([recording, "--segments", str(folder / "none.rttm")], "document-invalid"),
        ([recording, "--segments", turns, "--output", turns], "output-is-input"),
    ]:
        assert main(["predict", model, *more]) in (1, 2)
        assert f"[{code}]" in capsys.readouterr().err, more


def test_from_python(trained_models, folder):
    from emo_fairseq.models.roberta_emo import RobertaEMOModel

    predictor = RobertaEMOModel.from_pretrained(str(trained_models.folder(BOTH)))
    turns = read_segmentation(folder / "long.srt").turns
    found = predictor.predict_segments(folder / "long.wav", turns[:2])
    assert [(part.start, part.end, part.speaker) for part in found] == [
        (0.0, 0.5, "Anna"),
        (0.5, 1.0, "Ben"),
    ]
    assert found[0].prediction.text == "so happy"
    assert found[0].as_dict()["speaker"] == "Anna"
    with raises("audio-too-short"):
        predictor.predict_segments(folder / "long.wav", turns[2:3])
