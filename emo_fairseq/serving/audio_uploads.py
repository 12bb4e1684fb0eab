"""An uploaded file as samples, with the status of an answer to one that cannot be used."""

from dataclasses import dataclass, replace

from data_prep.audio.decoding import DEFAULT_LIMITS
from data_prep.audio.loading import (
    AudioError,
    FloatArray,
    TooLongError,
    UnknownFormatError,
    load_with_warnings,
)
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.serving.http_errors import RefusalError
from emo_fairseq.serving.limits import Limits


@dataclass(frozen=True)
class Sound:
    """Mono samples (T,) float32 at 16 kHz, and what is odd about the file."""

    samples: FloatArray
    warnings: tuple[str, ...] = ()
    sample_rate: int = SAMPLE_RATE

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / self.sample_rate

    def between(self, start: float, end: float) -> "Sound":
        """The part from `start` to `end`, in seconds.

        Raises:
            RefusalError: no sound lies there.
        """
        first, last = (round(second * self.sample_rate) for second in (start, end))
        part = self.samples[first : max(first, last)]
        if not len(part):
            there = f"from {start:g} to {end:g} s; it ends at {self.seconds:g} s"
            raise RefusalError(400, f"There is no sound {there}.")
        return replace(self, samples=part)


def read_sound(content: bytes, limits: Limits) -> Sound:
    """Load a file from memory, by the rules of :mod:`data_prep.audio.loading`.

    Raises:
        RefusalError: with 413 for what is too long, by its header or while it is decoded; 415 for
            what is no audio; 422 for audio that cannot be used.
    """
    bounds = replace(DEFAULT_LIMITS, max_seconds=limits.audio_seconds)
    try:
        return Sound(*load_with_warnings(content, limits=bounds))
    except TooLongError:
        most = _minutes(limits.audio_seconds)
        sentence = f"The audio is longer than {most}, the most that is taken; send a part of it."
        raise RefusalError(413, sentence) from None
    except UnknownFormatError as error:
        sentence = f"This is not an audio file that can be read here, or it is broken ({error})."
        raise RefusalError(415, sentence) from None
    except AudioError as error:
        raise RefusalError(422, f"The audio file cannot be used: {error}.") from None


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.3g} minutes" if seconds >= 120 else f"{seconds:.3g} seconds"
