"""Reading audio, and Kaldi's frames against a plain numpy version of them."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep.audio.frames import deltas, log_mel, mfcc, num_frames
from data_prep.audio.loading import load_audio
from data_prep.audio.segment import as_segment

RATE = 16_000


def tone(seconds: float = 1.0, hertz: float = 440.0, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def test_mono_file_is_read_as_it_is(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(), RATE)
    waveform = load_audio(tmp_path / "a.flac")
    assert waveform.dtype == np.float32
    assert waveform.shape == (RATE,)
    np.testing.assert_allclose(waveform, tone(), atol=1 / 32768)


def test_stereo_48_khz_becomes_the_mean_at_16_khz(tmp_path: Path) -> None:
    left, right = tone(hertz=440, rate=48_000), tone(hertz=1000, rate=48_000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 48_000)
    waveform = load_audio(tmp_path / "a.wav")
    expected = (tone(hertz=440) + tone(hertz=1000)) / 2
    assert waveform.shape == (RATE,)
    np.testing.assert_allclose(waveform[200:-200], expected[200:-200], atol=2e-3)


def test_resampling_removes_what_16_khz_cannot_hold(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(hertz=11_000, rate=48_000), 48_000)
    assert np.abs(load_audio(tmp_path / "a.wav")[200:-200]).max() < 1e-3
    assert len(load_audio(tmp_path / "a.wav", sample_rate=22_050)) == 22_050


def _cut(path: Path, keep: float = 0.6) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def _write_bad(kind: str, folder: Path) -> Path:
    wav, flac = folder / "bad.wav", folder / "bad.flac"
    soundfile.write(wav, tone(), RATE)
    soundfile.write(flac, np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    if kind == "absent":
        wav.unlink()
    elif kind == "no bytes":
        wav.write_bytes(b"")
    elif kind == "text":
        wav.write_text("this is no sound")
    elif kind == "no samples":
        soundfile.write(wav, np.zeros(0), RATE)
    elif kind == "not finite":
        soundfile.write(wav, np.array([0.0, np.nan, 0.1]), RATE, subtype="FLOAT")
    elif kind == "cut wav":
        _cut(wav)
    elif kind == "cut flac":
        _cut(flac)
        return flac
    return wav


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("absent", "there is no such file"),
        ("no bytes", "the file is empty"),
        ("text", "unreadable"),
        ("no samples", "holds no sound"),
        ("not finite", "NaN or infinite"),
        ("cut wav", "truncated"),
        ("cut flac", "unreadable"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(kind: str, what: str, tmp_path: Path) -> None:
    path = _write_bad(kind, tmp_path)
    with pytest.raises(ValueError, match=what) as caught:
        as_segment(path).load()
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert ";" in message, "no remedy"
    assert "\n" not in message


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_streamed_wav_states_no_length_and_is_whole(size: int, tmp_path: Path) -> None:
    path = tmp_path / "streamed.wav"
    soundfile.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(content)
    assert load_audio(path).shape == (RATE,)


def test_a_streamed_flac_states_no_length_and_is_whole(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "streamed.flac"
    soundfile.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with soundfile.SoundFile(path) as file:
        assert file.frames > 1 << 40
    np.testing.assert_allclose(load_audio(path), tone(), atol=1 / 32768)


def test_a_long_file_is_read_block_by_block_without_a_seam(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(20.0), RATE)
    np.testing.assert_allclose(load_audio(tmp_path / "a.flac"), tone(20.0), atol=1 / 32768)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050])
def test_num_frames_counts_what_the_extractors_make(rate: int) -> None:
    lengths = [*range(0, 1300, 7), 399, 400, 401, 559, 560, 561]
    lengths += np.random.default_rng(0).integers(1300, 40_000, 20).tolist()
    noise = np.random.default_rng(1).normal(0, 0.1, max(lengths)).astype(np.float32)
    for n in lengths:
        assert len(log_mel(noise[:n], rate)) == num_frames(n, rate), n
    for n in lengths[::10]:
        assert len(mfcc(noise[:n], rate)) == num_frames(n, rate), n
    assert num_frames(0, rate) == 0


def test_too_short_a_waveform_gives_no_frame_of_the_right_width() -> None:
    assert log_mel(np.zeros(399)).shape == (0, 80)
    assert mfcc(np.zeros(399)).shape == (0, 39)


def kaldi_log_mel(waveform: np.ndarray, n_mels: int) -> np.ndarray:
    """Kaldi's filterbank, step by step, in float64."""
    frames = []
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    for start in range(0, len(waveform) - 399, 160):
        frame = waveform[start : start + 400] * 32768
        frame = frame - frame.mean()
        frame = frame - 0.97 * np.append(frame[0], frame[:-1])
        frames.append(np.abs(np.fft.rfft(frame * window, 512)) ** 2)
    power = np.array(frames)[:, :256]

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return 1127 * np.log(1 + np.asarray(hertz) / 700)

    edges = np.linspace(mel(20.0), mel(8000.0), n_mels + 2)
    at = mel(np.arange(256) * RATE / 512)
    rising = (at - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - at) / (edges[2:] - edges[1:-1])[:, None]
    banks = np.maximum(0, np.minimum(rising, falling))  # (n_mels, 256)
    return np.log(np.maximum(power @ banks.T, np.finfo(np.float32).eps))


@pytest.mark.parametrize("n_mels", [23, 80])
def test_log_mel_is_kaldis(n_mels: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    frames = log_mel(noise, n_mels=n_mels)
    assert frames.dtype == np.float32
    np.testing.assert_allclose(frames, kaldi_log_mel(noise, n_mels), atol=2e-3)


def test_frames_have_no_dither_and_scale_with_the_signal() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    assert (log_mel(noise) == log_mel(noise)).all()
    np.testing.assert_allclose(log_mel(2 * noise) - log_mel(noise), 2 * np.log(2), atol=1e-4)
    np.testing.assert_allclose(log_mel(np.zeros(8000)), np.log(np.finfo(np.float32).eps))
    # Louder is only a higher C0: no cepstrum beyond it, and no difference over time, moves.
    change = mfcc(2 * noise) - mfcc(noise)
    assert (change[:, 0] > 1).all()
    np.testing.assert_allclose(change[:, 1:], 0, atol=1e-3)


def test_deltas_are_slopes() -> None:
    ramp = np.arange(10, dtype=np.float32)[:, None] * np.array([1, -3], dtype=np.float32)
    np.testing.assert_allclose(deltas(ramp)[2:-2], np.tile([1, -3], (6, 1)), rtol=1e-6)
    c = np.random.default_rng(0).normal(size=(6, 1)).astype(np.float32)
    at = lambda t: c[min(max(t, 0), 5), 0]  # noqa: E731
    slow = [sum(n * (at(t + n) - at(t - n)) for n in (1, 2)) / 10 for t in range(6)]
    np.testing.assert_allclose(deltas(c)[:, 0], slow, rtol=1e-5)


def test_mfcc_appends_first_and_second_differences() -> None:
    frames = mfcc(np.random.default_rng(0).normal(0, 0.1, 8000))
    assert frames.shape == (num_frames(8000), 39)
    np.testing.assert_allclose(frames[:, 13:26], deltas(frames[:, :13]))
    np.testing.assert_allclose(frames[:, 26:], deltas(deltas(frames[:, :13])))


def test_two_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="average its channels"):
        log_mel(np.zeros((1000, 2)))
