"""Explain a prediction by occlusion: remove each word and each interval, and predict again.

Occlusion of parts of the input is Zeiler & Fergus (2014), "Visualizing and Understanding
Convolutional Networks"; leaving out one word at a time is Li, Monroe & Jurafsky (2016),
"Understanding Neural Networks through Representation Erasure". A weight describes what the model
did with an input, not whether the model is right; where two words carry the same information, each
can be removed without effect.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from data_prep.audio.decoding import FloatArray
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.item_audio import Audio, load_item_audio
from emo_fairseq.inference.prediction import Prediction, Truncation
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.inference.stopping import ShouldStop, never
from emo_fairseq.inference.turn_context import encode_context, predict_in_context
from emo_fairseq.modalities import TEXT

MAX_WORDS = 64
MAX_INTERVALS = 60

_SHORTEST, _LONGEST = 0.25, 0.5  # seconds of an interval
_INTERVALS_WANTED = 32  # a short recording is cut more finely, down to the shortest interval
_FADE = SAMPLE_RATE // 100  # 10 ms: a step to silence would be audible as a click
_SAMPLES_OF_A_BATCH = 120 * SAMPLE_RATE
_BATCH = 32
_SMALLEST = 1e-12  # a probability that underflowed

Input = tuple[FloatArray | None, str | None]  # samples and text
Predict = Callable[[list[Input]], list[Prediction]]


@dataclass(frozen=True)
class Explanation:
    """Weights of words and intervals, in their order.

    A weight is the drop of the predicted label's log-probability when the word or interval is
    removed: above zero it is evidence for the label, below zero against it. Where numbers are
    predicted it is the mean absolute change over them, which has no direction.

    Attributes:
        label: the predicted label that the weights are about; None for numbers.
        words: (word as in the text, weight).
        intervals: (start and end in seconds, weight).
        left_out: sentences about what has no weight, and why.
        text: as the model reads it; None without.
        truncations: of the text, for what the model does not read of it.
    """

    label: str | None
    words: list[tuple[str, float]]
    intervals: list[tuple[float, float, float]]
    left_out: tuple[str, ...] = ()
    text: str | None = None
    truncations: tuple[Truncation, ...] = ()

    def as_dict(self, from_second: float = 0.0) -> dict[str, Any]:
        """Return plain values, ready for JSON; times are shifted by `from_second`."""
        return {
            "label": self.label,
            "words": [{"word": word, "weight": weight} for word, weight in self.words],
            "intervals": [
                {"start": start + from_second, "end": end + from_second, "weight": weight}
                for start, end, weight in self.intervals
            ],
            "left_out": list(self.left_out),
        }


def explain(
    predictor: EmotionPredictor,
    audio: Audio | None = None,
    text: str | None = None,
    sample_rate: float | None = None,
    should_stop: ShouldStop = never,
    *,
    speaker: str | None = None,
    before: Sequence[Item] = (),
    after: Sequence[Item] = (),
) -> Explanation:
    """Weigh the words of a text and the intervals of a recording.

    Words are separated by whitespace in the text as the model reads it, with their punctuation;
    each is removed. Intervals are 0.25 to 0.5 s long (a recording of less than 0.25 s is one); each
    is faded to silence. The first 64 words are weighed, and the first 30 s or what the model reads
    at once, whichever is shorter; the rest is kept as it is and named in ``left_out``.

    Of a turn of a dialogue its own words and intervals are weighed. The turns around it are encoded
    once, so that each copy costs as much as an utterance.

    ::

        explanation = explain(predictor, text="I do not believe it.")
        max(explanation.words, key=lambda pair: pair[1])  # the word that counted most

    Args:
        predictor: runs the whole input, and then copies of it, 32 at a time.
        audio: a file, or samples (T,) or (T, channels) at `sample_rate`.
        text: what is said.
        sample_rate: of samples, in Hz.
        should_stop: called before each batch; once it returns True nothing more is computed.
        speaker: who speaks.
        before: the turns before it of its dialogue, of :meth:`EmotionPredictor.read_item`.
        after: the turns after it.

    Raises:
        StoppedError: `should_stop` returned True.
        UsageError: the predictor refuses the whole input.
    """
    samples = None if audio is None else load_item_audio(audio, sample_rate, "the input")[0]

    def read(samples: FloatArray | None, text: str | None) -> Item:
        return predictor.read_item(samples, text, SAMPLE_RATE, speaker=speaker)

    contexts = encode_context(predictor.engine, before, read(samples, text), after, should_stop)

    def predict(inputs: list[Input]) -> list[Prediction]:
        items = [read(*each) for each in inputs]
        return predict_in_context(predictor.engine, items, contexts, should_stop)[0]

    (whole,) = predict([(samples, text)])
    words = _Weights[tuple[str, float]]()
    intervals = _Weights[tuple[float, float, float]]()
    if whole.text is not None:
        words = _weigh_words(predict, whole, samples, whole.text)
    if samples is not None:
        longest = predictor.max_seconds()
        intervals = _weigh_intervals(predict, whole, samples, whole.text, longest)
    return Explanation(
        whole.label,
        words.weights,
        intervals.weights,
        words.left_out + intervals.left_out,
        whole.text,
        tuple(truncation for truncation in whole.truncations if truncation.modality == TEXT),
    )


def drop(whole: Prediction, occluded: Prediction) -> float:
    """Return how much a prediction loses with the part that was removed; see `Explanation`."""
    if whole.label is not None and whole.label in whole.probabilities:
        before, after = (p.probabilities[whole.label] for p in (whole, occluded))
        return math.log(max(before, _SMALLEST)) - math.log(max(after, _SMALLEST))
    numbers, others = (p.values or p.probabilities for p in (whole, occluded))
    return sum(abs(numbers[name] - others[name]) for name in numbers) / len(numbers)


# -- what is removed -------------------------------------------------------------------------------


def interval_edges(n_samples: int) -> list[int]:
    """Divide a recording into intervals of equal length.

    >>> interval_edges(16000)
    [0, 4000, 8000, 12000, 16000]
    >>> len(interval_edges(16000 * 60)) - 1, interval_edges(16000 * 60)[-1] / 16000
    (60, 30.0)

    Returns:
        Where each begins, and where the last one ends, in samples at 16 kHz.
    """
    covered = min(n_samples, round(MAX_INTERVALS * _LONGEST * SAMPLE_RATE))
    seconds = covered / SAMPLE_RATE
    length = min(max(seconds / _INTERVALS_WANTED, _SHORTEST), _LONGEST)
    n_intervals = max(1, math.floor(seconds / length), math.ceil(seconds / _LONGEST))
    return [round(covered * i / n_intervals) for i in range(n_intervals + 1)]


def silence_interval(samples: FloatArray, start: int, end: int) -> FloatArray:
    """Return a copy (T,) with samples `start` to `end` at zero, faded out before, in after."""
    fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_FADE) + 1) / (_FADE + 1))  # rising
    gain = np.ones(len(samples), dtype=np.float32)
    gain[start:end] = 0.0
    before, after = gain[max(0, start - _FADE) : start], gain[end : end + _FADE]
    before[:] = fade[: len(before)][::-1]
    after[:] = fade[: len(after)]
    return samples * gain


# -- weights ---------------------------------------------------------------------------------------

_Weight = TypeVar("_Weight")


@dataclass(frozen=True)
class _Weights(Generic[_Weight]):
    weights: list[_Weight] = field(default_factory=list)
    left_out: tuple[str, ...] = ()


def _weigh_words(
    predict: Predict, whole: Prediction, samples: FloatArray | None, text: str
) -> _Weights[tuple[str, float]]:
    words = text.split()
    if len(words) == 1 and samples is None:
        reason = f"{words[0]!r} is the only word: without it nothing is left to compare with."
        return _Weights(left_out=(reason,))
    weighed = words[:MAX_WORDS]
    # Without its only word a text is missing, not empty.
    texts = (" ".join(words[:i] + words[i + 1 :]) or None for i in range(len(weighed)))
    drops = _drops(predict, whole, ((samples, text) for text in texts))
    left_out = f"Of {len(words)} words the first {MAX_WORDS} were explained."
    weights = list(zip(weighed, drops, strict=True))
    return _Weights(weights, (left_out,) if len(words) > MAX_WORDS else ())


def _weigh_intervals(
    predict: Predict, whole: Prediction, samples: FloatArray, text: str | None, longest: float
) -> _Weights[tuple[float, float, float]]:
    n_read = len(samples) if math.isinf(longest) else int(longest * SAMPLE_RATE)
    edges = interval_edges(min(len(samples), n_read))
    intervals = list(itertools.pairwise(edges))
    recordings = (silence_interval(samples, *interval) for interval in intervals)
    drops = _drops(predict, whole, ((silenced, text) for silenced in recordings))
    weights = [
        (start / SAMPLE_RATE, end / SAMPLE_RATE, weight)
        for (start, end), weight in zip(intervals, drops, strict=True)
    ]
    seconds, covered = len(samples) / SAMPLE_RATE, edges[-1] / SAMPLE_RATE
    left_out = f"Of {seconds:.4g} s of audio the first {covered:.4g} s were explained."
    return _Weights(weights, (left_out,) if edges[-1] < len(samples) else ())


def _drops(predict: Predict, whole: Prediction, inputs: Iterable[Input]) -> list[float]:
    """Predict for occluded inputs batch by batch, and return the drop of each.

    All copies of a long recording at once would fill the memory; and between two batches other
    threads may use the same predictor.
    """
    rest = iter(inputs)
    batches = iter(functools.partial(_next_batch, rest), [])
    return [drop(whole, occluded) for batch in batches for occluded in predict(batch)]


def _next_batch(rest: Iterator[Input]) -> list[Input]:
    batch = []
    n_samples = 0
    for samples, text in rest:
        batch.append((samples, text))
        n_samples += 0 if samples is None else len(samples)
        if len(batch) == _BATCH or n_samples >= _SAMPLES_OF_A_BATCH:
            break
    return batch
