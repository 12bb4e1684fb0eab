"""The loader's segments, limits, and what it must not open."""

import io
import struct
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_kinds import VOICE, encode, encode_by_pyav, wav, with_rate, with_size
from codes import raises

from data_prep.audio.decoding import DEFAULT_LIMITS, AudioError
from data_prep.audio.loading import load_audio, measure_audio
from data_prep.audio.opening import is_sequential
from data_prep.audio.streaming import stream_audio

RATE = 16_000
NOISE = np.random.default_rng(0).uniform(-0.4, 0.4, 3 * RATE).astype(np.float32)
FORMS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAVEX", "FLOAT"),
    ("AIFF", "FLOAT"),
    ("AU", "FLOAT"),
    ("CAF", "FLOAT"),
    ("W64", "FLOAT"),
    ("FLAC", "PCM_24"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "GSM610"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_a_segment_is_that_part_of_the_whole(form: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(encode(NOISE, *form))
    whole = load_audio(path)
    for start, end in ((0.0, 1.0), (0.75, 1.5), (1.25, 2.0)):
        segment = load_audio(path, start=start, end=end)
        expected = whole[round(start * RATE) : round(end * RATE)]
        np.testing.assert_allclose(segment, expected, atol=1e-4)
        assert measure_audio(path, RATE, start, end) == len(segment)
    rest = load_audio(path.read_bytes(), start=2.5)
    np.testing.assert_allclose(rest, whole[round(2.5 * RATE) :], atol=1e-4)


def test_mp3_of_a_variable_rate_is_whole_in_blocks_and_in_segments(tmp_path: Path) -> None:
    t = np.arange(10 * RATE) / RATE  # several blocks; frames of a tone are made of few bits
    tone, path = 0.3 * np.sin(2 * np.pi * 300 * t), tmp_path / "a.mp3"
    soundfile.write(path, tone, RATE, bitrate_mode="VARIABLE", compression_level=0.5)
    whole, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(load_audio(path), whole, atol=1e-4)
    for start in (0.2, 1.0, 5.0):
        segment, first = load_audio(path, start=start, end=start + 0.4), round(start * RATE)
        np.testing.assert_allclose(segment, whole[first : first + 6400], atol=1e-4)


def mp3(rate: int, mode: str = "VARIABLE", seconds: float = 4) -> bytes:
    file = io.BytesIO()
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(int(seconds * rate)) / rate)
    options = {"bitrate_mode": mode, "compression_level": 0.5}
    soundfile.write(file, tone, rate, format="MP3", **options)
    return file.getvalue()


@pytest.mark.parametrize("counts_nothing", [True, False])
@pytest.mark.parametrize(
    ("rate", "mode"), [(16000, "VARIABLE"), (44100, "VARIABLE"), (44100, "CONSTANT")]
)
def test_an_mp3_without_a_count_of_frames_is_read_whole(
    rate: int, mode: str, counts_nothing: bool, tmp_path: Path
) -> None:
    """Encoders that write to a pipe make it; libsndfile would read .6 of 4 s, or miss samples."""
    content, path = mp3(rate, mode), tmp_path / "a.mp3"
    at = max(content.find(name, 0, 64) for name in (b"Info", b"Xing"))
    assert at > 0
    begin, n_bytes = (at + 8, 8) if counts_nothing else (at, 4)
    path.write_bytes(content[:begin] + bytes(n_bytes) + content[begin + n_bytes :])
    samples = load_audio(path)
    assert 4 <= len(samples) / 16000 <= 4.3  # with the delay of the encoder, which is not known
    assert np.abs(samples[-8000:-4000]).max() > 0.25
    assert measure_audio(path, RATE) == len(samples)


def test_the_picture_of_an_mp3_without_a_count_is_no_sound() -> None:
    """Its bytes at the bit rate would be a minute; the length is in pages and summaries."""
    content = mp3(44100, "CONSTANT")
    at = max(content.find(name, 0, 64) for name in (b"Info", b"Xing"))
    picture = b"ID3\4\0\0\0\x20\0\0" + bytes(0x20 << 14)
    with stream_audio(picture + content[:at] + bytes(4) + content[at + 4 :]) as stream:
        assert stream.seconds == pytest.approx(sum(map(len, stream)) / 16_000, abs=0.1)


def test_an_mp2_whose_length_is_estimated_is_read_whole() -> None:
    """libsndfile expects more samples than there are, which is no truncation."""
    assert abs(len(load_audio(encode_by_pyav("mp2", "mp2", rate=44_100))) - len(VOICE)) < 1000


@pytest.mark.parametrize("between", [b"", b"TAG" + b" " * 125, b"ID3\4\0\0\0\0\0\x20" + bytes(32)])
def test_mp3_files_that_were_joined_are_read_whole(between: bytes) -> None:
    samples = load_audio(mp3(16000, seconds=2) + between + mp3(16000, seconds=1))
    assert 3 <= len(samples) / 16000 <= 3.2
    assert np.abs(samples[-8000:-4000]).max() > 0.25
    with raises("audio-changes-format"):
        load_audio(mp3(16000, seconds=2) + between + mp3(24000, seconds=1))


def test_tags_after_an_mp3_are_no_sound() -> None:
    whole = load_audio(mp3(44100))
    for tag in (b"TAG" + b" " * 125, b"APETAGEX" + bytes(200), bytes(4096)):
        np.testing.assert_array_equal(load_audio(mp3(44100) + tag), whole)


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
def test_other_bytes_after_an_mp3_without_a_count_are_no_sound(mode: str) -> None:
    content = mp3(44100, mode)
    at = max(content.find(name, 0, 64) for name in (b"Info", b"Xing"))
    content = content[:at] + bytes(4) + content[at + 4 :]
    whole = load_audio(content)
    for rest in (bytes(900), bytes(5000), b"no sound " * 1000):
        np.testing.assert_allclose(load_audio(content + rest), whole, atol=1e-4)


def test_a_picture_after_an_mp3_without_a_count_needs_no_ffmpeg(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """libsndfile skips an APEv2 tag of any size, and nothing else of more than a kilobyte."""
    content = mp3(44100, "CONSTANT")
    at = content.index(b"Info")
    content = content[:at] + bytes(4) + content[at + 4 :]
    size = 5000 + 32  # of the items and the footer
    ends = [b"APETAGEX" + struct.pack("<4I8x", 2000, size, 1, end << 29) for end in (5, 4)]
    monkeypatch.setitem(sys.modules, "av", None)
    tagged = content + ends[0] + bytes(5000) + ends[1] + b"TAG" + b" " * 125
    np.testing.assert_array_equal(load_audio(tagged), load_audio(content))
    with raises("library-missing"):
        load_audio(tagged + bytes(2000))


def test_aac_after_a_tag_as_web_streams_have_it(tmp_path: Path) -> None:
    content, path = encode_by_pyav("adts", "aac"), tmp_path / "part.aac"
    path.write_bytes(b"ID3\4\0\0\0\0\x41\0" + bytes(0x41 << 7) + content)  # more than is read first
    np.testing.assert_array_equal(load_audio(path), load_audio(content))
    assert is_sequential(path)


def test_a_segment_of_a_container() -> None:
    content = encode_by_pyav("mp4", "aac")
    whole = load_audio(content)
    np.testing.assert_array_equal(load_audio(content, start=0.1, end=0.3), whole[1600:4800])
    with raises("segment-outside"):
        load_audio(content, start=0.1, end=9.0)
    with raises("segment-outside"):
        load_audio(content, start=9.0)


def test_a_segment_is_resampled_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 48_000, subtype="FLOAT")
    segment = load_audio(path, start=0.25, end=0.5)
    assert len(segment) == 4000
    expected = load_audio(NOISE[12_000:24_000], source_rate=48_000)
    np.testing.assert_array_equal(segment, expected)


@pytest.mark.parametrize(
    ("start", "end"),
    [(-1, None), (1, 1), (2, 1), (np.nan, 1), (0, np.nan), (3, None), (2, 3.1), (0, np.inf)],
)
def test_a_segment_that_is_not_there(start: float, end: float | None) -> None:
    with raises("segment-outside"):
        load_audio(wav(NOISE), start=start, end=end)


def test_an_end_may_be_rounded_up() -> None:
    assert len(load_audio(wav(NOISE), start=2.0, end=3.015)) == RATE


@pytest.mark.parametrize("rate", [1, 100, 2_000_000])
def test_a_rate_beyond_the_limits_costs_nothing(rate: int) -> None:
    content = with_rate(wav(np.tile(NOISE, 20)), rate)
    tracemalloc.start()
    begin = time.process_time()
    with pytest.raises(AudioError, match=f"a sample rate of {rate} Hz; supported"):
        load_audio(content)
    seconds = time.process_time() - begin
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 0.5
    assert peak < 1_000_000


def test_too_long_is_refused_by_the_header_or_while_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = replace(DEFAULT_LIMITS, max_seconds=1.0)
    assert len(load_audio(wav(NOISE), start=1.5, end=2.5, limits=limits)) == RATE
    for content in (encode_by_pyav("matroska", "flac"), with_size(wav(), 0)):
        with raises("audio-too-long"):
            load_audio(content, limits=replace(limits, max_seconds=0.1))

    def never(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("data_prep.audio.decoding.SoundfileReader.read", never)
    with raises("audio-too-long"):
        load_audio(wav(NOISE), limits=limits)


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        b"\xef\xbb\xbf\n#EXTM3U\n{}\n",
        b"ffconcat version 1.0\nfile {}\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
        b'<?xml version="1.0"?><MPD><Period><BaseURL>{}</BaseURL></Period></MPD>',
    ],
)
def test_a_playlist_opens_no_other_file(content: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav())
    playlist = tmp_path / "a.mp4"
    playlist.write_bytes(content.replace(b"{}", str(secret).encode()))
    with raises("audio-unreadable"):
        load_audio(playlist)


