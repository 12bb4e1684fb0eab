"""Recordings in constant memory: streams of blocks, and segments in one pass."""

import tracemalloc

import numpy as np
import pytest
import soundfile
from audio_kinds import encode, encode_by_pyav, wav
from codes import raises

from data_prep.audio.decoding import AudioError, AudioLimits
from data_prep.audio.loading import load_audio
from data_prep.audio.segment import AudioSegment
from data_prep.audio.streaming import load_segments, stream_audio

RATE = 16_000
STEREO = np.random.default_rng(0).uniform(-0.4, 0.4, (3 * 44_100, 2)).astype(np.float32)
FORMS = [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS")]
SEGMENTS = [(0.0, None, None), (1.5, 2.25, 2), (0.5, 1.75, 1), (2.0, 2.5, None), (0.5, 0.6, 2)]


def read_blocks(source, **options):
    with stream_audio(source, **options) as stream:
        return np.concatenate(list(stream))


@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_a_stream_is_the_recording(form, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(encode(STEREO, *form, rate=44_100))
    np.testing.assert_allclose(read_blocks(path)[:, 0], load_audio(path), atol=1e-6)
    apart = read_blocks(path, separate_channels=True)
    for channel in (1, 2):
        expected = load_audio(path, channel=channel)
        np.testing.assert_allclose(apart[:, channel - 1], expected, atol=1e-6)
    assert np.abs(apart[:, 0] - apart[:, 1]).max() > 0.1


def test_a_stream_of_a_container_has_its_length():
    content = encode_by_pyav("mp4", "aac")
    with stream_audio(content) as stream:
        blocks = np.concatenate(list(stream))
        assert stream.seconds == pytest.approx(len(blocks) / RATE, abs=0.1)
    np.testing.assert_array_equal(blocks[:, 0], load_audio(content))


@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_segments_in_one_pass_are_those_loaded_one_by_one(form, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(encode(STEREO, *form, rate=44_100))
    loaded = {index: samples for index, samples, _ in load_segments(path, SEGMENTS)}
    assert sorted(loaded) == [0, 1, 2, 3, 4]
    for index, (start, end, channel) in enumerate(SEGMENTS):
        expected = load_audio(path, start=start, end=end, channel=channel)
        np.testing.assert_allclose(loaded[index], expected, atol=1e-4)
        assert len(loaded[index]) == len(expected)


@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_what_is_between_two_segments_is_skipped(form, tmp_path):
    """A seek within a stream of Vorbis left the first samples of the next segment wrong."""
    path = tmp_path / "a.bin"
    path.write_bytes(encode(STEREO, *form, rate=44_100))
    whole = load_audio(path, sample_rate=44_100)
    for second in ((1.0, 1.2), (0.65, 0.8), (2.5, 2.9)):
        segments = [(0.1, 0.3, None), (*second, None)]
        loaded = {
            index: part for index, part, _ in load_segments(path, segments, sample_rate=44_100)
        }
        for index, (start, end, _) in enumerate(segments):
            expected = whole[round(start * 44_100) : round(end * 44_100)]
            np.testing.assert_allclose(loaded[index], expected, atol=1e-6)


def test_a_segment_that_cannot_be_loaded_leaves_the_others():
    sound = wav(STEREO)  # 132,300 samples at 16 kHz
    segments = [(0.0, 1.0, None), (5.0, 99.0, None), (1.0, 2.0, 3), (1.0, 1.001, 1), (2.0, 3.0, 2)]
    loaded = {index: samples for index, samples, _ in load_segments(sound, segments)}
    codes = {index: error.code for index, error in loaded.items() if isinstance(error, AudioError)}
    assert codes == {1: "segment-outside", 2: "audio-channel-missing", 3: "audio-too-short"}
    assert len(loaded[0]) == len(loaded[4]) == RATE


def test_a_segment_after_the_last_frame_of_a_file_of_unknown_length():
    content = encode_by_pyav("adts", "aac")  # half a second, which no header states
    loaded = {index: part for index, part, _ in load_segments(content, [(0.1, 0.3, 1), (9, 10, 1)])}
    assert len(loaded[0]) == 3200
    assert loaded[1].code == "segment-outside"


def test_silence_is_that_of_the_channel():
    half = STEREO.copy()
    half[:, 1] = 0
    segments = [(0.0, None, None), (0.0, None, 1), (0.0, None, 2)]
    warnings = {index: w for index, _, w in load_segments(half, segments, source_rate=44_100)}
    assert [bool(warnings[index]) for index in range(3)] == [False, False, True]


def test_a_stream_refuses_what_loading_refuses(tmp_path):
    with raises("audio-truncated"):
        read_blocks(wav()[:-1000])
    with raises("audio-not-finite"):
        read_blocks(np.full((RATE, 2), np.nan, np.float32), source_rate=RATE)
    with raises("audio-not-finite"):
        read_blocks(np.full(RATE, np.nan), source_rate=RATE, separate_channels=True)
    with raises("audio-too-long"):
        read_blocks(wav(), limits=AudioLimits(max_seconds=0.1))
    with raises("file-missing"):
        read_blocks(tmp_path / "absent.wav")


def test_a_segment_of_a_channel(tmp_path):
    path = tmp_path / "call.wav"
    path.write_bytes(encode(STEREO, "WAV", "FLOAT", rate=44_100))
    segment = AudioSegment(path, 0.5, 1.0, channel=2)
    expected = load_audio(STEREO[22_050:44_100, 1], source_rate=44_100)
    np.testing.assert_array_equal(segment.load(), expected)
    assert segment.name == "call.wav from 0.5 s to 1 s, channel 2"
    assert segment.key != AudioSegment(path, 0.5, 1.0).key
    with raises("audio-channel-missing"):
        AudioSegment(path, channel=3).load()
    with raises("audio-channel-missing"):
        AudioSegment(path, channel=0)


def test_a_long_recording_is_streamed_in_constant_memory(tmp_path):
    path = tmp_path / "long.wav"
    peaks = []
    for minutes in (2, 8):
        with soundfile.SoundFile(path, "w", 8_000, 2, subtype="PCM_16") as sound:
            for _ in range(minutes):
                sound.write(np.zeros((60 * 8_000, 2), np.int16))
        tracemalloc.start()
        with stream_audio(path, separate_channels=True) as stream:
            n_samples = sum(map(len, stream))
        segments = [(float(start), start + 5.0, 1) for start in range(0, 60 * minutes, 5)]
        assert sum(len(part) for _, part, _ in load_segments(path, segments)) == n_samples
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert n_samples == minutes * 60 * RATE
    assert peaks[1] < 1.1 * peaks[0] < 20e6
