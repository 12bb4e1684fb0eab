"""Words of a transcript with their times, and the turns they belong to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from data_prep.audio.decoding import FloatArray
from data_prep.schema import SAMPLE_RATE


class TimedWord(Protocol):
    """A word from `start` to `end` in seconds; its text begins with the space before it."""

    @property
    def start(self) -> float: ...

    @property
    def end(self) -> float: ...

    @property
    def text(self) -> str: ...


class TimedTranscript(Protocol):
    """The transcript of a recording, with its words if they have times."""

    @property
    def text(self) -> str: ...

    @property
    def words(self) -> Sequence[TimedWord]: ...


# From (n_samples,) mono float32 samples at 16 kHz.
TranscribeWords = Callable[[FloatArray], str | TimedTranscript]


@dataclass(frozen=True, slots=True)
class Word:
    """A word, in seconds from the start of the recording."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class SpeechText:
    """The transcript of a stretch of speech.

    Attributes:
        text: empty where it is not known.
        words: in seconds from the start of the recording, where their times are known.
        n_dropped: number of words that were dropped.
    """

    text: str = ""
    words: Sequence[Word] = ()
    n_dropped: int = 0

    def divided(self, cuts: Sequence[int]) -> list[str | None]:
        """Return the text of each part of the stretch; None where it is empty or not known.

        Without the times of words the text of a stretch that is cut is not known.

        Args:
            cuts: samples before which the stretch is cut, in order.
        """
        if not cuts:
            return [self.text or None]
        parts: list[list[str]] = [[] for _ in range(len(cuts) + 1)]
        for word in self.words:
            middle = (word.start + word.end) / 2 * SAMPLE_RATE
            parts[bisect_right(cuts, middle)].append(word.text)
        return ["".join(part).strip() or None for part in parts]


def text_between(transcript: str | TimedTranscript, start: int, end: int) -> SpeechText:
    """Return a transcript of the stretch from sample `start` to before sample `end`.

    Words that begin at its end or later are dropped, and counted: Whisper writes them where it
    repeats a phrase without end.
    """
    if isinstance(transcript, str):
        return SpeechText(transcript.strip())
    offset = start / SAMPLE_RATE
    words = [
        Word(offset + word.start, offset + max(word.start, word.end), word.text)
        for word in transcript.words
    ]
    kept = [word for word in words if word.start < end / SAMPLE_RATE]
    if len(kept) == len(words):
        return SpeechText(transcript.text.strip(), words)
    return SpeechText("".join(word.text for word in kept).strip(), kept, len(words) - len(kept))
