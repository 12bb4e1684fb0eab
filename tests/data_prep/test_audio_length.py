import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import soundfile
import soxr
from codes import raises

from data_prep.audio.decoding import AudioError, Reader
from data_prep.audio.loading import load_audio, load_with_warnings, measure_all, measure_audio
from data_prep.audio.opening import open_audio
from data_prep.audio.part import Measured
from data_prep.audio.resampling import resampled_length


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
    with raises("audio-truncated"):
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
    paths = [write_sound(tmp_path / f"{n}.wav", n) for n in range(400, 439)]
    paths.insert(7, tmp_path / "gone.wav")
    found = measure_all(paths, 16_000, workers=4)
    assert isinstance(found.pop(7), AudioError)
    assert found == [Measured(n) for n in range(400, 439)]


def test_segments_of_one_file_are_measured_in_one_pass(
    tmp_path: Path, write_sound: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_sound(tmp_path / "long.wav", 48_000 * 9, 48_000)
    spans = [(0.0, None), (1.5, 2.75), (2.0, 8.0), (0.5, 0.51), (8.5, 9.01), (7.0, 9.5), (3.0, 2.0)]
    expected: list[Measured | str] = []
    for start, end in spans:
        try:
            expected.append(Measured(len(load_audio(path, start=start, end=end))))
        except AudioError as error:
            expected.append(str(error))
    opened = []

    def count(source: Path, **options: Any) -> AbstractContextManager[Reader]:
        opened.append(source)
        return open_audio(source, **options)

    monkeypatch.setattr("data_prep.audio.loading.open_audio", count)
    found = measure_all([(path, *span) for span in spans], 16_000)
    assert [str(f) if isinstance(f, AudioError) else f for f in found] == expected
    assert [type(e) for e in expected].count(str) == 3
    assert opened == [path]


def test_damage_is_in_the_segments_that_hold_it(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000 * 4)
    samples[40_000] = np.nan
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    before, with_nan, behind = measure_all([(path, 0, 2), (path, 1, 3), (path, 3, None)], 16_000)
    assert (before, behind) == (Measured(32_000), Measured(16_000))
    assert str(with_nan) == "holds samples that are NaN or infinite"


def _halve(content: bytes, at: int, n_bytes: int, order: Literal["little", "big"]) -> bytes:
    """Return the content of a file with half of the number that is at an offset."""
    number = int.from_bytes(content[at : at + n_bytes], order) // 2
    return content[:at] + number.to_bytes(n_bytes, order) + content[at + n_bytes :]


@pytest.mark.parametrize(
    ("kind", "chunk", "offset", "n_bytes", "order"),
    [
        ("WAV", b"data", 4, 4, "little"),
        ("RF64", b"ds64", 16, 8, "little"),
        ("AIFF", b"SSND", 4, 4, "big"),
        ("CAF", b"data", 4, 8, "big"),
        ("AU", b".snd", 8, 4, "big"),
    ],
)
def test_a_header_that_counts_fewer_samples_than_the_file_has(
    kind: str, chunk: bytes, offset: int, n_bytes: int, order: Literal["little", "big"]
) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.full(16_000, 0.1), 16_000, format=kind, subtype="PCM_16")
    content = file.getvalue()
    assert load_with_warnings(content)[1] == ()
    samples, warnings = load_with_warnings(
        _halve(content, content.index(chunk) + offset, n_bytes, order)
    )
    assert abs(len(samples) - 8000) <= 2  # the numbers of AIFF and CAF count 4 or 8 bytes more
    assert [warning.partition(":")[0] for warning in warnings] == ["length in doubt"]


@pytest.mark.parametrize(("kind", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS")])
def test_joined_files_of_which_the_first_is_read(tmp_path: Path, kind: str, subtype: str) -> None:
    """Of Ogg those whose streams have the same number; others are read whole by FFmpeg."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * 16_000)
    soundfile.write(file, noise, 16_000, format=kind, subtype=subtype)
    path = tmp_path / "joined"
    path.write_bytes(2 * file.getvalue())
    for source in (path, path.read_bytes()):
        samples, warnings = load_with_warnings(source)
        assert len(samples) == len(noise)
        assert [warning.partition(":")[0] for warning in warnings] == ["length in doubt"]
    assert load_with_warnings(file.getvalue())[1] == ()
    tagged = file.getvalue() + b"TAG" + bytes(125)
    assert kind == "OGG" or load_with_warnings(tagged)[1] == ()
