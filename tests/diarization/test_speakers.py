"""The encoder of voices, and clusters of its embeddings."""

import itertools

import numpy as np
import pytest
import torch
from codes import raises

from data_prep.errors import CodedError
from emo_fairseq.diarization import speaker_encoder
from emo_fairseq.diarization.speaker_encoder import SpeakerEncoder, load_encoder, mel_filters
from emo_fairseq.diarization.speakers import (
    Voice,
    changes,
    embed_stretch,
    estimate_number,
    label_windows,
    smooth_path,
)
from emo_fairseq.diarization.voice_activity import Stretch

RATE = 16_000


@pytest.fixture(scope="module")
def encoder():
    try:
        return load_encoder()
    except CodedError as error:
        pytest.skip(str(error))


def test_mel_filters_are_those_of_slaney():
    audio_utils = pytest.importorskip("transformers.audio_utils")
    expected = audio_utils.mel_filter_bank(
        201, 40, 0.0, 8000.0, RATE, norm="slaney", mel_scale="slaney"
    )
    np.testing.assert_allclose(mel_filters(), expected.T, atol=1e-12)


def test_mel_power_of_a_slow_reference(encoder):
    samples = np.random.default_rng(0).normal(scale=0.1, size=RATE).astype(np.float32)
    mels = encoder.mel_power(samples).numpy()
    assert mels.shape == (101, 40)
    padded = np.pad(samples.astype(np.float64), 200)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    for frame in (0, 50, 100):
        spectrum = np.fft.rfft(padded[160 * frame : 160 * frame + 400] * window)
        expected = mel_filters() @ np.abs(spectrum) ** 2
        np.testing.assert_allclose(mels[frame], expected, rtol=1e-3)


def test_embeddings_do_not_depend_on_the_batch_and_are_of_length_one(encoder):
    samples = np.random.default_rng(0).normal(scale=0.1, size=3 * RATE).astype(np.float32)
    together = encoder.embed(samples, [0, 40, 80], 160)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.embed(samples, [40], 160)[0], together[1], atol=1e-5)
    quieter = encoder.embed(0.01 * samples, [0], 160)  # amplified as in training
    louder = encoder.embed(0.001 * samples, [0], 160)
    np.testing.assert_allclose(quieter, louder, atol=1e-4)


@pytest.mark.realdata
def test_two_clips_of_a_voice_are_more_alike_than_those_of_a_man_and_a_woman(encoder, clip):
    voices = [
        embed_stretch(Stretch(0, 0), clip(actor, number)).embeddings.mean(axis=0)
        for actor in (1, 2)
        for number in (0, 3)
    ]
    units = [voice / np.linalg.norm(voice) for voice in voices]
    same = min(units[0] @ units[1], units[2] @ units[3])
    assert same > max(units[i] @ units[j] for i, j in itertools.product((0, 1), (2, 3))) + 0.1


def test_windows_cover_a_stretch(encoder):
    noise = np.random.default_rng(0).normal(scale=0.1, size=4 * RATE).astype(np.float32)
    voice = embed_stretch(Stretch(RATE, 5 * RATE), noise)
    centers = voice.centers / RATE
    assert centers[0] == pytest.approx(1.8)
    assert centers[-1] == pytest.approx(4.2, abs=0.02)
    assert np.diff(centers).max() == pytest.approx(0.4)
    short = embed_stretch(Stretch(0, 8000), noise[:8000])  # half a second
    assert short.embeddings.shape == (1, 256)


def test_a_file_that_is_not_the_encoder(monkeypatch):
    other = {"lstm.weight_ih_l0": torch.zeros(1)}
    monkeypatch.setattr(speaker_encoder, "_load_weights", lambda: other)
    with raises("speaker-encoder-unreadable"):
        SpeakerEncoder()


# -- clusters, of vectors around a direction for each speaker --------------------------------------


def voices_of(speakers, windows=5, spread=0.3):
    noise = np.random.default_rng(0)
    means = np.eye(256)[: max(speakers) + 1] + 0.5 / np.sqrt(256)
    found = []
    for number, speaker in enumerate(speakers):
        vectors = means[speaker] + noise.normal(scale=spread / 16, size=(windows, 256))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        centers = (4 * number + 0.4 * np.arange(windows)) * RATE
        found.append(Voice(centers.astype(np.float32), vectors.astype(np.float16)))
    return found


@pytest.mark.parametrize("number", [3, None])
def test_speakers_are_numbered_by_first_appearance(number):
    speakers = [2, 0, 0, 2, 1, 0, 1, 1, 2]
    labels = label_windows(voices_of(speakers), number)
    assert [set(part) for part in labels] == [{s} for s in (0, 1, 1, 0, 2, 1, 2, 2, 0)]


def test_one_voice_is_one_speaker():
    assert {x for part in label_windows(voices_of([0] * 6), None) for x in part} == {0}
    assert {x for part in label_windows(voices_of([0, 1]), 1) for x in part} == {0}
    assert label_windows(voices_of([0], windows=1), 4) == [[0]]
    few = label_windows(voices_of([0, 1], windows=1), 4)  # fewer windows than speakers
    assert few == [[0], [1]]


def test_the_number_is_estimated_from_windows_of_a_long_recording():
    voices = voices_of([0, 1, 2, 3] * 150, windows=5)  # 3,000 windows, of which half are clustered
    labels = label_windows(voices, None)
    assert [part[0] for part in labels] == [0, 1, 2, 3] * 150
    centered = np.concatenate([v.embeddings for v in voices[:40]]).astype(np.float32)
    centered -= centered.mean(axis=0)
    assert estimate_number(centered / np.linalg.norm(centered, axis=1, keepdims=True)) == 4


@pytest.mark.parametrize("seed", range(5))
def test_the_smoothest_path_is_that_of_all_paths(seed):
    scores = np.random.default_rng(seed).random((6, 3)).astype(np.float32)

    def total(path):
        n_changes = sum(a != b for a, b in itertools.pairwise(path))
        return sum(scores[i, label] for i, label in enumerate(path)) - 0.4 * n_changes

    best = max(itertools.product(range(3), repeat=6), key=total)
    assert total(smooth_path(scores, 0.4)) == pytest.approx(total(best))


def test_where_the_speaker_changes():
    voice = Voice(np.array([16_000, 22_400, 28_800], np.float32), np.zeros((3, 256)))
    assert changes(voice, [0, 0, 1]) == [(22_400 - 3200, 28_800 + 3200, 1)]
    assert changes(voice, [0, 0, 0]) == []
