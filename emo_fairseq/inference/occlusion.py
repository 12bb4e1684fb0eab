"""Which words and moments mattered: each is taken away, and the prediction made again.

Occlusion of stretches of the input is Zeiler & Fergus (2014), "Visualizing and Understanding
Convolutional Networks"; leaving out one word at a time is Li, Monroe & Jurafsky (2016),
"Understanding Neural Networks through Representation Erasure". A weight says what the model did
with an input, not whether the model is right; what two words say together, each alone can hide.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from data_prep.audio.frames import FloatArray
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.inference.inputs import (
    Audio,
    load_item_audio,
)
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.predictor import (
    EmotionPredictor,
    ShouldStop,
    never,
)

MAX_MOMENTS = 60
_SHORTEST, _LONGEST = 0.25, 0.5  # seconds of a moment
_MOMENTS_WANTED = 32  # a short sound is cut more finely, until a moment has the shortest length
_FADE = SAMPLE_RATE // 100  # 10 ms: a step to silence would be heard as a click


def moment_edges(n_samples: int) -> list[int]:
    """Where moments of equal length begin, and where the last one ends, in samples at 16 kHz.

    >>> moment_edges(16000)
    [0, 4000, 8000, 12000, 16000]
    >>> len(moment_edges(16000 * 60)) - 1, moment_edges(16000 * 60)[-1] / 16000
    (60, 30.0)
    """
    covered = min(n_samples, round(MAX_MOMENTS * _LONGEST * SAMPLE_RATE))
    seconds = covered / SAMPLE_RATE
    length = min(max(seconds / _MOMENTS_WANTED, _SHORTEST), _LONGEST)
    n_moments = max(1, math.floor(seconds / length), math.ceil(seconds / _LONGEST))
    return [round(covered * i / n_moments) for i in range(n_moments + 1)]


def silenced(sound: FloatArray, start: int, end: int) -> FloatArray:
    """A copy (T,) with the samples from `start` to `end` at zero, faded out before, in after."""
    fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_FADE) + 1) / (_FADE + 1))  # rising
    gain = np.ones(len(sound), dtype=np.float32)
    gain[start:end] = 0.0
    before, after = gain[max(0, start - _FADE) : start], gain[end : end + _FADE]
    before[:] = fade[: len(before)][::-1]
    after[:] = fade[: len(after)]
    return sound * gain


# -- weights of words and moments ------------------------------------------------------------------

Predict = Callable[..., Any]  # EmotionPredictor.predict, its last arguments given

MAX_WORDS = 64
_SAMPLES_OF_A_BATCH = 120 * SAMPLE_RATE
_BATCH = 32
_SMALLEST = 1e-12  # a probability that underflowed


@dataclass(frozen=True)
class Explanation:
    """Weights of words and moments, in their order.

    A weight is the drop of the predicted label's log-probability when the word or moment is gone:
    above zero it spoke for the label, below zero against it. Where numbers are predicted it is the
    mean over them of how far each moved, which has no direction and is never below zero.

    Attributes:
        label: the predicted label that the weights are about; None for numbers.
        words: word as in the text, weight.
        moments: start and end in seconds, weight.
        left_out: sentences that say what got no weight, and why.
        text: that the model read; None without.
    """

    label: str | None
    words: list[tuple[str, float]]
    moments: list[tuple[float, float, float]]
    left_out: tuple[str, ...] = ()
    text: str | None = None

    def as_dict(self, from_second: float = 0.0) -> dict[str, Any]:
        """What JSON can hold; times count from `from_second` before the sound's beginning."""
        return {
            "label": self.label,
            "words": [{"word": word, "weight": weight} for word, weight in self.words],
            "moments": [
                {"start": start + from_second, "end": end + from_second, "weight": weight}
                for start, end, weight in self.moments
            ],
            "left_out": list(self.left_out),
        }


