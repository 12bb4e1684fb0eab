"""Cuts of long speech: bounds of length, quiet places, whole words."""

import itertools

import numpy as np
import pytest

from emo_fairseq.diarization.cutting import Cutter, quietest, smoothed
from emo_fairseq.diarization.silero import FRAME
from emo_fairseq.diarization.words import SpeechText, Word, text_between

RATE = 16_000


def test_a_cut_of_known_probabilities():
    assert quietest([0.9, 0.9, 0.9, 0.9, 0.9], 1, 3) == 3  # of equal ones the last
    assert quietest([0.1, 0.1, 0.1, 0.9, 0.8, 0.9], 3, 5) == 3  # next to the silence before
    np.testing.assert_allclose(smoothed([0.0, 0.3, 0.9]), [0.1, 0.4, 0.7], atol=1e-6)


def test_speech_that_is_short_enough_is_not_cut():
    cutter = Cutter(100, 50 * FRAME, np.full(50, 0.9, np.float32))
    assert cutter.divided(100, 50 * FRAME, 50 * FRAME, 10 * FRAME) == []


def test_the_quietest_place_that_leaves_enough_on_both_sides():
    probabilities = np.full(101, 0.9, np.float32)
    probabilities[60:63] = 0.1
    probabilities[95:98] = 0.0  # too near to the end
    cutter = Cutter(0, 101 * FRAME, probabilities)
    assert cutter.divided(0, 101 * FRAME, 100 * FRAME, 10 * FRAME) == [61 * FRAME]


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_within_the_bounds_and_no_word_is_cut(seed):
    noise = np.random.default_rng(seed)
    start, end = 1000 + seed * 77, 30 * RATE
    probabilities = noise.random(-(-end // FRAME)).astype(np.float32)
    borders = np.sort(noise.uniform(start / RATE, end / RATE, 120))
    # Some words touch each other, some do not.
    words = [Word(a, b, "") for a, b in itertools.pairwise(borders) if noise.random() < 0.8]
    most, least = 5 * RATE, RATE // 2
    for spoken in ((), words):
        cutter = Cutter(start, end, probabilities, spoken)
        cuts = cutter.divided(start, end, most, least)
        lengths = np.diff([start, *cuts, end])
        assert len(cuts) >= 5
        assert lengths.min() >= least
        assert lengths.max() <= most
        for cut in cuts:
            assert not any(word.start * RATE + 1 < cut < word.end * RATE - 1 for word in spoken)


def test_a_word_that_is_longer_than_a_part_is_whole():
    words = [Word(0.0, 1.0, "a"), Word(1.0, 7.0, "b"), Word(7.0, 8.0, "c")]
    cutter = Cutter(0, 8 * RATE, np.full(250, 0.9, np.float32), words)
    assert cutter.divided(0, 8 * RATE, 4 * RATE, 100) == [RATE, 7 * RATE]
    in_a_word = Cutter(0, RATE, np.zeros(32, np.float32), [Word(-1, 2, "a")])
    assert in_a_word.best(0, RATE, 0, RATE) is None
    assert Cutter(0, RATE, np.zeros(32, np.float32)).best(0, 100, 600, 1000) is None


def test_the_words_of_a_stretch_are_given_to_its_parts():
    words = [Word(0.1, 0.5, " Kids"), Word(0.5, 0.9, " are"), Word(1.9, 2.5, " talking.")]
    spoken = SpeechText("Kids are talking.", words)
    assert spoken.divided([]) == ["Kids are talking."]
    assert spoken.divided([RATE, 3 * RATE]) == ["Kids are", "talking.", None]
    later = text_between(spoken, 10 * RATE, 13 * RATE)
    assert [word.start for word in later.words] == pytest.approx([10.1, 10.5, 11.9])
    assert text_between(" Yes. ", 0, RATE).divided([]) == ["Yes."]
    without_times = text_between(" Yes. ", 0, RATE)
    assert without_times.divided([RATE]) == [None, None]
    assert SpeechText().divided([]) == [None]


def test_words_after_the_end_of_their_speech_are_dropped():
    words = [Word(0.1, 0.5, " Yes"), *(Word(2.0, 2.0, " like") for _ in range(9))]
    spoken = text_between(SpeechText("Yes like like", words), 5 * RATE, 7 * RATE)
    assert spoken.divided([]) == ["Yes"]
    assert spoken.n_dropped == 9
