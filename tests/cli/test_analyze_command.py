"""``analyze``: what is written of a recording, what is printed, and what is refused."""

import base64
import csv
import io
import json
import os
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import soundfile
from codes import raises

from data_prep.audio.loading import load_audio
from data_prep.segmentation.formats import read_segmentation
from data_prep.segmentation.labels import without_labels
from data_prep.segmentation.turn import Turn
from emo_fairseq.cli.__main__ import main
from emo_fairseq.cli.analyze.recordings import Recording, match_turn_files
from emo_fairseq.cli.analyze.rows import as_csv, as_jsonl
from emo_fairseq.cli.analyze.sound import encode_sound
from emo_fairseq.cli.analyze.turns import OPTIONS
from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.evaluation.turn_files import read_turns
from emo_fairseq.inference.conversation import Conversation, PredictedTurn
from emo_fairseq.inference.predictor import load_predictor

MODEL = "--modality text+speech --speech-input log_mel --auxiliary-targets vad"
NUMBERS = "--modality speech --speech-input log_mel --target vad"
RATE = 16_000
AXES = ("valence", "arousal", "dominance")
HOSTILE = "</script><script>alert(1)</script>"
TURNS = f"""start,end,speaker,text
0.0,0.75,Anna,"So ""glad"", {HOSTILE}"
0.5,1.25,Ben,
1.25,1.26,Anna,short
1.3,2.0,Anna,leave me
"""