def explain(
    predictor: EmotionPredictor,
    audio: Audio | None = None,
    text: str | None = None,
    sample_rate: float | None = None,
    should_stop: ShouldStop = never,
) -> Explanation:
    """Weigh the words of a text and the moments of a sound.

    Words are what whitespace parts in the text as the model reads it, punctuation kept; each is
    taken out. Moments are 0.25 to 0.5 s long (of a sound of less than 0.25 s the whole); each is
    faded to silence. The first 64 words are weighed, and the first 30 s or what the model hears at
    once, whichever is shorter; the rest is kept as it is and named in ``left_out``.

    Args:
        predictor: its ``predict`` is called once, and then with lists of 32 or fewer.
        audio: a path, or samples (T,) or (T, channels) at `sample_rate`.
        text: the words said.
        sample_rate: of samples, in Hz.
        should_stop: called before each batch; once it returns True nothing more is computed.

    Raises:
        StoppedError: `should_stop` returned True.
        UsageError: what ``predict`` refuses, with nothing taken away.
    """
    sound = None if audio is None else load_item_audio(audio, sample_rate, "the input")[0]
    predict = functools.partial(predictor.predict, sample_rate=SAMPLE_RATE, should_stop=should_stop)
    whole = predict(audio=sound, text=text)
    words = _Weighed[tuple[str, float]]()
    moments = _Weighed[tuple[float, float, float]]()
    if whole.text is not None:
        words = _weigh_words(predict, whole, sound, whole.text)
    if sound is not None:
        longest = predictor.longest_seconds()
        moments = _weigh_moments(predict, whole, sound, whole.text, longest)
    left_out = words.left_out + moments.left_out
    return Explanation(whole.label, words.found, moments.found, left_out, whole.text)


def drop(whole: Prediction, without: Prediction) -> float:
    """How much of a prediction goes with the part that was taken away; see `Explanation`."""
    if whole.label is not None and whole.label in whole.probabilities:
        before, after = (p.probabilities[whole.label] for p in (whole, without))
        return math.log(max(before, _SMALLEST)) - math.log(max(after, _SMALLEST))
    numbers, others = (p.values or p.probabilities for p in (whole, without))
    return sum(abs(numbers[name] - others[name]) for name in numbers) / len(numbers)


_Weight = TypeVar("_Weight")


@dataclass(frozen=True)
class _Weighed(Generic[_Weight]):
    found: list[_Weight] = field(default_factory=list)
    left_out: tuple[str, ...] = ()


def _weigh_words(
    predict: Predict, whole: Prediction, sound: FloatArray | None, text: str
) -> _Weighed[tuple[str, float]]:
    words = text.split()
    if len(words) == 1 and sound is None:
        why = f"{words[0]!r} is the only word: without it nothing is left to compare with."
        return _Weighed(left_out=(why,))
    weighed = words[:MAX_WORDS]
    # Without its only word a text is missing, not empty.
    texts = (" ".join(words[:i] + words[i + 1 :]) or None for i in range(len(weighed)))
    weights = _weigh(predict, whole, ((sound, text) for text in texts))
    more = (f"Of {len(words)} words the first {MAX_WORDS} were weighed.",)
    found = list(zip(weighed, weights, strict=True))
    return _Weighed(found, more if len(words) > MAX_WORDS else ())


def _weigh_moments(
    predict: Predict, whole: Prediction, sound: FloatArray, text: str | None, longest: float
) -> _Weighed[tuple[float, float, float]]:
    heard = len(sound) if math.isinf(longest) else int(longest * SAMPLE_RATE)
    edges = moment_edges(min(len(sound), heard))
    stretches = list(itertools.pairwise(edges))
    sounds = (silenced(sound, *stretch) for stretch in stretches)
    weights = _weigh(predict, whole, ((silent, text) for silent in sounds))
    found = [
        (start / SAMPLE_RATE, end / SAMPLE_RATE, weight)
        for (start, end), weight in zip(stretches, weights, strict=True)
    ]
    seconds, covered = len(sound) / SAMPLE_RATE, edges[-1] / SAMPLE_RATE
    more = (f"Of {seconds:.4g} s of sound the first {covered:.4g} s were weighed.",)
    return _Weighed(found, more if edges[-1] < len(sound) else ())


def _weigh(
    predict: Predict,
    whole: Prediction,
    others: Iterable[tuple[FloatArray | None, str | None]],
) -> list[float]:
    """The drop of each, asked for in batches.

    All copies of a long sound at once would fill the memory; and between two batches other threads
    may ask the same predictor.
    """
    weights: list[float] = []
    rest = iter(others)
    while pairs := _next_batch(rest):
        sounds, texts = zip(*pairs, strict=True)
        found = predict(
            audio=None if sounds[0] is None else sounds,
            text=None if texts[0] is None else texts,
        )
        weights += [drop(whole, without) for without in found]
    return weights


def _next_batch(
    rest: Iterator[tuple[FloatArray | None, str | None]],
) -> list[tuple[FloatArray | None, str | None]]:
    pairs = []
    n_samples = 0
    for sound, text in rest:
        pairs.append((sound, text))
        n_samples += 0 if sound is None else len(sound)
        if len(pairs) == _BATCH or n_samples >= _SAMPLES_OF_A_BATCH:
            break
    return pairs
