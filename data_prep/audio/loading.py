"""Load audio from a file, an upload or an array, whole or a segment, as mono samples.

Every command loads audio by this module, so that all of them accept the same files. The rules:

- Formats: what libsndfile decodes, recognized by content (WAV, AIFF, AU, CAF, W64, RF64, FLAC, Ogg,
  MP3, NIST SPHERE), and through PyAV (`pip install av`) mp4, m4a, webm, amr, wma and others.
- A header without a length (0, 0xffffffff) means up to the end of the file.
- Channels are averaged (surround in containers that name its channels: ITU-R BS.775), then
  resampled by soxr (HQ). Integers are scaled to [-1, 1]; floating samples are kept as they are.
- `AudioError`: missing, empty or unreadable files; files shorter than their header states; no audio
  stream; fewer samples than one analysis window (25 ms, required by every front end); NaN or
  infinity; floating samples above 4, which are integers that were not scaled (up to 4 is overshoot
  of mixing or of a codec); rates, channels and lengths beyond `AudioLimits`, before decoding if the
  header states them.
- Warnings: digital silence (every sample is 0); channels in antiphase, whose mean is 60 dB or more
  below them; a header with fewer samples than the file has. Such audio is loaded, since corpora
  have silent clips; preparation and training log how many and which.
- A segment [start, end) is read by seeking where the format allows, else by decoding from the
  beginning. Its end may be up to 20 ms beyond that of the recording, as rounded annotations are.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import soxr

from data_prep.audio.decoding import (
    DEFAULT_LIMITS,
    AudioError,
    AudioLimits,
    Block,
    FloatArray,
    Reader,
    Source,
    TooLongError,
    UnknownFormatError,
)
from data_prep.audio.opening import open_audio
from data_prep.manifest.records import SAMPLE_RATE, Corpus
from data_prep.messages import first_few
from data_prep.progress import track

__all__ = [
    "SILENCE",
    "WINDOW_MS",
    "AudioError",
    "AudioLimits",
    "FloatArray",
    "Measured",
    "TooLongError",
    "UnknownFormatError",
    "default_workers",
    "load_audio",
    "load_with_warnings",
    "measure_all",
    "measure_audio",
    "resampled",
    "resampled_length",
]

WINDOW_MS = 25  # one analysis window: Kaldi's frames, wav2vec 2.0's receptive field
SILENCE = "digital silence: every sample is 0"
SLACK_SECONDS = 0.02  # a segment may end this much after the recording
_LOUDEST = 4.0  # of floating samples; resampling and mixing overshoot 1, but by less
_ANTIPHASE_DB = -60.0  # level of the mono mix over that of the channels
_BLOCK = 1 << 16  # frames decoded at a time
_AT_ONCE = 1 << 22  # samples resampled in one call; more go through a stream, with the same result

Span: TypeAlias = tuple[float, float | None]  # start and end in seconds; None: end of recording
Segment: TypeAlias = tuple[Path, float, float | None]


class Measured(NamedTuple):
    """Number of samples per channel at the target rate, and warnings."""

    n_samples: int
    warnings: tuple[str, ...] = ()


def load_audio(
    source: Source,
    *,
    sample_rate: int = SAMPLE_RATE,
    source_rate: float | None = None,
    start: float = 0.0,
    end: float | None = None,
    limits: AudioLimits = DEFAULT_LIMITS,
) -> FloatArray:
    """Load a recording, or a segment of it, as (n_samples,) mono float32 samples.

    Args:
        source: a path; the content of a file, as bytes or as an open binary file; or an array (T,)
            or (T, channels), floating with full scale 1, int16, int32 or uint8.
        sample_rate: target sample rate in Hz.
        source_rate: sample rate of an array in Hz; a file states its own.
        start: start of the segment in seconds.
        end: end of the segment in seconds; None = end of the recording.
        limits: limits of rate, channels and length.

    Returns:
        (n_samples,) float32 in [-1, 1], up to overshoot.

    Raises:
        AudioError: the audio violates a rule above. The message does not name the source.

    >>> stereo = np.zeros((8_000, 2), np.int16)
    >>> load_audio(stereo, source_rate=8_000).shape
    (16000,)
    >>> load_audio(stereo, source_rate=8_000, start=0.25, end=0.5).shape
    (4000,)
    """
    return load_with_warnings(
        source,
        sample_rate=sample_rate,
        source_rate=source_rate,
        start=start,
        end=end,
        limits=limits,
    )[0]


def load_with_warnings(
    source: Source,
    *,
    sample_rate: int = SAMPLE_RATE,
    source_rate: float | None = None,
    start: float = 0.0,
    end: float | None = None,
    limits: AudioLimits = DEFAULT_LIMITS,
) -> tuple[FloatArray, tuple[str, ...]]:
    """Load as `load_audio`, and also return warnings, such as of digital silence."""
    with open_audio(source, source_rate, limits) as reader:
        part = _Part(reader, start, end, limits)
        mono = _Resampler(reader.rate, sample_rate)
        reader.skip(part.first)
        for block in _blocks(reader, part):
            mono.add(part.take(block))
        part.finish()
        samples = mono.finish()
        return samples, part.check_length(len(samples), sample_rate).warnings


def measure_audio(
    path: str | Path,
    target_rate: int,
    start: float = 0.0,
    end: float | None = None,
    limits: AudioLimits = DEFAULT_LIMITS,
) -> int:
    """Return `len(load_audio(...))` at `target_rate`, without storing samples.

    Raises:
        AudioError: in the same cases as `load_audio`.
    """
    return _measure_one(path, target_rate, start, end, limits).n_samples


def measure_all(
    items: Sequence[Path | Segment],
    target_rate: int,
    *,
    workers: int | None = None,
    progress: bool = False,
) -> list[Measured | AudioError]:
    """Measure files, or segments of them, in threads.

    Args:
        items: paths, or (path, start, end); several segments of a file are decoded once.
        target_rate: in Hz.
        workers: number of threads; None = :func:`default_workers`.
        progress: show a progress bar.

    Returns:
        The length of each item, in order, or its AudioError.
    """
    segments = [item if isinstance(item, tuple) else (item, 0.0, None) for item in items]
    by_path: dict[Path, list[int]] = {}
    for index, (path, _, _) in enumerate(segments):
        by_path.setdefault(path, []).append(index)
    results: list[Measured | AudioError] = [Measured(0)] * len(segments)

    def measure(path: Path) -> None:
        indices = by_path[path]
        spans = [segments[index][1:] for index in indices]
        for index, result in zip(indices, _measure_spans(path, target_rate, spans), strict=True):
            results[index] = result

    hide = not progress or not by_path
    with ThreadPoolExecutor(workers or default_workers()) as pool:
        try:
            done = pool.map(measure, by_path)
            for _ in track(done, "audio", len(by_path), "file", hide):
                pass
        finally:
            pool.shutdown(cancel_futures=True)  # on Ctrl-C, do not start the others
    return results


def resampled(waveform: FloatArray, rate: float, sample_rate: int) -> FloatArray:
    """Resample mono samples (n_samples,) from `rate` to `sample_rate` by soxr (HQ), as float32."""
    if rate != sample_rate:
        waveform = soxr.resample(waveform, rate, sample_rate)
    return np.ascontiguousarray(waveform, dtype=np.float32)


def resampled_length(frames: int, source_rate: float, target_rate: int) -> int:
    """Return the number of samples after resampling, rounded half up as by soxr.

    >>> resampled_length(22_050, 44_100, 16_000)
    8000
    """
    if source_rate == int(source_rate):
        rate = int(source_rate)
        return (2 * frames * target_rate + rate) // (2 * rate)
    return math.floor(frames * target_rate / source_rate + 0.5)


def default_workers() -> int:
    """Return the default number of decoding threads: one per core, at most eight."""
    return min(8, os.cpu_count() or 1)


class _Part:
    """A segment of an opened recording: its bounds in frames, and statistics of its samples."""

    def __init__(
        self, reader: Reader, start: float, end: float | None, limits: AudioLimits
    ) -> None:
        self._reader = reader
        self._limits = limits
        self._span = (start, end)
        self.first, self.last = self._bounds(start, end)
        self.n_frames = 0
        self._is_silent = True
        self._peak = 0.0
        self._power = self._mono_power = 0.0
        last = reader.expected_frames if self.last is None else self.last
        if last is not None:
            limits.check_length(last - self.first, reader.rate)

    def _bounds(self, start: float, end: float | None) -> tuple[int, int | None]:
        """Return the first frame, and that after the last; None if the header does not state it."""
        rate, frames = self._reader.rate, self._reader.frames
        is_ordered = math.isfinite(start) and 0 <= start < (math.inf if end is None else end)
        if not is_ordered or (end is not None and not math.isfinite(end)):
            raise AudioError(self._outside(None), "segment-outside")
        first = round(start * rate)
        last = frames if end is None else round(end * rate)
        if frames is not None and (start or end is not None):
            if first >= frames or (last or 0) > frames + SLACK_SECONDS * rate:
                raise AudioError(self._outside(frames), "segment-outside")
            last = min(last or frames, frames)
        return first, last

    def _outside(self, frames: int | None) -> str:
        start, end = self._span
        until = "its end" if end is None else f"{end:g} s"
        if frames is None:
            return f"no segment is from {start:g} s to {until}; give 0 <= start < end in seconds"
        seconds = frames / self._reader.rate
        return f"the segment from {start:g} s to {until} is not in its {seconds:g} s"

    def take(self, block: Block) -> FloatArray:
        """Check a block of the segment, and mix it to mono."""
        self.n_frames += len(block)
        if self.last is None:
            self._limits.check_length(self.n_frames, self._reader.rate)
        if not self._reader.is_checked:
            self._check_values(block)
        mono = self._reader.mix(block)
        # A few samples usually suffice to detect sound.
        self._is_silent = self._is_silent and not (block[::509].any() or block.any())
        if block.shape[1] > 1 and self._peak <= _LOUDEST:
            samples = block.ravel()
            self._power += float(np.dot(samples, samples)) / block.shape[1]
            self._mono_power += float(np.dot(mono, mono))
        return mono

    def _check_values(self, block: Block) -> None:
        low, high = float(block.min()), float(block.max())  # NaN if a sample is NaN
        if not (math.isfinite(low) and math.isfinite(high)):
            raise AudioError("holds samples that are NaN or infinite", "audio-not-finite")
        self._peak = max(self._peak, -low, high)

    def finish(self) -> None:
        """Raise AudioError if fewer samples were decoded than the segment should have."""
        frames, end = self._reader.frames, self._span[1]
        if self.last is None:
            if not self.n_frames and self.first:
                raise AudioError(
                    f"ends before {self._span[0]:g} s, where the segment begins", "segment-outside"
                )
        elif self.n_frames < self.last - self.first:
            decoded = self.first + self.n_frames
            if frames is not None:
                raise AudioError(
                    f"truncated: {decoded} of {frames} samples decode", "audio-truncated"
                )
            missing = self.last - decoded
            if end is not None and missing > SLACK_SECONDS * self._reader.rate:
                raise AudioError(self._outside(decoded), "segment-outside")
        if not self.n_frames:
            raise AudioError("holds no sound (0 samples)", "audio-empty")

    def measured(self, sample_rate: int) -> Measured:
        """Return the length at `sample_rate` of a completed segment. Raises AudioError."""
        self.finish()
        n_samples = resampled_length(self.n_frames, self._reader.rate, sample_rate)
        return self.check_length(n_samples, sample_rate)

    def check_length(self, n_samples: int, sample_rate: float) -> Measured:
        """Return the length at `sample_rate`, with warnings. Raises AudioError if too short."""
        if self._peak > _LOUDEST:
            raise AudioError(
                f"floating-point samples of up to {self._peak:g}, where full scale is 1; divide "
                "them by the full scale of their integers (32768 of 16 bits), or give int16",
                "audio-out-of-scale",
            )
        if n_samples < sample_rate * WINDOW_MS / 1000:
            raise AudioError(
                f"{1000 * n_samples / sample_rate:.3g} ms of sound are less than one window of "
                f"{WINDOW_MS} ms",
                "audio-too-short",
            )
        warnings = list(self._reader.warnings)
        if self._is_silent:
            warnings.append(SILENCE)
        elif self._mono_power < 10 ** (_ANTIPHASE_DB / 10) * self._power:
            warnings.append(
                "channels in antiphase: their mean is silent; give one of them, or invert one"
            )
        return Measured(n_samples, tuple(warnings))


class _Resampler:
    """Resample mono blocks, in one call or, if long, as a stream."""

    def __init__(self, rate: float, sample_rate: int) -> None:
        self._rates = rate, sample_rate
        self._blocks: list[FloatArray] = []
        self._n_waiting = 0
        self._stream: soxr.ResampleStream | None = None
        self._resampled: list[FloatArray] = []

    def add(self, block: FloatArray) -> None:
        self._blocks.append(block)
        self._n_waiting += len(block)
        if self._n_waiting > _AT_ONCE and self._rates[0] != self._rates[1]:
            self._flush(last=False)

    def finish(self) -> FloatArray:
        if self._stream is not None:
            self._flush(last=True)
            return np.concatenate(self._resampled)
        waveform = self._blocks[0] if len(self._blocks) == 1 else np.concatenate(self._blocks)
        return resampled(waveform, *self._rates)

    def _flush(self, last: bool) -> None:
        if self._stream is None:
            self._stream = soxr.ResampleStream(*self._rates, 1, dtype="float32", quality="HQ")
        waiting = np.concatenate([*self._blocks, np.zeros(0, np.float32)])
        self._resampled.append(self._stream.resample_chunk(waiting, last=last))
        self._blocks, self._n_waiting = [], 0


def _blocks(reader: Reader, part: _Part) -> Iterator[Block]:
    """Yield the blocks of a segment from a reader at its first frame."""
    position = part.first
    while part.last is None or position < part.last:
        n_frames = _BLOCK if part.last is None else min(_BLOCK, part.last - position)
        block = reader.read(n_frames)
        if not len(block):
            return
        position += len(block)
        yield block


def _measure_one(
    path: str | Path, target_rate: int, start: float, end: float | None, limits: AudioLimits
) -> Measured:
    with open_audio(path, limits=limits) as reader:
        part = _Part(reader, start, end, limits)
        reader.skip(part.first)
        for block in _blocks(reader, part):
            part.take(block)
        return part.measured(target_rate)


def _measure_spans(
    path: Path, target_rate: int, spans: Sequence[Span]
) -> list[Measured | AudioError]:
    """Measure segments of one file, which is decoded once."""
    distinct = list(dict.fromkeys(spans))
    results: dict[Span, Measured | AudioError] = {}
    if len(distinct) > 1:
        # An error that stops decoding is not in all segments: the rest is measured one by one
        # below.
        with suppress(AudioError), open_audio(path, limits=DEFAULT_LIMITS) as reader:
            _measure_in_one_pass(reader, target_rate, distinct, results)
    for start, end in distinct:
        if (start, end) not in results:
            try:
                results[start, end] = _measure_one(path, target_rate, start, end, DEFAULT_LIMITS)
            except AudioError as error:
                results[start, end] = error
    return [results[span] for span in spans]


def _measure_in_one_pass(
    reader: Reader,
    target_rate: int,
    spans: Sequence[Span],
    results: dict[Span, Measured | AudioError],
) -> None:
    parts: dict[Span, _Part] = {}
    for span in spans:
        with _collected(results, span):
            parts[span] = _Part(reader, *span, DEFAULT_LIMITS)
    waiting = sorted(parts, key=lambda span: parts[span].first)
    active: list[Span] = []
    position = 0
    while waiting or active:
        if not active:
            reader.skip(parts[waiting[0]].first - position)
            position = parts[waiting[0]].first
        while waiting and parts[waiting[0]].first == position:
            active.append(waiting.pop(0))
        borders = [position + _BLOCK, *(parts[span].first for span in waiting[:1])]
        borders += [last for span in active if (last := parts[span].last) is not None]
        block = reader.read(min(borders) - position)
        position += len(block)
        for span in active:
            with _collected(results, span):
                if len(block):
                    parts[span].take(block)
                if not len(block) or parts[span].last == position:
                    results[span] = parts[span].measured(target_rate)
        active = [span for span in active if span not in results]
        if not len(block):
            return


@contextmanager
def _collected(results: dict[Span, Measured | AudioError], span: Span) -> Iterator[None]:
    """Store an error as the result of its segment."""
    try:
        yield
    except AudioError as error:
        results[span] = error


# -- Notes on warnings in the card of a corpus -----------------------------------------------------

logger = logging.getLogger(__name__)


def note_warnings(corpus: Corpus, measured: Iterable[tuple[str, Measured | AudioError]]) -> None:
    """Add a note to the corpus for each kind of warning of (row id, measured audio), and log it."""
    ids: dict[str, list[str]] = {}
    for name, audio in measured:
        for warning in audio.warnings if isinstance(audio, Measured) else ():
            ids.setdefault(warning.partition(":")[0], []).append(name)
    for kind, names in ids.items():
        note = f"{kind}, {len(names)} rows: {first_few(names)} (data_prep.validate lists them all)"
        corpus.notes.append(note)
        logger.warning("%s", note)
