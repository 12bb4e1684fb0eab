"""The log-mel items: its sizes are real frame counts, its bands have mean 0 and deviation 1."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from codes import raises

from data_prep.audio.frames import log_mel
from data_prep.commands import extract_features
from data_prep.commands.validate import validate
from data_prep.errors import Fault
from data_prep.features.log_mel import N_MELS
from data_prep.schema import read_manifest
from data_prep.tokens.kmeans_corpus import tokenize_with_kmeans
from emo_fairseq.data.audio import ComputedFrames, WaveformDataset
from emo_fairseq.data.frame_statistics import FrameStatistics, Normalization
from emo_fairseq.data.frames import NormalizedFrames


def normalized(frames: ComputedFrames) -> NormalizedFrames:
    """By the statistics of all rows."""
    statistics = FrameStatistics.fit(frames, n_utterances=100, seed=0)
    return NormalizedFrames(frames, Normalization.of_train(statistics, len(frames)))


LENGTHS = (400, 559, 560, 4000, 16_000)


@pytest.fixture
def waveforms(tmp_path: Path) -> Callable[..., WaveformDataset]:
    """Noise whose loudness grows with its row; the last row has no audio."""

    def make(max_samples: int = 12_000) -> WaveformDataset:
        generator = np.random.default_rng(0)
        paths: list[Path | None] = []
        for row, n_samples in enumerate(LENGTHS):
            paths.append(tmp_path / f"{row}.wav")
            soundfile.write(paths[-1], 0.02 * (row + 1) * generator.normal(size=n_samples), 16_000)
        return WaveformDataset([*paths, None], np.array([*LENGTHS, 0]), max_samples, list("abcde"))

    return make


def test_sizes_are_the_frame_counts(waveforms: Callable[..., WaveformDataset]) -> None:
    frames = ComputedFrames(waveforms())
    counts = [len(frames[row][0]) for row in range(len(frames))]
    assert frames.sizes.tolist() == counts
    assert counts == [1, 1, 2, 23, 73, 1]


def test_frames_are_data_preps(waveforms: Callable[..., WaveformDataset]) -> None:
    audio = waveforms()
    frames, present = ComputedFrames(audio)[3]
    assert present
    assert frames.shape == (23, N_MELS)
    np.testing.assert_allclose(frames.numpy(), log_mel(audio[3][0].numpy()), atol=1e-6)


def test_a_row_without_audio_is_absent(waveforms: Callable[..., WaveformDataset]) -> None:
    frames, present = ComputedFrames(waveforms())[len(LENGTHS)]
    assert not present
    assert frames.shape == (1, N_MELS)
    assert frames.isfinite().all()


def test_statistics_are_those_of_all_frames(waveforms: Callable[..., WaveformDataset]) -> None:
    frames = ComputedFrames(waveforms())
    statistics = FrameStatistics.fit(frames, n_utterances=100, seed=0)
    everything = np.concatenate([frames[row][0].numpy() for row in range(len(LENGTHS))])
    np.testing.assert_allclose(statistics.mean, everything.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(statistics.std, everything.std(axis=0), rtol=1e-4)


def test_statistics_of_a_sample_are_of_whole_rows(
    waveforms: Callable[..., WaveformDataset],
) -> None:
    frames = ComputedFrames(waveforms())
    alone = [frames[row][0].mean(dim=0).numpy() for row in range(len(LENGTHS))]
    statistics = FrameStatistics.fit(frames, n_utterances=1, seed=0)
    assert any(np.allclose(statistics.mean, mean, rtol=1e-5) for mean in alone)
    assert statistics == FrameStatistics.fit(frames, n_utterances=1, seed=0)


def test_a_band_that_never_varies_is_not_divided_by_zero() -> None:
    silent = [(torch.full((3, N_MELS), -15.9), True)]
    statistics = FrameStatistics.fit(silent, n_utterances=5, seed=0)
    assert min(statistics.std) > 0


def test_no_audio_at_all_is_refused() -> None:
    nobody = WaveformDataset([None, None], np.array([0, 0]), 12_000, ["a", "b"])
    with raises("frames-missing"):
        FrameStatistics.fit(ComputedFrames(nobody), n_utterances=5, seed=0)


def test_normalized_frames_have_mean_0_and_deviation_1(
    waveforms: Callable[..., WaveformDataset],
) -> None:
    frames = ComputedFrames(waveforms())
    items = normalized(frames)
    everything = torch.cat([items[row][0] for row in range(len(LENGTHS))])
    torch.testing.assert_close(everything.mean(dim=0), torch.zeros(N_MELS), atol=1e-4, rtol=0)
    deviation = everything.std(dim=0, correction=0)
    torch.testing.assert_close(deviation, torch.ones(N_MELS), atol=1e-4, rtol=0)
    assert everything.dtype == torch.float32


def test_loudness_is_kept(waveforms: Callable[..., WaveformDataset]) -> None:
    """Not normalized by utterance: a louder one stays louder."""
    frames = ComputedFrames(waveforms())
    items = normalized(frames)
    levels = [float(items[row][0].mean()) for row in range(len(LENGTHS))]
    assert levels == sorted(levels)


def test_a_batch_is_padded(waveforms: Callable[..., WaveformDataset]) -> None:
    frames = ComputedFrames(waveforms())
    items = normalized(frames)
    batch = items.collater([items[3], items[0], items[5]])
    assert batch["frames"].shape == (3, 23, N_MELS)
    assert (~batch["padding_mask"]).sum(dim=1).tolist() == [23, 1, 1]
    assert batch["frames"][batch["padding_mask"]].eq(0).all()
    assert batch["present"].tolist() == [True, True, False]


def test_stored_frames_are_the_computed_ones(
    copy_toy: Callable[..., Path], make_task: Callable[..., Any]
) -> None:
    """Down to what half precision keeps, and cut at the same place."""
    data = copy_toy(lambda split, rows: rows[:4] if split == "train" else rows[:2])
    options = {"modality": "speech", "speech_input": "log_mel", "max_speech_seconds": 0.7}
    task = make_task(data, **options)
    task.load_dataset("train")
    computed = task.dataset("train")
    assert extract_features.main([str(data), "--workers", "1"]) == 0
    task = make_task(data, **options)
    task.load_dataset("train")
    stored = task.dataset("train")
    assert (computed.sizes[0] == stored.sizes[0]).all()
    for row in range(len(computed)):
        before, after = (d.collater([d[row]])["net_input"]["speech"] for d in (computed, stored))
        assert before["frames"].shape == after["frames"].shape
        torch.testing.assert_close(before["frames"], after["frames"], atol=0.02, rtol=0)
        assert len(before["frames"][0]) <= 68


def test_stored_frames_of_other_recordings_are_not_read(
    copy_toy: Callable[..., Path], make_task: Callable[..., Any], tmp_path: Path
) -> None:
    data = copy_toy(lambda split, rows: rows[:2])
    assert extract_features.main([str(data), "--workers", "1"]) == 0
    for name in ("copied", "silent"):
        for row in read_manifest(data / "train.tsv"):
            target = tmp_path / name / str(row.audio)
            target.parent.mkdir(parents=True, exist_ok=True)
            if name == "copied":
                shutil.copyfile(data / str(row.audio), target)
            else:
                soundfile.write(target, np.zeros(row.n_samples), 16_000)
    options = {"modality": "speech", "speech_input": "log_mel"}
    loudest = {}
    for name in ("copied", "silent"):
        task = make_task(data, data_raw=str(tmp_path / name), **options)
        frames = task.data.raw_frames("speech", task.data.split("train"))
        loudest[name] = float(frames[0][0].max())
    assert loudest["copied"] > 0 > loudest["silent"]


def with_own_recordings(data: Path) -> Path:
    """Put copies of the recordings in place of a link to them."""
    link = data / "audio"
    recordings = link.resolve()
    link.unlink()
    shutil.copytree(recordings, link)
    return data


def test_tokens_of_recordings_that_have_changed_are_warned_of(
    copy_toy: Callable[..., Path], make_task: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    data = with_own_recordings(copy_toy(lambda split, rows: rows[:8]))
    for modality in ("text", "speech"):  # of all rows
        (data / modality).unlink()
    tokenize_with_kmeans(data, n_clusters=4, max_train_frames=500)

    def load() -> list[str]:
        caplog.clear()
        make_task(data, modality="speech", speech_input="tokens").load_dataset("train")
        warnings: list[Fault] = []
        assert validate(data, warnings=warnings) == []
        return [*re.findall("as they are now", caplog.text), *(fault.code for fault in warnings)]

    assert load() == []
    row = read_manifest(data / "train.tsv")[0]
    recording = data / str(row.audio)
    noise = np.random.default_rng(0).normal(0, 0.1, row.n_samples)
    soundfile.write(recording, noise, 16_000)
    assert load() == ["as they are now", "tokens-outdated"]


def test_stored_frames_of_recordings_that_have_changed(
    copy_toy: Callable[..., Path], make_task: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Log-mel frames are computed; other features, which cannot be, are warned of."""
    data = with_own_recordings(copy_toy(lambda split, rows: rows[:2]))
    for name in ("log_mel", "mine"):
        assert extract_features.main([str(data), "--workers", "1", "--name", name]) == 0

    def frames(**options: str) -> torch.Tensor:
        task = make_task(data, modality="speech", **options)
        return torch.as_tensor(task.data.raw_frames("speech", task.data.split("train"))[0][0])

    log_mel_input, features = {"speech_input": "log_mel"}, {"speech_encoder": "features:mine"}
    before = frames(**log_mel_input)
    assert torch.equal(frames(**features), before)
    assert "as they are now" not in caplog.text
    row = read_manifest(data / "train.tsv")[0]
    recording = data / str(row.audio)
    content = recording.read_bytes()
    soundfile.write(recording, np.zeros(row.n_samples), 16_000)
    assert frames(**log_mel_input).max() < 0 < before.max()
    assert "frames of" in caplog.text
    caplog.clear()
    assert torch.equal(frames(**features), before)
    assert "features/mine are not of the recordings in" in caplog.text
    recording.write_bytes(content)
    assert torch.equal(frames(**log_mel_input), before)
