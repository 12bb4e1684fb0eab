"""Speech probability and level of a whole recording, frame by frame, read in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.audio.decoding import FloatArray, Source
from data_prep.audio.streaming import stream_audio
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.diarization.silero import FRAME, SpeechProbabilities

# Called with what is done, the seconds of the recording that are done, and all seconds or None.
Progress = Callable[[str, float, float | None], object]


def no_progress(stage: str, seconds: float, total: float | None) -> None:
    """Show nothing; the default of `progress`."""


@dataclass(frozen=True)
class Activity:
    """One channel of a recording, in frames of 32 ms: 0.9 MB for an hour.

    Attributes:
        probabilities: (n_frames,) of speech.
        powers: (n_frames,) mean squares of the samples.
    """

    probabilities: FloatArray
    powers: FloatArray


@dataclass(frozen=True)
class RecordingActivity:
    """The speech and the level of a recording.

    Attributes:
        channels: of each channel, or of all mixed to one.
        n_samples: its length at 16 kHz.
        warnings: of the audio.
    """

    channels: Sequence[Activity]
    n_samples: int
    warnings: Sequence[str]

    @property
    def loudest(self) -> float:
        """Return the level of the loudest frame in dB below full scale; -inf for silence."""
        peak = max((float(channel.powers.max()) for channel in self.channels), default=0.0)
        with np.errstate(divide="ignore"):
            return float(10 * np.log10(peak))


def measure_activity(
    source: Source,
    *,
    source_rate: float | None = None,
    separate_channels: bool = False,
    progress: Progress = no_progress,
) -> RecordingActivity:
    """Measure the speech probability and the level of each frame of a recording.

    An array has `source_rate` in Hz. All channels are mixed to one unless `separate_channels`.

    Raises:
        AudioError: the recording cannot be read.
        UsageError: faster-whisper is not installed.
    """
    with stream_audio(
        source, source_rate=source_rate, separate_channels=separate_channels
    ) as stream:
        detectors = [SpeechProbabilities() for _ in range(stream.channels)]
        meters = [FramePowers() for _ in range(stream.channels)]
        probabilities: list[list[FloatArray]] = [[] for _ in range(stream.channels)]
        powers: list[list[FloatArray]] = [[] for _ in range(stream.channels)]
        n_samples = 0
        for block in stream:
            n_samples += len(block)
            for channel in range(stream.channels):
                probabilities[channel].append(detectors[channel].feed(block[:, channel]))
                powers[channel].append(meters[channel].feed(block[:, channel]))
            progress("speech", n_samples / SAMPLE_RATE, stream.seconds)
        channels = [
            Activity(
                np.concatenate([*probabilities[channel], detectors[channel].finish()]),
                np.concatenate([*powers[channel], meters[channel].finish()]),
            )
            for channel in range(stream.channels)
        ]
        return RecordingActivity(channels, n_samples, stream.warnings)


def channel_powers(
    source: Source,
    seconds: float,
    *,
    source_rate: float | None,
) -> list[FloatArray]:
    """Return the mean squares (n_frames,) of each channel in the first seconds of a recording.

    Raises:
        AudioError: the recording cannot be read.
    """
    with stream_audio(source, source_rate=source_rate, separate_channels=True) as stream:
        meters = [FramePowers() for _ in range(stream.channels)]
        powers: list[list[FloatArray]] = [[] for _ in meters]
        n_samples = 0
        for block in stream:
            for channel, meter in enumerate(meters):
                powers[channel].append(meter.feed(block[:, channel]))
            n_samples += len(block)
            if n_samples >= seconds * SAMPLE_RATE or len(meters) == 1:
                break
    return [np.concatenate(parts) if parts else np.zeros(0, np.float32) for parts in powers]


class FramePowers:
    """Mean square of each frame of a stream of samples."""

    def __init__(self) -> None:
        self._incomplete = np.zeros(0, np.float32)

    def feed(self, block: FloatArray) -> FloatArray:
        """Return (n_frames,) of the frames that a block (n_samples,) completes."""
        samples = np.concatenate([self._incomplete, block])
        n_frames = len(samples) // FRAME
        self._incomplete = samples[n_frames * FRAME :]
        frames = samples[: n_frames * FRAME].reshape(-1, FRAME)
        return np.asarray(np.square(frames).mean(axis=1), np.float32)

    def finish(self) -> FloatArray:
        """Return (1,) of an incomplete last frame; (0,) if there is none."""
        samples, self._incomplete = self._incomplete, np.zeros(0, np.float32)
        return np.square(samples).mean(keepdims=True) if len(samples) else samples
