"""Log-mel frames on disk: equal to those computed, row by row, and never stale or half-written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep.audio import read_audio
from data_prep.extract_features import N_MELS, extract_log_mel, frames_of
from data_prep.schema import Corpus, Utterance, read_manifest, write_corpus, write_manifest
from data_prep.stored_features import open_features, read_card

LENGTHS = {"long": 16_000, "short": 100, "middle": 5_000}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A corpus of one split: three sounds, one shorter than a frame, and a row without audio."""
    noise = np.random.default_rng(0)
    rows = [Utterance(id="silent", text="no audio")]
    for name, length in LENGTHS.items():
        soundfile.write(tmp_path / f"{name}.wav", noise.uniform(-0.5, 0.5, length), 16_000)
        rows.append(Utterance(id=name, audio=f"{name}.wav", n_samples=length))
    write_corpus(tmp_path, Corpus("noise"), {"train": rows})
    return tmp_path


def test_stored_frames_are_the_computed_ones(data_dir: Path) -> None:
    folder = extract_log_mel(data_dir)
    rows = read_manifest(data_dir / "train.tsv")
    stored = open_features(folder, "train", rows)
    assert stored is not None
    assert isinstance(stored.frames, np.memmap)
    assert len(stored) == len(rows)
    for position, row in enumerate(rows):
        expected = np.zeros((0, N_MELS))
        if row.audio is not None:
            expected = frames_of(read_audio(data_dir / row.audio))
        assert stored[position].shape == expected.shape
        np.testing.assert_allclose(stored[position], expected, atol=0.01)
    assert [len(stored[position]) for position in range(4)] == [0, 98, 1, 29]


def test_the_number_of_workers_changes_nothing(data_dir: Path) -> None:
    alone = (extract_log_mel(data_dir, workers=1) / "train.npy").read_bytes()
    (data_dir / "features" / "log_mel" / "features.yaml").unlink()
    assert (extract_log_mel(data_dir, workers=2) / "train.npy").read_bytes() == alone


def test_what_is_finished_is_not_done_again(data_dir: Path) -> None:
    array = extract_log_mel(data_dir) / "train.npy"
    before = array.stat().st_mtime_ns
    extract_log_mel(data_dir)
    assert array.stat().st_mtime_ns == before


def test_frames_of_another_manifest_are_refused_and_then_redone(data_dir: Path) -> None:
    folder = extract_log_mel(data_dir)
    rows = read_manifest(data_dir / "train.tsv")
    edited = [*rows[:-1], replace(rows[-1], n_samples=4_999)]
    with pytest.raises(ValueError, match=r"train\.npy: the manifest has changed since; run"):
        open_features(folder, "train", edited)
    write_manifest(data_dir / "train.tsv", rows[:2])
    extract_log_mel(data_dir)
    stored = open_features(folder, "train", rows[:2])
    assert stored is not None
    assert len(stored) == 2


def test_a_bad_file_leaves_no_half_written_split(data_dir: Path) -> None:
    (data_dir / "middle.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"middle\.wav: the file is empty"):
        extract_log_mel(data_dir)
    folder = data_dir / "features" / "log_mel"
    assert not [path for path in folder.iterdir() if path.suffix != ".yaml"]
    assert "train" not in read_card(folder).get("splits", {})


def test_a_folder_without_the_split_has_no_frames(data_dir: Path) -> None:
    assert open_features(data_dir / "features" / "log_mel", "train", []) is None


def test_other_sound_under_the_same_name_is_extracted_again(data_dir: Path) -> None:
    folder = extract_log_mel(data_dir)
    rows = read_manifest(data_dir / "train.tsv")
    soundfile.write(data_dir / "long.wav", np.zeros(LENGTHS["long"]), 16_000)
    extract_log_mel(data_dir)
    stored = open_features(folder, "train", rows)
    assert stored is not None
    assert np.ptp(stored[1]) == 0  # digital silence
