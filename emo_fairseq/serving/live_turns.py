"""Turns of a live recording: samples in, the turns that have ended out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data_prep.audio.decoding import FloatArray
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.diarization.voice_activity import SpeechSegment, VoiceActivity


@dataclass(frozen=True)
class SpeechTurn:
    """A turn that has ended.

    Attributes:
        start: in seconds of the conversation.
        end: in seconds.
        samples: (T,) float32 at 16 kHz.
    """

    start: float
    end: float
    samples: FloatArray


class TurnDetector:
    """Finds the turns in the samples of one connection.

    Args:
        make_voice: makes what finds speech.
        offset: seconds of the conversation before the first sample.
        n_too_short: stretches before it that were too short.
    """

    def __init__(
        self,
        make_voice: Callable[[], VoiceActivity],
        offset: float = 0.0,
        n_too_short: int = 0,
    ) -> None:
        self._make_voice = make_voice
        self._voice = make_voice()
        self._offset = offset
        self._n_fed = 0
        self._n_too_short = n_too_short

    @property
    def seconds(self) -> float:
        """Seconds of the conversation so far."""
        return self._offset + self._n_fed / SAMPLE_RATE

    @property
    def is_speaking(self) -> bool:
        """Whether somebody speaks now."""
        return self._voice.is_speaking

    @property
    def n_too_short(self) -> int:
        """Stretches of speech in the conversation that were too short to be turns."""
        return self._n_too_short + self._voice.n_too_short

    def feed(self, block: FloatArray) -> list[SpeechTurn]:
        """Return the turns that have ended, given the next (n,) samples."""
        self._n_fed += len(block)
        return self._turns(self._voice.feed(block))

    def finish(self) -> list[SpeechTurn]:
        """Return the turn that the end of the recording ends."""
        return self._turns(self._voice.finish())

    def skip(self, seconds: float) -> list[SpeechTurn]:
        """Leave out a part of the recording, which ends a turn; return that."""
        turns = self.finish()
        self._n_too_short = self.n_too_short
        self._offset, self._n_fed = self.seconds + seconds, 0
        self._voice = self._make_voice()
        return turns

    def _turns(self, segments: Sequence[SpeechSegment]) -> list[SpeechTurn]:
        return [
            SpeechTurn(
                self._offset + segment.start / SAMPLE_RATE,
                self._offset + segment.end / SAMPLE_RATE,
                segment.samples,
            )
            for segment in segments
        ]
