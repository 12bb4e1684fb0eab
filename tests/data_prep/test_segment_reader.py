"""Segments of one compressed recording come from one pass, as `load_with_warnings` loads them."""

from pathlib import Path

import numpy as np
import pytest
from audio_kinds import RATE, VOICE, encode_by_pyav
from codes import raises

from data_prep.audio import opening
from data_prep.audio.loading import load_with_warnings
from data_prep.audio.segment import AudioSegment
from data_prep.audio.segment_reader import SegmentReader

TIMES = [(0.0, 0.1), (0.05, 0.2), (0.2, 0.3), (0.25, 0.3), (0.3, 0.45), (0.3, 99.0)]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "call.m4a"
    path.write_bytes(encode_by_pyav("ipod", "aac"))
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that a container is opened."""
    calls: list[str] = []
    open_container = opening.open_container

    def count(file: object) -> object:
        calls.append(str(file))
        return open_container(file)

    monkeypatch.setattr(opening, "open_container", count)
    return calls


def parts_of(path: Path) -> list[AudioSegment]:
    return [AudioSegment(path, start, end) for start, end in TIMES]


@pytest.mark.parametrize("left_out", [None, 0, 2])
def test_one_pass_loads_what_each_load_does(
    recording: Path, opened: list[str], left_out: int | None
) -> None:
    parts = parts_of(recording)
    expected = [load_with_warnings(x.path, start=x.start, end=x.end) for x in parts[:-1]]
    opened.clear()
    reader = SegmentReader(parts)
    for number, (samples, warnings) in enumerate(expected):
        if number != left_out:
            loaded, theirs = reader.load(parts[number])
            assert np.array_equal(loaded, samples)
            assert theirs == warnings
    with raises("segment-outside"):
        reader.load(parts[-1])
    reader.close()
    assert len(opened) == 1


def test_segments_in_another_order_are_loaded_by_themselves(
    recording: Path, opened: list[str]
) -> None:
    parts = parts_of(recording)[:3][::-1]
    reader = SegmentReader(parts)
    for part in parts:
        loaded, _ = reader.load(part)
        assert len(loaded) == round((part.end - part.start) * RATE)
    assert len(opened) == 3


def test_a_recording_that_is_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "call.m4a"
    path.write_bytes(encode_by_pyav("ipod", "aac")[:200])
    reader = SegmentReader(parts_of(path))
    for part in parts_of(path)[:2]:
        with raises("audio-unreadable"):
            reader.load(part)
    assert len(VOICE) > RATE * TIMES[-2][1]
