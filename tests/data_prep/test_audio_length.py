from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from data_prep.audio.length import AudioError, measure_all, measure_audio, resampled_length


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_resampled_length_is_what_soxr_returns(rate: int) -> None:
    for frames in (1, 2, 3, 5, 100, rate - 1, rate, rate + 1, 77_777):
        resampled = soxr.resample(np.zeros(frames, np.float32), rate, 16_000)
        assert resampled_length(frames, rate, 16_000) == len(resampled)


def test_stereo_48_khz_counts_per_channel_at_16_khz(
    tmp_path: Path, write_sound: Callable[..., Path]
) -> None:
    path = write_sound(tmp_path / "a.wav", 48_000, 48_000, channels=2)
    assert measure_audio(path, 16_000) == 16_000
    assert measure_audio(path, 48_000) == 48_000


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_truncated_file_is_refused(
    tmp_path: Path, write_sound: Callable[..., Path], cut: Callable[[Path], Path], suffix: str
) -> None:
    path = cut(write_sound(tmp_path / f"a{suffix}", 16_000))
    with pytest.raises(AudioError, match=r"truncated|unreadable"):
        measure_audio(path, 16_000)


def test_a_truncated_wav_says_how_much_is_there(
    tmp_path: Path, write_sound: Callable[..., Path], cut: Callable[[Path], Path]
) -> None:
    path = cut(write_sound(tmp_path / "a.wav", 1000))
    with pytest.raises(AudioError, match="truncated: 978 of 2000 bytes of sound"):
        measure_audio(path, 16_000)


def test_a_streamed_wav_without_a_length_is_no_truncated_one(
    tmp_path: Path, write_sound: Callable[..., Path]
) -> None:
    path = write_sound(tmp_path / "a.wav", 1000)
    raw = bytearray(path.read_bytes())
    raw[4:8] = raw[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(raw)
    assert measure_audio(path, 16_000) == 1000


def test_other_bad_files_are_refused(tmp_path: Path, write_sound: Callable[..., Path]) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(AudioError) as caught:
            measure_audio(path, 16_000)
        return str(caught.value)

    assert refused(tmp_path / "gone.wav") == "there is no such file"
    (tmp_path / "empty.wav").touch()
    assert refused(tmp_path / "empty.wav") == "the file is empty (0 bytes)"
    assert refused(write_sound(tmp_path / "none.wav", 0)) == "holds no sound (0 samples)"
    (tmp_path / "page.wav").write_text("<html>not found</html>")
    assert refused(tmp_path / "page.wav").startswith("unreadable: Format not recognised")
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16_000, subtype="FLOAT")
    assert refused(tmp_path / "nan.wav") == "holds samples that are NaN or infinite"


def test_many_files_keep_their_order_and_their_errors(
    tmp_path: Path, write_sound: Callable[..., Path]
) -> None:
    paths = [write_sound(tmp_path / f"{n}.wav", n) for n in range(1, 40)]
    paths.insert(7, tmp_path / "gone.wav")
    found = measure_all(paths, 16_000, workers=4)
    assert isinstance(found.pop(7), AudioError)
    assert found == list(range(1, 40))
