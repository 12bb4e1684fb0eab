"""Turns of whole recordings."""

import io
from decimal import Decimal

import numpy as np
import pytest
import soundfile
from codes import raises

from data_prep.segmentation.turn import check_turns
from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.diarization.turns import find_turns

RATE = 16_000


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
    assert check_turns(path, found.turns) == found.turns
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


def test_recordings_without_turns(tmp_path):
    noise = np.random.default_rng(0).normal(scale=0.01, size=RATE).astype(np.float32)
    with raises("speech-missing") as error:
        find_turns(noise, name="a.wav")
    assert str(error.value).startswith("a.wav: ")
    assert "1.0 s" in str(error.value)
    assert "at -40 dB" in str(error.value)
    with raises("speech-missing") as error:
        find_turns(np.zeros(RATE, np.float32))
    assert "at -inf dB" in str(error.value)
    with raises("channels-missing"):
        find_turns(noise, TurnOptions(speakers="channels"))
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
