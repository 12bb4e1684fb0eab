"""Sound out of videos: every layout becomes 16 kHz mono, bad clips say why, runs go on."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from codes import raises
from video_clips import tones, write_video

from data_prep.audio import writing
from data_prep.audio.decoding import AudioError
from data_prep.audio.loading import load_audio, load_with_warnings
from data_prep.audio.part import Measured
from data_prep.audio.streaming import stream_audio
from data_prep.audio.writing import (
    extract_all,
    extract_audio,
)

LIMIT = 10.0


def amplitude(waveform: np.ndarray, rate: int, hertz: float) -> float:
    """Of one sine wave in the middle of a waveform, where no codec begins or ends."""
    middle = waveform[len(waveform) // 4 : 3 * len(waveform) // 4]
    turns = np.exp(-2j * np.pi * hertz * np.arange(len(middle)) / rate)
    return float(2 * abs((middle * turns * np.hanning(len(middle)) * 2).mean()))


# -- what comes out --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rate", "layout"),
    [("a.mp4", 48_000, "stereo"), ("a.avi", 44_100, "mono"), ("a.mkv", 16_000, "stereo")],
)
def test_any_clip_becomes_mono_flac_at_16_khz(
    tmp_path: Path, name: str, rate: int, layout: str
) -> None:
    video = write_video(tmp_path / name, 1.0, rate=rate, layout=layout)
    target = tmp_path / "audio" / "a.flac"
    n_samples = extract_audio(video, target, max_seconds=LIMIT).n_samples
    info = soundfile.info(target)
    assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
    assert info.frames == n_samples == pytest.approx(16_000, abs=200)  # AAC fills its last packet
    waveform, _ = soundfile.read(target)
    share = 0.3 / (2 if layout == "stereo" else 1)
    assert amplitude(waveform, 16_000, 300) == pytest.approx(share, rel=0.05)
    if layout == "stereo":
        assert amplitude(waveform, 16_000, 400) == pytest.approx(share, rel=0.05)


def test_sound_without_loss_is_averaged_to_the_sample(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi", 0.5, rate=22_050)
    waveform = load_audio(video, sample_rate=22_050)
    expected = (tones(0.5, 22_050, 2) * 32767).astype(np.int16).mean(axis=0) / 32768
    np.testing.assert_allclose(waveform, expected, atol=1e-6)


def test_surround_keeps_the_centre_in_front(tmp_path: Path) -> None:
    """FL FR FC LFE BL BR, of which the center (500 Hz) has weight 1 of 3.41, the bass none."""
    video = write_video(tmp_path / "a.avi", 1.0, rate=16_000, layout="5.1", levels=[0.3] * 6)
    waveform = load_audio(video)
    total = 2 * 0.5**0.5 + 1 + 2 * 0.5
    weights = [0.5**0.5, 0.5**0.5, 1.0, 0.0, 0.5, 0.5]
    for channel, weight in enumerate(weights):
        found = amplitude(waveform, 16_000, 300 + 100 * channel)
        assert found == pytest.approx(0.3 * weight / total, abs=0.003), channel


# -- bad clips -------------------------------------------------------------------------------------


def write_streams(
    path: Path, streams: list[list[tuple[int, float]]], pictures_at: int = -1
) -> Path:
    """A file of mono streams, each of packets (first sample, level) of 1600 samples at 16 kHz.

    `pictures_at` is the sample at which pictures begin; -1 = there are none.
    """
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        added = [container.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in streams]
        if pictures_at >= 0:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for number in range(3):
                gray = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 128, np.uint8), "rgb24")
                gray.pts = round(pictures_at / 1600) + number
                container.mux(stream.encode(gray))
            container.mux(stream.encode(None))
        for stream, packets in zip(added, streams, strict=True):
            for start, level in packets:
                samples = np.full((1, 1600), round(level * 32768), np.int16)
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                frame.sample_rate, frame.pts = 16_000, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def test_gaps_between_packets_are_silence(tmp_path: Path) -> None:
    packets = [(0, 0.25), (1600, 0.25), (11_200, 0.5), (12_800, 0.5)]
    path = write_streams(tmp_path / "gap.mkv", [packets])
    samples, warnings = load_with_warnings(path)
    assert warnings == ("gaps in its times: 0.50 s, read as silence",)
    expected = np.repeat([0.25, 0.0, 0.5], [3200, 8000, 3200])
    np.testing.assert_allclose(samples, expected, atol=0)
    part, _ = load_with_warnings(path, start=0.7, end=0.9)
    assert set(part.tolist()) == {0.5}
    with stream_audio(path) as stream:
        assert sum(map(len, stream)) == len(samples)


def test_of_several_streams_the_one_that_is_read_is_named(tmp_path: Path) -> None:
    quiet, loud = ([(0, level), (1600, level)] for level in (0.25, 0.5))
    samples, warnings = load_with_warnings(write_streams(tmp_path / "two.mkv", [quiet, loud]))
    number = 1 if samples[0] == 0.25 else 2
    assert warnings == (f"several audio streams: number {number} of 2 is read",)


def test_sound_and_pictures_that_do_not_begin_together_are_noted(tmp_path: Path) -> None:
    late = [(8000, 0.25), (9600, 0.25)]
    path = write_streams(tmp_path / "late.mkv", [late], pictures_at=0)
    samples, (warning,) = load_with_warnings(path)
    assert len(samples) == 3200
    assert warning.startswith("sound begins after the pictures: by 0.50 s;")
    together = write_streams(tmp_path / "together.mkv", [late], pictures_at=8000)
    assert load_with_warnings(together)[1] == ()


def spoil(path: Path, start: float, n_bytes: int) -> Path:
    raw = bytearray(path.read_bytes())
    first = int(len(raw) * start)
    raw[first : first + n_bytes] = b"U" * n_bytes
    path.write_bytes(raw)
    return path


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent.mp4": (lambda path: None, "there is no such file"),
    "empty.mp4": (lambda path: path.write_bytes(b""), "the file is empty (0 bytes)"),
    "junk.mp4": (lambda path: path.write_bytes(b"x" * 5000), "unreadable: Format not recognised"),
    "dumb.mp4": (lambda path: write_video(path, sound=False), "holds no audio stream"),
    "long.mp4": (
        lambda path: write_video(path, 1.5, rate=16_000),
        "1.5 s long or more, over the limit of 1 s",
    ),
    # An avi and an mkv do not say how long their sound is: it is seen while it is decoded.
    "long.avi": (lambda path: write_video(path, 1.5, rate=16_000), "over the limit of 1 s"),
    "spoilt.mp4": (
        lambda path: spoil(write_video(path, 0.9), 0.3, 3000),
        "corrupt: 1",
    ),
    "cut.avi": (
        lambda path: path.write_bytes(write_video(path).read_bytes()[:30_000]),
        "truncated: 30000 of ",
    ),
    "cut.mp4": (
        # Its index lies in front, so that the beginning can be read.
        lambda path: path.write_bytes(
            write_video(path, 0.9, options={"movflags": "faststart"}).read_bytes()[:10_000]
        ),
        "truncated: 0.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_clip_says_why_and_leaves_no_file(tmp_path: Path, name: str) -> None:
    make, reason = BAD[name]
    make(tmp_path / name)
    target = tmp_path / "out" / "a.flac"
    with pytest.raises(AudioError) as caught:
        extract_audio(tmp_path / name, target, max_seconds=1.0)
    assert reason in str(caught.value)
    assert str(tmp_path) not in str(caught.value)  # reasons go into corpus.yaml
    assert not target.exists()


def test_an_error_takes_the_place_of_its_clip(tmp_path: Path) -> None:
    good = write_video(tmp_path / "good.mp4")
    clips = [(tmp_path / "none.mp4", tmp_path / "1.flac"), (good, tmp_path / "2.flac")]
    bad, measured = extract_all(clips, max_seconds=LIMIT, workers=2)
    assert str(bad) == "there is no such file"
    assert isinstance(measured, Measured)
    assert measured.n_samples == soundfile.info(tmp_path / "2.flac").frames
    assert {path.name for path in tmp_path.iterdir()} == {"good.mp4", "2.flac"}


# -- again -----------------------------------------------------------------------------------------


def test_a_finished_flac_is_kept_and_a_stale_or_broken_one_made_again(
    tmp_path: Path, cut: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    video, target = write_video(tmp_path / "a.mp4"), tmp_path / "a.flac"

    def load(path: Path, **options: Any) -> tuple[np.ndarray, tuple[str, ...]]:
        made.extend([path] if path == video else [])
        return load_with_warnings(path, **options)

    monkeypatch.setattr(writing, "load_with_warnings", load)
    n_samples = extract_audio(video, target, max_seconds=LIMIT)
    first = target.read_bytes()
    assert extract_audio(video, target, max_seconds=LIMIT) == n_samples
    assert len(made) == 1
    cut(target)
    assert extract_audio(video, target, max_seconds=LIMIT) == n_samples
    assert (len(made), target.read_bytes()) == (2, first)
    write_video(video, 0.7)  # a better cut of the clip, with the old one's time
    os.utime(video, (0, 0))
    assert extract_audio(video, target, max_seconds=LIMIT) > n_samples
    assert len(made) == 3
    assert extract_audio(video, target, max_seconds=LIMIT) > n_samples
    assert len(made) == 3
    content = video.read_bytes()
    video.write_bytes(content.replace(b"Lavf", b"lavf"))  # of the same size
    extract_audio(video, target, max_seconds=LIMIT)
    assert len(made) == 4


def test_a_kept_flac_obeys_a_new_limit(tmp_path: Path) -> None:
    video, target = write_video(tmp_path / "a.mp4", 1.0), tmp_path / "a.flac"
    extract_audio(video, target, max_seconds=LIMIT)
    with raises("audio-too-long"):
        extract_audio(video, target, max_seconds=0.5)


def test_interrupted_in_the_middle_it_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [
        (write_video(tmp_path / f"{number}.mp4", 0.2), tmp_path / "out" / f"{number}.flac")
        for number in range(6)
    ]
    write, lock = writing._write, threading.Lock()
    written: list[Path] = []

    def stop_at_the_fourth(target: Path, *sound: object) -> None:
        with lock:
            if len(written) == 3:
                raise KeyboardInterrupt
            written.append(target)
        write(target, *sound)  # type: ignore[arg-type]

    monkeypatch.setattr(writing, "_write", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        extract_all(clips, max_seconds=LIMIT, workers=1)
    assert sorted((tmp_path / "out").iterdir()) == sorted(written)
    before = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(writing, "_write", write)
    lengths = extract_all(clips, max_seconds=LIMIT, workers=2)
    assert all(isinstance(length, Measured) for length in lengths)
    assert len(list((tmp_path / "out").iterdir())) == 6
    assert {path: path.stat().st_mtime_ns for path in written} == before


def test_without_pyav_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with raises("library-missing"):
        extract_all([(tmp_path / "a.mp4", tmp_path / "a.flac")], max_seconds=LIMIT)
