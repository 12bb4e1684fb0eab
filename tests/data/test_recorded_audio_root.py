"""A task reads audio from the folder that corpus.yaml keeps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import three_tones
from codes import raises

from data_prep.manifest.audio_root import to_record
from data_prep.schema import Corpus, write_corpus

OPTIONS = {"modality": "speech", "target": "emotion", "speech_input": "log_mel"}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data dir in data/ of a recording in raw/."""
    (tmp_path / "raw").mkdir()
    three_tones.write_recording(tmp_path / "raw" / "long.wav")
    rows = three_tones.rows()
    corpus = Corpus(
        "tones", labels={"emotion": ("sad", "glad")}, data_raw=to_record(tmp_path / "raw")
    )
    valid = [replace(row, id=f"v{row.id}") for row in rows]
    write_corpus(tmp_path / "data", corpus, {"train": rows, "valid": valid})
    return tmp_path / "data"


def first_frames(make_task: Callable[..., Any], data_dir: Path, **options: Any) -> np.ndarray:
    task = make_task(data_dir, **OPTIONS, **options)
    frames = task.data.raw_frames("speech", task.data.split("train"))
    return np.asarray(frames[0][0])


def test_the_recorded_folder_is_read(data_dir: Path, make_task: Callable[..., Any]) -> None:
    given = first_frames(make_task, data_dir, data_raw=str(data_dir.parent / "raw"))
    np.testing.assert_array_equal(first_frames(make_task, data_dir), given)


def test_a_moved_folder_is_named_and_may_be_given(
    data_dir: Path, make_task: Callable[..., Any]
) -> None:
    frames = first_frames(make_task, data_dir)
    moved = (data_dir.parent / "raw").rename(data_dir.parent / "moved")
    with raises("data-raw-moved"):
        first_frames(make_task, data_dir)
    np.testing.assert_array_equal(first_frames(make_task, data_dir, data_raw=str(moved)), frames)