def write_tone(path: Path, seconds: float = 2.0) -> Path:
    time = np.arange(round(seconds * RATE)) / RATE
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time), RATE)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a recording and its turns."""
    monkeypatch.chdir(tmp_path)
    write_tone(tmp_path / "call.wav")
    (tmp_path / "call.csv").write_text(TURNS)
    return tmp_path


def analyze(*words: object) -> int:
    return main(["analyze", *map(str, words)])


def rows(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_recording_with_its_turns(trained_models, folder, capsys):
    model = trained_models.folder(MODEL)
    assert analyze(model, "call.wav", "--segments", "call.csv") == 1  # one turn is too short
    out, err = capsys.readouterr()
    expected = load_predictor(model, "cpu").conversation(
        folder / "call.wav", read_segmentation(folder / "call.csv")
    )
    found = rows("conversations/call.csv")
    assert len(found) == 4
    for row, turn in zip(found, expected.turns, strict=True):
        assert row["recording"] == "call.wav"
        assert (row["start"], row["end"]) == (str(turn.turn.start), str(turn.turn.end))
        assert (row["speaker"], row["emotion"]) == (turn.turn.speaker, turn.label or "")
        if turn.prediction is None:
            continue
        assert float(row["confidence"]) == pytest.approx(turn.confidence, rel=1e-4)
        for label in expected.labels:
            probability = turn.prediction.probabilities[label]
            assert float(row[f"probability_{label}"]) == pytest.approx(probability, rel=1e-4)
        for axis in AXES:
            assert float(row[f"prediction_{axis}"]) == pytest.approx(turn.values[axis], rel=1e-4)
        assert row["shift"] == {None: "", True: "1", False: "0"}[turn.shift]
    assert found[0]["text"] == f'So "glad", {HOSTILE}'
    assert found[2]["error"].endswith("[audio-too-short]")
    assert HOSTILE not in Path("conversations/call.conversation.html").read_text()
    lines = out.splitlines()
    assert lines[0].startswith("call.wav: 4 turns, 2.2 s of speech in 2.0 s, emotion shifts: ")
    assert lines[0].endswith("turns without a prediction: 1 (audio-too-short 1)")
    assert [line.split()[0] for line in lines[1:4]] == ["all", "Anna", "Ben"]
    assert "no prediction 0%" in lines[1]
    assert lines[4].startswith("  turns without a text, which the model reads: 1; --transcribe ")
    assert lines[5] == "  conversations/call.csv, conversations/call.conversation.html"
    assert "error" not in err


def test_every_format_is_read_back(trained_models, folder):
    model = trained_models.folder(MODEL)
    kinds = ("csv", "textgrid", "eaf", "srt", "vtt", "rttm", "jsonl")
    words = ("--segments", "call.csv", "--output-dir", "out", "--formats", ",".join(kinds))
    assert analyze(model, "call.wav", *words) == 1
    given = read_segmentation("call.csv").turns
    emotions = {row["start"]: row["emotion"] for row in rows("out/call.csv")}
    for suffix in ("csv", "TextGrid", "eaf", "srt", "vtt", "rttm", "jsonl"):
        tiers = ["Anna", "Ben"] if suffix == "TextGrid" else []
        turns = read_segmentation(f"out/call.{suffix}", recording="call.wav", tiers=tiers).turns
        assert len(turns) == len(given), suffix
        for turn, original in zip(turns, given, strict=True):
            assert float(turn.start) == pytest.approx(float(original.start), abs=1e-3)
            assert float(turn.end) == pytest.approx(float(original.end), abs=1e-3)
            assert turn.speaker == original.speaker
            if original.text and suffix in ("csv", "TextGrid", "eaf", "jsonl"):
                assert turn.text == original.text
    labels = load_predictor(model, "cpu").labels
    for suffix in ("srt", "vtt"):
        subtitles = read_segmentation(f"out/call.{suffix}")
        texts = [turn.text for turn in without_labels(subtitles, labels).turns]
        assert texts == [turn.text for turn in given], "the labels are not said"
    for suffix in ("TextGrid", "eaf", "srt", "vtt", "rttm"):
        text = Path(f"out/call.{suffix}").read_text()
        assert all(emotion in text for emotion in emotions.values()), suffix
    as_table, as_lines = (read_turns(Path(f"out/call.{x}")).turns for x in ("csv", "jsonl"))
    assert [turn.emotion for turn in as_lines["call.wav"]] == [
        turn.emotion for turn in as_table["call.wav"]
    ]
    objects = [json.loads(line) for line in Path("out/call.jsonl").read_text().splitlines()]
    assert [item["emotion"] or "" for item in objects] == list(emotions.values())
    assert list(objects[0])[:6] == ["recording", "start", "end", "speaker", "text", "emotion"]
    assert objects[2]["error"].endswith("[audio-too-short]")


def test_tables_of_turns_have_their_channels(tmp_path):
    turns = [PredictedTurn(Turn(Decimal(n), Decimal(n + 1), "A", channel=n)) for n in (1, 2)]
    conversation = Conversation("call.wav", 4.0, ("sad",), (), turns)
    for name, write in {"t.csv": as_csv, "t.jsonl": as_jsonl}.items():
        (tmp_path / name).write_text(write(conversation))
        read = read_segmentation(tmp_path / name)
        assert [turn.channel for turn in read.turns] == [1, 2]
    mixed = replace(conversation, turns=[PredictedTurn(replace(turns[0].turn, channel=None))])
    assert "channel" not in as_csv(mixed) + as_jsonl(mixed)


def test_an_audformat_database(trained_models, folder, capsys, monkeypatch):
    audformat = pytest.importorskip("audformat")
    model = trained_models.folder(MODEL)
    words = ("--segments", "call.csv", "--formats", "csv,audformat")
    assert analyze(model, "call.wav", *words) == 1
    table = audformat.Database.load("conversations/call.audformat")["emotion"].get()
    assert set(table.index.get_level_values("file")) == {"call.wav"}
    found = rows("conversations/call.csv")
    seconds = [time.total_seconds() for time in table.index.get_level_values("start")]
    assert seconds == [float(row["start"]) for row in found]
    assert table["emotion"].astype(object).fillna("").tolist() == [row["emotion"] for row in found]
    assert table["speaker"].tolist() == [row["speaker"] for row in found]
    assert table["valence"].count() == 3
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert analyze(model, "call.wav", "--formats", "audformat") == 2
    assert 'pip install -e ".[audformat]"' in capsys.readouterr().err


def test_turns_with_the_same_times_are_in_two_tables_of_audformat(trained_models, folder, caplog):
    audformat = pytest.importorskip("audformat")
    cue = "WEBVTT\n\n00:00.000 --> 00:01.000\n<v Ann>good</v> <v Ben>no</v>\n"
    Path("two.vtt").write_text(cue)
    words = ("--segments", "two.vtt", "--formats", "audformat")
    assert analyze(trained_models.folder(MODEL), "call.wav", *words) == 0
    database = audformat.Database.load("conversations/call.audformat")
    speakers = {name: database[name].get()["speaker"].tolist() for name in database.tables}
    assert speakers == {"emotion": ["Ann"], "emotion-2": ["Ben"]}
    assert "1 turns have the times of another one" in caplog.text


def test_a_model_of_numbers(trained_models, folder, capsys):
    words = ("--segments", "call.csv", "--formats", "csv,vtt,page", "--page-audio", "none")
    assert analyze(trained_models.folder(NUMBERS), "call.wav", *words) == 1
    out, _ = capsys.readouterr()
    assert "emotion shifts" not in out
    assert "valence" in out.splitlines()[2]
    first = rows("conversations/call.csv")[0]
    assert (first["emotion"], first["confidence"], first["shift"]) == ("", "", "")
    assert f"[valence {float(first['prediction_valence']):.3f}, " in (
        Path("conversations/call.vtt").read_text()
    )


def part_of(page: str, name: str) -> str:
    match = re.search(rf'id="{name}">(.*?)</script>', page, re.DOTALL)
    assert match is not None
    return match[1]


def test_the_sound_of_the_page(trained_models, folder):
    model = trained_models.folder(NUMBERS)
    write_tone(folder / "a #1.wav")
    words = ("a #1.wav", "--segments", "call.csv", "--formats", "page", "--overwrite")
    page = folder / "conversations" / "a #1.conversation.html"
    for how, sound in {
        "link": {"type": None, "link": "../a%20%231.wav"},
        "none": {"type": None, "link": None},
        "embed": {"type": "audio/mpeg", "link": None},
    }.items():
        assert analyze(model, *words, "--page-audio", how) == 1
        html = page.read_text()
        assert json.loads(part_of(html, "sound")) == sound
        samples = base64.b64decode(part_of(html, "samples"))
        assert bool(samples) == (how == "embed")
        assert json.loads(part_of(html, "document"))["recording"] == "a #1.wav"
    decoded, rate = soundfile.read(io.BytesIO(samples))
    assert rate == RATE
    assert len(decoded) == pytest.approx(2 * RATE, abs=0.1 * RATE)
    strongest = np.abs(np.fft.rfft(decoded[:RATE])).argmax()
    assert 150 < strongest < 900  # Hz, of a tone that rises


def test_a_name_that_is_no_utf8(trained_models, folder, capsys):
    name = os.fsdecode(b"caf\xe9.wav")
    try:
        write_tone(folder / "plain.wav").rename(folder / name)
    except OSError:
        pytest.skip("file names are UTF-8 here")
    words = ("--segments", "call.csv", "--formats", "csv,jsonl,page", "--page-audio", "link")
    assert analyze(trained_models.folder(NUMBERS), name, *words) == 1
    assert capsys.readouterr().out.startswith("caf\\udce9.wav: 4 turns")
    out = folder / "conversations"
    assert rows(out / os.fsdecode(b"caf\xe9.csv"))[0]["recording"] == "caf\\udce9.wav"
    html = (out / os.fsdecode(b"caf\xe9.conversation.html")).read_text()
    assert json.loads(part_of(html, "sound"))["link"] == "../caf%E9.wav"


def test_one_recording_does_not_stop_the_others(trained_models, folder, capsys):
    write_tone(folder / "x" / "call.wav")
    write_tone(folder / "y" / "talk.mp3", 1.0)
    (folder / "broken.wav").write_bytes(b"RIFF" + bytes(100))
    turns = folder / "turns"
    turns.mkdir()
    lines = [
        f"SPEAKER {name} 1 {at} 0.5 x x A\n"
        for name in ("call.wav", "x/call.wav")
        for at in (0, 0.5)
    ]
    (turns / "call.rttm").write_text("".join(lines))
    (turns / "broken.rttm").write_text("SPEAKER broken 1 0 0.5 x x A\n")
    paths = ("call.wav", "absent.wav", "broken.wav", "x", "y/talk.mp3", "./call.wav")
    words = ("--segments", turns, "--formats", "csv")
    assert analyze(trained_models.folder(MODEL), *paths, *words) == 1
    out, err = capsys.readouterr()
    assert "recordings given more than once, and analyzed once: 1" in err
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert [line.split(":")[1].strip() for line in errors] == [
        "absent.wav",
        "broken.wav",
        "y/talk.mp3",
    ]
    assert errors[2].endswith("[segments-missing]")
    assert sorted(path.name for path in Path("conversations").iterdir()) == [
        "call.wav-2.csv",
        "call.wav.csv",
    ]
    assert [line for line in out.splitlines() if line.startswith(("call.wav", "x/call.wav"))]


def test_silence_is_one_line(trained_models, folder, capsys):
    pytest.importorskip("faster_whisper")
    soundfile.write("silence.wav", np.zeros(RATE), RATE)
    assert analyze(trained_models.folder(MODEL), "silence.wav") == 0
    out, err = capsys.readouterr()
    first, second, _ = out.splitlines()
    assert first == "silence.wav: no turns"
    assert second == "  its 1.0 s are silent throughout; check the recording"
    assert rows("conversations/silence.csv") == []
    assert "error" not in err


def test_files_that_are_there_stay(trained_models, folder, capsys):
    model = trained_models.folder(MODEL)
    words = ("call.wav", "--segments", "call.csv", "--formats", "csv")
    assert analyze(model, *words, "--output-dir", folder) == 2
    assert "is one of the inputs" in capsys.readouterr().err
    assert Path("call.csv").read_text() == TURNS
    Path("conversations").mkdir()
    Path("conversations/call.csv").write_text("mine")
    assert analyze(model, *words) == 2
    assert "give --overwrite" in capsys.readouterr().err
    assert Path("conversations/call.csv").read_text() == "mine"
    assert analyze(model, *words, "--overwrite") == 1
    assert len(rows("conversations/call.csv")) == 4
    assert analyze(model, *words, "--output-dir", model / "out") == 2
    assert "is part of a model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--formats", "csv,doc"), "--formats csv,doc: 'doc' is none of csv, jsonl"),
        (("--formats", ""), "--formats: names no format"),
        (("--formats", "csv", "--page-audio", "none"), "--page-audio: is of the page"),
        (("--tier", "Anna"), "--tier: is of --segments"),
        (("--segments", "call.csv", "--pause", "1"), "--pause: is of turns that are found"),
        (("--min-turn", "99"), "--min-turn: 99 is not from"),
        (("--speakers", "two"), "--speakers: 'two'; give none"),
        (("--segments", "absent.rttm"), "--segments absent.rttm: there is no such file"),
        (("--language", "en"), "--language acts with --transcribe"),
        (("--output-dir", "call.wav"), "--output-dir call.wav: call.wav is no folder"),
    ],
)
def test_options_that_are_refused(trained_models, folder, capsys, words, message):
    assert analyze(trained_models.folder(MODEL), "call.wav", *words) == 2
    assert f"error: {message}" in capsys.readouterr().err


def test_what_is_no_recording_is_refused(trained_models, folder, capsys):
    model = trained_models.folder(MODEL)
    assert analyze(model) == 1
    assert "there is nothing to analyze" in capsys.readouterr().err
    assert analyze(model, "call.csv") == 1
    assert "call.csv: is no recording" in capsys.readouterr().err


def test_the_sound_of_a_page_is_at_the_times_of_the_recording(tmp_path):
    """A browser adds the delay of the encoder, by which turns were played too early and cut."""
    samples = np.zeros(3 * RATE, np.float32)
    samples[2 * RATE : 2 * RATE + 64] = 0.5 * np.hanning(64)
    soundfile.write(tmp_path / "click.wav", samples, RATE)
    decoded = load_audio(encode_sound(tmp_path / "click.wav"))
    assert abs(int(np.abs(decoded).argmax()) - (2 * RATE + 32)) <= 4
    assert len(decoded) >= len(samples)
    soundfile.write(tmp_path / "click.wav", samples[:800], RATE)
    assert len(load_audio(encode_sound(tmp_path / "click.wav"))) >= 800


def test_files_of_turns_are_matched_by_their_names(tmp_path):
    one, two = (Recording(Path(f"{name}.wav"), name) for name in ("one", "two"))
    (tmp_path / "turns").mkdir()
    files = {}
    for name in ("any.srt", "one.srt", "turns/two.rttm", "turns/two.txt"):
        files[name] = tmp_path / name
        files[name].touch()
    assert match_turn_files([one], [files["any.srt"]]) == {one.path: files["any.srt"]}
    matched = match_turn_files([one, two], [tmp_path / "turns", files["one.srt"]])
    assert matched == {one.path: files["one.srt"], two.path: files["turns/two.rttm"]}
    with raises("segments-unmatched"):
        match_turn_files([one, two], [files["any.srt"]])
    (tmp_path / "turns" / "one.vtt").touch()
    with raises("segments-ambiguous"):
        match_turn_files([one], [tmp_path / "turns", files["one.srt"]])


def test_turns_are_not_read_as_those_of_two_recordings_of_one_name(tmp_path):
    recordings = [Recording(Path(f"{folder}/one.wav"), folder) for folder in "xy"]
    subtitles, table = tmp_path / "one.srt", tmp_path / "one.csv"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:01,000\nHi\n")
    table.write_text("start,end\n0,1\n")
    for file in (subtitles, table):
        with raises("segments-ambiguous"):
            match_turn_files(recordings, [file])
    table.write_text("file,start,end\nx/one.wav,0,1\ny/one.wav,0,2\n")
    assert set(match_turn_files(recordings, [table]).values()) == {table}
    table.write_text("file,start,end\nx/one.wav,0,1\n")
    with raises("segments-ambiguous"):
        match_turn_files(recordings, [table])
    beside = [recordings[0], Recording(Path("x/one.mp3"), "one.mp3")]
    assert len(match_turn_files(beside, [subtitles])) == 2


def test_files_of_turns_beside_the_recordings_are_named(trained_models, folder, capsys):
    (folder / "calls").mkdir()
    write_tone(folder / "calls" / "one.wav")
    (folder / "calls" / "one.srt").touch()
    (folder / "calls" / "two.vtt").touch()
    analyze(trained_models.folder(MODEL), "calls")
    assert "beside the recordings, not read: 1 (one.srt); --segments" in capsys.readouterr().err


def test_every_option_of_turns_is_a_field():
    assert set(OPTIONS) <= set(TurnOptions.__dataclass_fields__)
