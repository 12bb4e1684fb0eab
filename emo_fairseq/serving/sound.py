"""An uploaded file as samples: known by its content, and refused by its header before decoding."""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from data_prep.audio.decoding import AudioError, Block, decode_open
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.refusals import RefusalError

# What is asked of libsndfile; it knows thirty more, which nobody records and few have tested.
FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF")
_RATES = (4_000, 192_000)
_CHANNELS = 8
# Samples a channel that are held at once: at the longest length as at this rate, in all.
_USUAL_RATE = 48_000
_UNKNOWN = np.iinfo(np.int64).max  # frames of a stream whose header does not say


@dataclass(frozen=True)
class Sound:
    """Mono samples (T,) float32 in [-1, 1], and their rate in Hz."""

    samples: npt.NDArray[np.float32]
    sample_rate: int

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
        return Sound(part, self.sample_rate)


def read_sound(content: bytes, limits: Limits) -> Sound:
    """Decode a file that libsndfile recognises, from memory.

    Raises:
        RefusalError: it is no audio, cut short, empty, not finite, too long, or of a rate or a
            number of channels that no recording has. A header that claims hours is refused unread,
            and one that claims less than there is, as soon as the limit is passed.
    """
    try:
        with soundfile.SoundFile(_Bytes(content)) as sound:
            _check_header(sound, limits)
            return Sound(_decode(sound, limits), sound.samplerate)
    except AudioError as error:
        raise RefusalError(422, f"The audio file cannot be used: {error}.") from None
    except (soundfile.SoundFileError, OSError):
        names = ", ".join(name for name in FORMATS if name not in ("WAVEX", "RF64"))
        sentence = f"This is not an audio file that can be read here, or it is broken ({names})."
        raise RefusalError(415, sentence) from None


class _Bytes(io.BytesIO):
    """A file in which libsndfile may seek where a broken header sends it, before the beginning."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:  # which cffi would print, with its traceback, and not raise
            return self.tell()


def _check_header(sound: soundfile.SoundFile, limits: Limits) -> None:
    if sound.format not in FORMATS:
        raise RefusalError(
            415, f"Audio files of the kind {sound.format} are not read here; send WAV."
        )
    if not _RATES[0] <= sound.samplerate <= _RATES[1]:
        low, high = _RATES
        sentence = f"A sample rate of {sound.samplerate} Hz is not read here ({low} to {high} Hz)."
        raise RefusalError(422, sentence)
    if sound.channels > _CHANNELS:
        sentence = f"The audio has {sound.channels} channels; at most {_CHANNELS} are read."
        raise RefusalError(422, sentence)
    if sound.frames < _UNKNOWN:
        _check_length(sound.frames, sound.samplerate, limits)


def _check_length(frames: int, rate: int, limits: Limits) -> None:
    most = limits.audio_seconds * min(rate, _USUAL_RATE)
    if frames > most:
        sentence = (
            f"The audio is longer than {_minutes(most / rate)}, the most that is taken"
            f" at {rate} Hz; send a part of it."
        )
        raise RefusalError(413, sentence)


def _decode(sound: soundfile.SoundFile, limits: Limits) -> npt.NDArray[np.float32]:
    blocks: list[npt.NDArray[np.float32]] = []
    frames = 0

    def take(block: Block) -> None:
        nonlocal frames
        frames += len(block)
        _check_length(frames, sound.samplerate, limits)
        blocks.append(block.mean(axis=1))

    decode_open(sound, take)
    return np.concatenate(blocks)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.3g} minutes" if seconds >= 120 else f"{seconds:.3g} seconds"
