"""The dataset of waveforms: any file as mono 16 kHz, cut and padded at its end."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from codes import raises

from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.audio import (
    MIN_SAMPLES,
    WaveformDataset,
)
from emo_fairseq.errors import UsageError

WriteTone = Callable[..., Path]


@pytest.fixture
def write_tone(tmp_path: Path) -> WriteTone:
    """A sine of `hertz` in the left channel and silence in any other."""

    def write(seconds: float, rate: int = SAMPLE_RATE, channels: int = 1, hertz: int = 440) -> Path:
        path = tmp_path / f"{seconds}_{rate}_{channels}.wav"
        samples = np.zeros((round(seconds * rate), channels))
        samples[:, 0] = 0.5 * np.sin(2 * np.pi * hertz * np.arange(len(samples)) / rate)
        soundfile.write(path, samples, rate, subtype="FLOAT")
        return path

    return write


def dataset(*paths: Path | None, n_samples: int = 8000, seconds: float = 20.0) -> WaveformDataset:
    sizes = np.full(len(paths), n_samples)
    return WaveformDataset(list(paths), sizes, round(seconds * SAMPLE_RATE), list("abc"))


def test_mono_16_khz_is_read_as_it_is(write_tone: WriteTone) -> None:
    path = write_tone(0.5)
    samples, present = dataset(path)[0]
    assert present
    assert samples.dtype == torch.float32
    np.testing.assert_array_equal(samples.numpy(), soundfile.read(path, dtype="float32")[0])


def test_stereo_48_khz_becomes_mono_16_khz(write_tone: WriteTone) -> None:
    samples, present = dataset(write_tone(0.5, rate=48_000, channels=2))[0]
    assert present
    assert len(samples) == SAMPLE_RATE // 2
    time = np.arange(len(samples)) / SAMPLE_RATE
    expected = 0.25 * np.sin(2 * np.pi * 440 * time)  # the mean of a tone of 0.5 and silence
    middle = slice(500, -500)  # resampling rings at the edges
    np.testing.assert_allclose(samples.numpy()[middle], expected[middle], atol=1e-3)


def test_the_end_of_a_long_file_is_cut(write_tone: WriteTone) -> None:
    path = write_tone(0.5)
    whole = dataset(path)[0][0]
    cut = dataset(path, seconds=0.2)
    assert torch.equal(cut[0][0], whole[:3200])
    assert cut.sizes.tolist() == [3200]


@pytest.mark.parametrize("n_samples", [1, 399])
def test_less_than_a_window_is_refused(write_tone: WriteTone, n_samples: int) -> None:
    path = write_tone(n_samples / SAMPLE_RATE)
    with raises("audio-too-short") as error:
        dataset(path, n_samples=n_samples)
    assert str(error.value).startswith(f"a: {path}: {n_samples} samples ")
    with pytest.raises(UsageError, match=r"^a: .*\.wav: ") as unreadable:
        dataset(path)[0]
    assert unreadable.value.code
    window = dataset(write_tone(MIN_SAMPLES / SAMPLE_RATE), n_samples=MIN_SAMPLES)
    assert len(window[0][0]) == MIN_SAMPLES


def test_a_silent_row_is_loaded_and_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [tmp_path / f"{row}.wav" for row in range(12)]
    for path in paths:
        soundfile.write(path, np.zeros(8000), SAMPLE_RATE)
    names = [f"train.tsv: {row}" for row in range(12)]
    items = WaveformDataset(paths, np.full(12, 8000), SAMPLE_RATE, names)
    for row in (0, 0, *range(12)):
        assert items[row][1]
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == f"train.tsv: 0: {paths[0]}: digital silence: every sample is 0"
    assert len([line for line in lines if "digital silence" in line]) == 10
    assert "data_prep.validate lists them all" in lines[-1]


def test_another_length_than_in_the_manifest_is_warned_of(
    write_tone: WriteTone, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_tone(0.5)
    for n_samples in (8000, 8001):  # resamplers round differently
        assert len(dataset(path, n_samples=n_samples, seconds=0.2)[0][0]) == 3200
    assert not caplog.records
    assert len(dataset(path, n_samples=4000)[0][0]) == 8000
    assert "has 8000 samples where n_samples of the manifest is 4000" in caplog.text


def test_missing_audio_is_a_placeholder(write_tone: WriteTone) -> None:
    items = dataset(None, write_tone(0.5), n_samples=0)
    samples, present = items[0]
    assert not present
    assert samples.tolist() == [0.0] * MIN_SAMPLES
    assert items.sizes[0] == MIN_SAMPLES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"no sound", "unreadable"),
        ("cut", "truncated"),
    ],
)
def test_an_unreadable_file_is_named(
    write_tone: WriteTone, content: bytes | str | None, message: str
) -> None:
    path = write_tone(0.5)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-5000] if isinstance(content, str) else content)
    with pytest.raises(UsageError, match=rf"^a: .*\.wav: .*{message}") as error:
        dataset(path)[0]
    assert error.value.code


def test_a_batch_is_padded_with_zeros(write_tone: WriteTone) -> None:
    items = dataset(write_tone(0.1), write_tone(0.05), None)
    batch = items.collater([items[row] for row in range(3)])
    assert batch["waveform"].shape == batch["padding_mask"].shape == (3, 1600)
    assert (~batch["padding_mask"]).sum(dim=1).tolist() == [1600, 800, MIN_SAMPLES]
    assert batch["waveform"][batch["padding_mask"]].eq(0).all()
    assert batch["present"].tolist() == [True, True, False]
