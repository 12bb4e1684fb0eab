"""Waveforms that training reads from packed audio: those of the files."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from codes import raises

from data_prep.audio.segment import AudioSegment
from data_prep.commands.pack_audio import pack_audio
from data_prep.packed_audio import packing
from data_prep.packed_audio.card import FOLDER
from data_prep.schema import read_manifest
from emo_fairseq.data.audio import PackedWaveforms, WaveformDataset
from emo_fairseq.data.encoded import content_digest

MakeTask = Callable[..., Any]
OPTIONS = {"modality": "speech", "target": "emotion", "speech_input": "waveform"}


@pytest.fixture(scope="module")
def packed_toy(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_audio(toy_corpus, out_dir=tmp_path_factory.mktemp("packed"))


@pytest.fixture
def data_dir(copy_toy: Callable[..., Path], packed_toy: Path) -> Path:
    """The toy, whose audio has 16 bits at 16 kHz, and its packed audio."""
    data_dir = copy_toy()
    shutil.copytree(packed_toy, data_dir / FOLDER)
    return data_dir


def copy_file(data_dir: Path, row: int) -> Path:
    """Return the audio file of a row of the train split, which a test may change."""
    links = data_dir / "audio"
    shared = links.resolve()
    links.unlink()
    shutil.copytree(shared, links)
    return data_dir / str(read_manifest(data_dir / "train.tsv")[row].audio)


def waveforms(make_task: MakeTask, data_dir: Path, split: str = "train", **options: Any) -> Any:
    task = make_task(data_dir, **OPTIONS, **options)
    return task.data.build_dataset("speech", task.data.split(split))


def test_rows_are_those_of_files_bit_for_bit(data_dir: Path, make_task: MakeTask) -> None:
    packed = waveforms(make_task, data_dir, max_speech_seconds=0.5)
    plain = waveforms(make_task, data_dir, max_speech_seconds=0.5, packed_audio="off")
    assert (type(packed), type(plain)) == (PackedWaveforms, WaveformDataset)
    np.testing.assert_array_equal(packed.sizes, plain.sizes)
    for row in range(len(plain)):
        assert torch.equal(packed[row][0], plain[row][0])
        assert packed[row][1] == plain[row][1]


def test_no_file_is_opened(
    data_dir: Path, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = waveforms(make_task, data_dir)

    def refuse(part: AudioSegment, sample_rate: int = 0) -> None:
        raise AssertionError(f"{part} is opened")

    monkeypatch.setattr(AudioSegment, "load_with_warnings", refuse)
    copied = pickle.loads(pickle.dumps(dataset))  # as spawned worker processes have it
    assert len(pickle.dumps(dataset)) < (data_dir / FOLDER / "train.s16le").stat().st_size / 10
    assert all(torch.equal(dataset[row][0], copied[row][0]) for row in range(len(dataset)))


def test_a_set_of_a_fold_has_its_rows(data_dir: Path, make_task: MakeTask) -> None:
    rows = {name: read_manifest(data_dir / f"{name}.tsv") for name in ("train", "valid")}
    ids = [row.id for name in rows for row in rows[name]]
    folds = data_dir / "folds" / "mixed.json"
    folds.parent.mkdir()
    sets = {"train": ids[1::2], "valid": ids[2::4], "test": ids[0::4]}
    folds.write_text(
        '{"protocol": "mixed", "unit": "row", "seed": 1, "base": ["train", "valid"], "folds": '
        f'{{"1": {str(sets).replace(chr(39), chr(34))}}}}}'
    )
    for name in sets:
        packed = waveforms(make_task, data_dir, name, fold="mixed/1")
        plain = waveforms(make_task, data_dir, name, fold="mixed/1", packed_audio="off")
        assert isinstance(packed.dataset, PackedWaveforms)
        assert len(packed) == len(sets[name])
        assert all(torch.equal(packed[row][0], plain[row][0]) for row in range(len(packed)))


def test_the_digest_of_a_frozen_encoders_input_is_that_of_the_files(
    data_dir: Path, make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = waveforms(make_task, data_dir, packed_audio="off")
    digest = content_digest(plain, tmp_path / "digests.json")
    packed = waveforms(make_task, data_dir)
    monkeypatch.setattr("data_prep.audio.segment.file_digests", None)  # no file is read
    assert content_digest(packed, tmp_path / "digests.json") == digest


def test_rounded_samples_have_another_digest(
    data_dir: Path, make_task: MakeTask, tmp_path: Path
) -> None:
    file = copy_file(data_dir, 0)
    samples, rate = soundfile.read(file)
    soundfile.write(file, samples + 1e-6, rate, "PCM_24", format="FLAC")
    pack_audio(data_dir)
    packed = waveforms(make_task, data_dir)
    plain = waveforms(make_task, data_dir, packed_audio="off")
    assert 0 < (packed[0][0] - plain[0][0]).abs().max() <= 0.5 / 32768
    assert content_digest(packed, tmp_path / "a.json") != content_digest(plain, tmp_path / "a.json")


def test_damaged_samples_stop_the_training(data_dir: Path, make_task: MakeTask) -> None:
    samples = data_dir / FOLDER / "train.s16le"
    content = bytearray(samples.read_bytes())
    content[0] ^= 1
    samples.write_bytes(content)
    dataset = waveforms(make_task, data_dir)
    assert dataset[1][1]
    with raises("packed-audio-damaged") as error:
        dataset[0]
    assert str(samples) in str(error.value)


def test_a_file_that_could_not_be_packed_is_read(data_dir: Path, make_task: MakeTask) -> None:
    file = copy_file(data_dir, 2)
    whole = file.read_bytes()
    file.write_bytes(b"no audio")
    with raises("audio-invalid"):
        pack_audio(data_dir)
    dataset = waveforms(make_task, data_dir)
    with raises("audio-unreadable") as error:
        dataset[2]
    plain = waveforms(make_task, data_dir, packed_audio="off")
    with raises("audio-unreadable") as expected:
        plain[2]
    assert str(error.value) == str(expected.value)
    file.write_bytes(whole)
    assert torch.equal(dataset[2][0], plain[2][0])


def test_audio_that_is_out_of_date_is_not_read(
    data_dir: Path, make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    file = copy_file(data_dir, 0)
    soundfile.write(file, np.full(soundfile.info(file).frames, 0.25), 16_000, format="FLAC")
    dataset = waveforms(make_task, data_dir)
    assert type(dataset) is WaveformDataset
    assert float(dataset[0][0].mean()) == 0.25
    assert "run `python -m data_prep.pack_audio" in caplog.text


def test_it_is_created_where_that_is_requested(
    copy_toy: Callable[..., Path], make_task: MakeTask, tmp_path: Path, monkeypatch: Any
) -> None:
    data_dir = copy_toy()
    monkeypatch.setattr("emo_fairseq.data.packed_audio.default_workers", lambda: 1)
    folder = tmp_path / "scratch"
    options = {"packed_audio": "create", "packed_audio_dir": str(folder)}
    plain = waveforms(make_task, data_dir, packed_audio="off")
    assert type(waveforms(make_task, data_dir)) is WaveformDataset  # not without
    assert not (data_dir / FOLDER).exists()
    packed = waveforms(make_task, data_dir, **options)
    assert torch.equal(packed[3][0], plain[3][0])
    assert not (data_dir / FOLDER).exists()
    monkeypatch.setattr(packing, "_pack_split", None)
    assert type(waveforms(make_task, data_dir, **options)) is PackedWaveforms


def test_log_mel_frames_are_computed_from_it(data_dir: Path, make_task: MakeTask) -> None:
    def frames(**options: Any) -> Any:
        task = make_task(data_dir, **{**OPTIONS, "speech_input": "log_mel"}, **options)
        return task.data.raw_frames("speech", task.data.split("train"))

    assert torch.equal(frames()[0][0], frames(packed_audio="off")[0][0])
