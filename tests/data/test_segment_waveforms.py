"""Segments of one recording, as training reads them: each row its own sound."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import three_tones

from data_prep.audio.segment import AudioSegment
from data_prep.commands import extract_features
from data_prep.schema import Corpus, Utterance, write_corpus
from emo_fairseq.data.audio import WaveformDataset
from emo_fairseq.data.encoded import content_digest
from emo_fairseq.errors import UsageError

OPTIONS = {"modality": "speech", "target": "emotion"}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    three_tones.write_recording(tmp_path / "long.wav")
    write(tmp_path, three_tones.rows())
    return tmp_path


def write(data_dir: Path, rows: list[Utterance]) -> None:
    valid = [replace(row, id=f"v{row.id}") for row in rows]
    corpus = Corpus("tones", labels={"emotion": ("sad", "glad")})
    write_corpus(data_dir, corpus, {"train": rows, "valid": valid})


def waveforms(data_dir: Path, *times: tuple[float, float | None]) -> WaveformDataset:
    parts = [AudioSegment(data_dir / "long.wav", *pair) for pair in times]
    return WaveformDataset(parts, np.full(len(parts), 8000), 320_000, list(map(str, parts)))


def test_each_row_has_its_own_tone(data_dir: Path) -> None:
    dataset = waveforms(data_dir, (0.0, 0.5), (0.5, 1.0), (1.0, None), (0.1, 0.3))
    sounds = [dataset[row][0].numpy() for row in range(4)]
    assert [three_tones.pitch(sound) for sound in sounds] == [300, 900, 2100, 300]
    assert [len(sound) for sound in sounds] == [8000, 8000, 8000, 3200]
    assert max(np.abs(sounds[0])) == pytest.approx(three_tones.PEAK, abs=0.01)


def test_a_segment_outside_its_recording_names_the_row(data_dir: Path) -> None:
    dataset = waveforms(data_dir, (1.0, 9.0))
    with pytest.raises(UsageError, match=r"long\.wav from 1 s to 9 s: "):
        dataset[0]


def test_a_changed_segment_changes_the_digest(data_dir: Path) -> None:
    memory = data_dir / "digests.json"

    def digest(*pair: Any) -> str:
        return content_digest(waveforms(data_dir, pair), memory)

    pairs = [(0.0, None), (0.0, 0.5), (0.5, None), (0.5, 1.0)]
    assert len({digest(*pair) for pair in pairs}) == 4
    assert digest(0.5, 1.0) == digest(0.5, 1.0)


def test_without_segments_the_digest_is_what_it_was(tmp_path: Path) -> None:
    """The one by which outputs of frozen encoders of before are found in their cache."""
    (tmp_path / "a.wav").write_bytes(b"some sound")
    dataset = WaveformDataset([tmp_path / "a.wav", None], np.array([8000, 0]), 320_000, ["a", "b"])
    expected = "80f3c965e58131bc966c900531aa1210b45ce8e1e73ea1ec9bd194349f8f59f4"
    assert content_digest(dataset, tmp_path / "digests.json") == expected


@pytest.mark.parametrize("stored", [False, True])
def test_log_mel_of_a_task(data_dir: Path, make_task: Callable[..., Any], stored: bool) -> None:
    if stored:
        assert extract_features.main([str(data_dir), "--workers", "1"]) == 0
    task = make_task(data_dir, speech_input="log_mel", **OPTIONS)
    split = task.data.split("train")
    frames = task.data.raw_frames("speech", split)
    loudest = [int(frames[row][0].mean(0).argmax()) for row in range(3)]
    assert loudest == sorted(set(loudest))  # three bands, higher for each tone
    assert [len(frames[row][0]) for row in range(3)] == [48, 48, 48]


def test_stored_features_of_other_segments_are_refused(
    data_dir: Path, make_task: Callable[..., Any]
) -> None:
    assert extract_features.main([str(data_dir), "--workers", "1"]) == 0
    first, *others = three_tones.rows()
    write(data_dir, [replace(first, end=0.4), *others])
    with pytest.raises(UsageError, match="the manifest has changed since"):
        make_task(data_dir, speech_input="log_mel", **OPTIONS)
