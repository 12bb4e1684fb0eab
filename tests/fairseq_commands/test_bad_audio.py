"""Audio that cannot be used gets one clear sentence; audio that only looks odd is used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fairseq_process import assert_one_sentence

SPEECH = "--modality speech --batch-size 8 --max-update 1"
RATE = 16_000
SECOND = np.sin(np.arange(RATE) / 10)


def write_wav(file: Path, seconds=1, channels=1, rate=RATE):
    samples = np.tile(SECOND, seconds * rate // RATE)
    soundfile.write(file, np.stack([samples] * channels, axis=1), rate, subtype="PCM_16")


def truncate_wav(file: Path):
    write_wav(file)
    file.write_bytes(file.read_bytes()[:20_000])


def leave_out_samples(file: Path):
    soundfile.write(file, np.zeros(0), RATE)


BAD_AUDIO = {
    "truncated": (truncate_wav, "truncated"),
    "no bytes": (lambda file: file.write_bytes(b""), "empty"),
    "no samples": (leave_out_samples, "0 samples"),
    "not there": (lambda file: None, "no such file"),
}


@pytest.fixture
def with_audio(copy_toy):
    """A data dir in which the first utterance of the train split has another audio file."""

    def make(write, n_samples=RATE, n_rows=None):
        def point_to_it(split, rows):
            if split != "train":
                return rows
            return [replace(rows[0], audio="other.wav", n_samples=n_samples), *rows[1:n_rows]]

        data = copy_toy(point_to_it)
        write(data / "other.wav")
        return data

    return make


@pytest.mark.parametrize(("write", "said"), BAD_AUDIO.values(), ids=BAD_AUDIO)
def test_bad_audio(write, said, with_audio, run):
    data = with_audio(write)
    finished = run("train", f"--data {data}", SPEECH, "--batch-size 32")
    assert_one_sentence(finished, data / "other.wav", said, "drop its row")


def test_bad_audio_in_a_worker_process(with_audio, run):
    data = with_audio(truncate_wav)
    finished = run("train", f"--data {data}", SPEECH, "--batch-size 32 --num-workers 1")
    assert_one_sentence(finished, data / "other.wav", "truncated", "drop its row")


def test_bad_audio_behind_log_mel(with_audio, run):
    data = with_audio(truncate_wav)
    finished = run("train", f"--data {data}", SPEECH, "--speech-input log_mel")
    assert_one_sentence(finished, data / "other.wav", "truncated", "drop its row")


def test_stereo_at_another_rate(with_audio, fairseq, commands, tmp_path):
    """Is no fault: it is averaged to mono and resampled."""
    data = with_audio(lambda file: write_wav(file, channels=2, rate=48_000))
    place = f"--data {data} --save-dir {tmp_path / 'run'}"
    log = fairseq("train", commands["train"], place, SPEECH, "--batch-size 32")
    assert log.figures("train")["bsz"] == 32


def test_five_minutes(with_audio, fairseq, commands, tmp_path):
    """Are cut at --max-speech-seconds, and the log says so."""
    data = with_audio(lambda file: write_wav(file, seconds=305), n_samples=305 * RATE, n_rows=4)
    place = f"--data {data} --save-dir {tmp_path / 'run'}"
    log = fairseq("train", commands["train"], place, SPEECH, "--batch-size 32")
    assert log.figures("train")["bsz"] == 4
    first = (data / "train.tsv").read_text().splitlines()[1].split("\t")[0]
    (said,) = [line for line in log.log.splitlines() if "--max-speech-seconds 20" in line]
    assert "train.tsv: 1 " in said
    assert first in said
