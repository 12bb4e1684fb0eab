"""What turns are wanted of a recording."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from emo_fairseq.errors import UsageError

NO_SPEAKERS: Final = "none"
AUTO: Final = "auto"
CHANNELS: Final = "channels"
# Whisper reads so much at once; speech without a pause is cut into stretches of this length first.
LONGEST_STRETCH = 30.0
_MOST_SPEAKERS = 50
_HYSTERESIS = 0.15


@dataclass(frozen=True)
class TurnOptions:
    """What counts as speech, where it is cut, and how speakers are distinguished.

    Attributes:
        min_seconds: shorter speech is dropped, and counted.
        max_seconds: longer speech is cut where it is least like speech, and never within a word if
            the words are known.
        pause: silence in seconds that ends a turn.
        padding: seconds of the silence before and after speech that belong to the turn; at most
            half a pause, so that no two turns share it.
        threshold: probability from which speech begins; it ends .15 below. The default is lower
            than Silero's own .5, at which shouted speech of anger and fear is missed most.
        speakers: ``none``; ``auto``: by clusters of voices, whose number is estimated; their
            number; or ``channels``: each channel is a speaker.

    Raises:
        UsageError: a value is out of its range; the message begins with the name of the field.

    >>> TurnOptions(padding=0.3)
    Traceback (most recent call last):
    data_prep.errors.CodedError: padding: 0.3 s is more than half of the pause of 0.5 s; lower it
    """

    min_seconds: float = 0.25
    max_seconds: float = 20.0
    pause: float = 0.5
    padding: float = 0.1
    threshold: float = 0.3
    speakers: str | int = NO_SPEAKERS

    def __post_init__(self) -> None:
        self._check("min_seconds", 0.0, 10.0)
        self._check("max_seconds", 1.0, LONGEST_STRETCH)
        self._check("pause", 0.1, 10.0)
        self._check("padding", 0.0, 5.0)
        self._check("threshold", 0.05, 0.95)
        if self.max_seconds < 4 * self.min_seconds:
            raise UsageError(
                f"max_seconds: {self.max_seconds:g} s is less than 4 times min_seconds, "
                f"{self.min_seconds:g} s; no cut of long speech would fit",
                "turn-options-invalid",
            )
        if self.padding > self.pause / 2:
            raise UsageError(
                f"padding: {self.padding:g} s is more than half of the pause of {self.pause:g} s; "
                "lower it",
                "turn-options-invalid",
            )
        self._check_speakers()

    @property
    def low_threshold(self) -> float:
        """Return the probability below which speech may end."""
        return max(self.threshold - _HYSTERESIS, 0.01)

    @property
    def clusters_voices(self) -> bool:
        """Return whether speakers are distinguished by their voices."""
        return self.speakers not in (NO_SPEAKERS, CHANNELS)

    def _check(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise UsageError(
                f"{name}: {value:g} is not from {low:g} to {high:g}", "turn-options-invalid"
            )

    def _check_speakers(self) -> None:
        names = (NO_SPEAKERS, AUTO, CHANNELS)
        is_number = isinstance(self.speakers, int) and not isinstance(self.speakers, bool)
        if is_number and 1 <= int(self.speakers) <= _MOST_SPEAKERS:
            return
        if self.speakers not in names:
            raise UsageError(
                f"speakers: {self.speakers!r}; give {', '.join(names)} or a number from 1 to "
                f"{_MOST_SPEAKERS}",
                "turn-options-invalid",
            )
