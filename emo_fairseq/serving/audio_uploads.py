"""Decode an uploaded audio file; a file that cannot be used is an :class:`HttpError`."""

from dataclasses import dataclass, replace

from data_prep.audio.decoding import (
    DEFAULT_LIMITS,
    AudioError,
    FloatArray,
    TooLongError,
    UnknownFormatError,
)
from data_prep.audio.loading import load_with_warnings
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.serving.http_errors import HttpError

TOO_LONG = "audio-too-long"


@dataclass(frozen=True)
class AudioUpload:
    """A decoded file.

    Attributes:
        samples: (T,) float32, mono, at 16 kHz.
        warnings: of the file, such as digital silence.
    """

    samples: FloatArray
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """The duration."""
        return len(self.samples) / SAMPLE_RATE

    def segment(self, start: float, end: float) -> "AudioUpload":
        """Return the segment from `start` to `end`, in seconds.

        Raises:
            HttpError: the segment is empty.
        """
        first, last = (round(second * SAMPLE_RATE) for second in (start, end))
        samples = self.samples[first : max(first, last)]
        if not len(samples):
            times = f"from {start:g} to {end:g} s; it ends at {self.seconds:g} s"
            raise HttpError(400, f"There is no audio {times}.", "segment-empty")
        return replace(self, samples=samples)


def decode_upload(content: bytes, max_seconds: float) -> AudioUpload:
    """Decode a file from memory, by the rules of :mod:`data_prep.audio.loading`.

    Raises:
        HttpError: 413 if it is too long, by its header or while it is decoded; 415 if it is no
            audio file; 422 if the audio cannot be used.
    """
    bounds = replace(DEFAULT_LIMITS, max_seconds=max_seconds)
    try:
        return AudioUpload(*load_with_warnings(content, limits=bounds))
    except TooLongError:
        limit = _duration(max_seconds)
        message = f"The audio is longer than {limit}, the limit; send a part of it."
        raise HttpError(413, message, TOO_LONG) from None
    except UnknownFormatError as error:
        message = f"This is not an audio file that can be read here, or it is broken ({error})."
        raise HttpError(415, message, "audio-format-unknown") from None
    except AudioError as error:
        message = f"The audio file cannot be used: {error}."
        raise HttpError(422, message, error.code or "audio-unusable") from None


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.3g} minutes" if seconds >= 120 else f"{seconds:.3g} seconds"