def test_a_long_recording_is_resampled_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    stereo = np.stack([NOISE, NOISE], axis=1)
    for rate in (8000, 44_100, 48_000):
        expected = load_audio(stereo, source_rate=rate)
        with monkeypatch.context() as patch:
            patch.setattr("data_prep.audio.resampling._AT_ONCE", 5000)
            patch.setattr("data_prep.audio.part.BLOCK", 3001)
            np.testing.assert_array_equal(load_audio(stereo, source_rate=rate), expected)


def test_without_pyav_a_container_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(encode_by_pyav("ipod", "aac"))
    monkeypatch.setitem(sys.modules, "av", None)
    with raises("library-missing"):
        load_audio(path)
    assert len(load_audio(wav())) == len(VOICE)


@pytest.mark.parametrize("n_repetitions", [1, 3])
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_all_streams_of_a_chained_ogg_are_read(subtype: str, n_repetitions: int) -> None:
    """FFmpeg's length of several streams is none: those of another length were refused as cut."""
    pytest.importorskip("av")
    last = np.tile(VOICE, n_repetitions)
    first, second = encode(VOICE, "OGG", subtype), bytearray(encode(last, "OGG", subtype))
    at = second.find(b"OggS")
    while at >= 0:  # another stream than the first, whose pages are otherwise alike
        second[at + 14 : at + 18] = b"next"
        second[at + 22 : at + 26] = bytes(4)
        end = at + 27 + second[at + 26] + sum(second[at + 27 : at + 27 + second[at + 26]])
        second[at + 22 : at + 26] = ogg_checksum(second[at:end]).to_bytes(4, "little")
        at = second.find(b"OggS", end)
    assert len(load_audio(first)) == len(VOICE)
    n_samples = (1 + n_repetitions) * len(VOICE)
    assert len(load_audio(first + bytes(second))) == pytest.approx(n_samples, abs=2048)
    with stream_audio(first + bytes(second)) as stream:
        assert stream.seconds is None


def ogg_checksum(page: bytes | bytearray) -> int:
    """The CRC of an Ogg page, whose own field is 0: polynomial 0x04c11db7."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
        crc &= 0xFFFFFFFF
    return crc


def test_a_stream_without_a_length_is_not_held_to_an_estimate_of_it(tmp_path: Path) -> None:
    """FFmpeg takes the bit rate of the beginning for that of all."""
    rate, rng = 44_100, np.random.default_rng(0)
    quiet, loud = (rng.normal(0, level, 10 * rate) for level in (1e-6, 0.3))
    path = tmp_path / "a.aac"
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format="adts") as file:
        stream = file.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.concatenate([quiet, loud])[None].astype(np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    with av.open(str(path)) as file:
        estimate = float(file.streams.audio[0].duration * file.streams.audio[0].time_base)
    assert estimate > 20.5
    assert len(load_audio(path)) == pytest.approx(20 * 16_000, abs=1600)


def test_pyav_is_imported_for_containers_alone(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav())
    code = (
        "import sys; from data_prep.audio.loading import load_audio\n"
        f"load_audio({str(tmp_path / 'a.wav')!r}); sys.exit('av' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with raises("file-missing"):
        load_audio(tmp_path)
