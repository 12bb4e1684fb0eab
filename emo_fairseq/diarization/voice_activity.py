"""Stretches of speech, from a stream of probabilities or of samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_prep.audio.decoding import FloatArray
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.diarization.cutting import quietest
from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.diarization.silero import FRAME, FRAMES_PER_SECOND, SpeechProbabilities


@dataclass(frozen=True, slots=True)
class Stretch:
    """Speech without a pause, from sample `start` to before sample `end` at 16 kHz."""

    start: int
    end: int


class SpeechSegmenter:
    """Find stretches of speech by the probabilities of frames, as they come.

    Speech begins with a frame of `threshold` or more, and ends before the first of the frames that
    are less than `threshold` - .15, if no frame of `threshold` or more follows within a pause.
    Speech that is too long is cut, at a silence that is shorter than a pause if it comes just then,
    else where speech is least probable in the second half; no part of it is dropped.

    Args:
        options: thresholds, pause, padding, and bounds of length.
        max_seconds: of a stretch, in place of that of the options.

    Attributes:
        n_too_short: number of stretches that were dropped, since they are shorter than
            `min_seconds` without padding.
    """

    def __init__(self, options: TurnOptions, max_seconds: float | None = None) -> None:
        self.n_too_short = 0
        self._threshold = options.threshold
        self._low = options.low_threshold
        self._pause = options.pause * SAMPLE_RATE
        self._padding = round(options.padding * SAMPLE_RATE)
        self._least = options.min_seconds * SAMPLE_RATE
        longest = options.max_seconds if max_seconds is None else max_seconds
        self._most_frames = int((longest - 2 * options.padding) * FRAMES_PER_SECOND)
        self._least_frames = int(np.ceil(options.min_seconds * FRAMES_PER_SECOND))
        self._position = 0  # in frames
        self._start: int | None = None  # first frame of speech
        self._is_continued = False  # it begins at a cut
        self._silence: int | None = None  # first frame of a silence that may become a pause
        self._probabilities: list[float] = []  # of the speech so far
        self._last_end = 0  # in samples

    @property
    def is_speaking(self) -> bool:
        """Return whether the last frame is in a stretch that has not ended."""
        return self._start is not None

    @property
    def needed_from(self) -> int:
        """Return the first sample that a later stretch may include."""
        frame = self._position if self._start is None else self._start
        return max(self._last_end, frame * FRAME - self._padding)

    def feed(self, probabilities: FloatArray) -> list[Stretch]:
        """Return the stretches that end with these frames."""
        stepped = map(self._step, probabilities.tolist())
        return [stretch for stretch in stepped if stretch is not None]

    def finish(self, n_samples: int) -> list[Stretch]:
        """Return the stretch that the end of the recording ends, if there is one.

        Args:
            n_samples: of the whole recording.
        """
        if self._start is None:
            return []
        stretch = self._end(self._silence, n_samples)
        return [] if stretch is None else [stretch]

    def _step(self, probability: float) -> Stretch | None:
        frame = self._position
        self._position += 1
        if probability >= self._threshold:
            self._silence = None
            if self._start is None:
                self._start, self._probabilities = frame, []
        if self._start is None:
            return None
        self._probabilities.append(probability)
        if probability < self._low:
            self._silence = frame if self._silence is None else self._silence
            if (frame - self._silence) * FRAME >= self._pause:
                return self._end(self._silence, self._position * FRAME)
        if len(self._probabilities) >= self._most_frames:
            return self._cut()
        return None

    def _end(self, frame: int | None, n_samples: int) -> Stretch | None:
        """End the speech before a frame, or else with the last sample; None if it is too short."""
        assert self._start is not None
        end = n_samples if frame is None else frame * FRAME
        is_short = not self._is_continued and end - self._start * FRAME < self._least
        stretch = self._stretch(min(end + self._padding, n_samples))
        self._start, self._silence, self._is_continued = None, None, False
        if is_short:
            self.n_too_short += 1
            return None
        self._last_end = stretch.end
        return stretch

    def _cut(self) -> Stretch | None:
        assert self._start is not None
        if self._silence is not None:
            return self._end(self._silence, self._position * FRAME)
        high = len(self._probabilities) - max(1, self._least_frames)
        at = quietest(self._probabilities, self._most_frames // 2, high)
        stretch = self._stretch((self._start + at) * FRAME)
        self._start += at
        self._probabilities = self._probabilities[at:]
        self._is_continued = True
        self._last_end = stretch.end
        return stretch

    def _stretch(self, end: int) -> Stretch:
        assert self._start is not None
        start = self._start * FRAME - (0 if self._is_continued else self._padding)
        return Stretch(max(self._last_end, start), end)


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """Speech from sample `start` to before sample `end` of a stream, and its samples."""

    start: int
    end: int
    samples: FloatArray


class VoiceActivity:
    """Cut a stream of samples into stretches of speech as they end, such as turns of a live call.

    The samples that may be part of speech are kept, so at most `max_seconds` and a pause of them.
    Objects are independent of each other; they share the network.

    ::

        voice = VoiceActivity()
        for block in microphone:
            for segment in voice.feed(block):
                predictor.predict(segment.samples, sample_rate=16_000)

    Args:
        options: what counts as speech, and where it is cut; `speakers` is not used.

    Attributes:
        pause: seconds after the end of speech with which it is known to have ended.

    Raises:
        UsageError: faster-whisper is not installed.
    """

    def __init__(self, options: TurnOptions | None = None) -> None:
        options = options or TurnOptions()
        self.pause = options.pause
        self._probabilities = SpeechProbabilities()
        self._segmenter = SpeechSegmenter(options)
        self._kept = np.zeros(0, np.float32)
        self._kept_from = 0  # sample of the stream that comes first in `_kept`

    @property
    def is_speaking(self) -> bool:
        """Return whether the stream is within speech, or in a silence that is no pause yet."""
        return self._segmenter.is_speaking

    @property
    def n_too_short(self) -> int:
        """Return the number of stretches that were dropped as too short."""
        return self._segmenter.n_too_short

    def feed(self, block: FloatArray) -> list[SpeechSegment]:
        """Return the speech that ends with a block.

        Args:
            block: (n_samples,) float32 at 16 kHz, of any length.
        """
        self._kept = np.concatenate([self._kept, block], dtype=np.float32)
        stretches = self._segmenter.feed(self._probabilities.feed(block))
        return self._segments(stretches)

    def finish(self) -> list[SpeechSegment]:
        """Return the speech that the end of the stream ends."""
        stretches = self._segmenter.feed(self._probabilities.finish())
        stretches += self._segmenter.finish(self._kept_from + len(self._kept))
        return self._segments(stretches)

    def _segments(self, stretches: list[Stretch]) -> list[SpeechSegment]:
        end = self._kept_from + len(self._kept)
        segments = [
            SpeechSegment(
                stretch.start,
                min(stretch.end, end),
                self._kept[stretch.start - self._kept_from : stretch.end - self._kept_from].copy(),
            )
            for stretch in stretches
        ]
        needless = self._segmenter.needed_from - self._kept_from
        if needless > 0:
            self._kept = self._kept[needless:].copy()
            self._kept_from += needless
        return segments
