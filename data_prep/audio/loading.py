"""Load audio from a file, an upload or an array, whole or a segment, as mono samples.

Every command loads audio by this module, so that all of them accept the same files. The rules:

- Formats: what libsndfile decodes, recognized by content (WAV, AIFF, AU, CAF, W64, RF64, FLAC, Ogg,
  MP3, NIST SPHERE), and through PyAV (`pip install av`) mp4, m4a, webm, amr, wma and others.
- A header without a length (0, 0xffffffff) means up to the end of the file.
- Channels are averaged (surround in containers that name its channels: ITU-R BS.775) unless one of
  them is wanted, then resampled by soxr (HQ). Integers are scaled to [-1, 1]; floating samples are
  kept as they are.
- `AudioError`: missing, empty or unreadable files; files shorter than their header states; no audio
  stream; fewer samples than one analysis window (25 ms, required by every front end); NaN or
  infinity; floating samples above 4, which are integers that were not scaled (up to 4 is overshoot
  of mixing or of a codec); rates, channels and lengths beyond `AudioLimits`, before decoding if the
  header states them.
- Warnings: digital silence (every sample is 0); channels in antiphase, whose mean is 60 dB or more
  below them; a header with fewer samples than the file has; several audio streams, of which FFmpeg
  chooses one. Such audio is loaded, since corpora have silent clips; preparation and training log
  how many and which.
- A segment [start, end) is read by seeking where the format allows, else by decoding from the
  beginning. Its end may be up to 20 ms beyond that of the recording, as rounded annotations are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeAlias

from data_prep.audio.decoding import (
    DEFAULT_LIMITS,
    AudioError,
    AudioLimits,
    FloatArray,
    Reader,
    Source,
)
from data_prep.audio.opening import open_audio
from data_prep.audio.part import Measured, Part, blocks_of, pieces_of
from data_prep.audio.resampling import Resampler
from data_prep.engines import Workers, ordered_map
from data_prep.manifest.records import SAMPLE_RATE, Corpus
from data_prep.messages import first_few
from data_prep.progress import track

Span: TypeAlias = tuple[float, float | None]  # start and end in seconds; None: end of recording
Segment: TypeAlias = tuple[Path, float, float | None]

_FILES = 16  # that are sent to a worker together


def load_audio(
    source: Source,
    *,
    sample_rate: int = SAMPLE_RATE,
    source_rate: float | None = None,
    start: float = 0.0,
    end: float | None = None,
    channel: int | None = None,
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
        channel: number of the channel that is loaded, from 1; None = all, mixed to mono.
        limits: limits of rate, channels and length.

    Returns:
        (n_samples,) float32 in [-1, 1], up to overshoot.

    Raises:
        AudioError: the audio violates a rule above. The message does not name the source.

    >>> import numpy as np
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
        channel=channel,
        limits=limits,
    )[0]


def load_with_warnings(
    source: Source,
    *,
    sample_rate: int = SAMPLE_RATE,
    source_rate: float | None = None,
    start: float = 0.0,
    end: float | None = None,
    channel: int | None = None,
    limits: AudioLimits = DEFAULT_LIMITS,
) -> tuple[FloatArray, tuple[str, ...]]:
    """Load as `load_audio`, and also return warnings, such as of digital silence."""
    with open_audio(source, source_rate, limits) as reader:
        part = Part(reader, start, end, limits, channel)
        mono = Resampler(reader.rate, sample_rate)
        reader.skip(part.first)
        for block in blocks_of(reader, part):
            mono.add(part.take(block))
        part.finish()
        samples = mono.finish()
        return samples, part.check_length(len(samples), sample_rate).warnings


def measure_audio(
    path: str | Path,
    target_rate: int,
    start: float = 0.0,
    end: float | None = None,
) -> int:
    """Return `len(load_audio(...))` at `target_rate`, without storing samples.

    Raises:
        AudioError: in the same cases as `load_audio`.
    """
    return _measure_one(path, target_rate, start, end).n_samples


def measure_all(
    items: Sequence[Path | Segment],
    target_rate: int,
    *,
    workers: Workers = None,
    progress: bool = False,
) -> list[Measured | AudioError]:
    """Measure files, or segments (path, start, end) of them, each file decoded once.

    Returns:
        The length of each item, in order, or its AudioError.
    """
    segments = [item if isinstance(item, tuple) else (item, 0.0, None) for item in items]
    by_path: dict[Path, list[int]] = {}
    for index, (path, _, _) in enumerate(segments):
        by_path.setdefault(path, []).append(index)
    results: list[Measured | AudioError] = [Measured(0)] * len(segments)

    paths = list(by_path)
    units = [(path, [segments[index][1:] for index in by_path[path]]) for path in paths]
    with ordered_map(partial(_build_measure, target_rate), workers, _FILES, threads=True) as over:
        measured = track(over(units), "audio", len(units), "file", not progress or not units)
        for path, lengths in zip(paths, measured, strict=True):
            for index, length in zip(by_path[path], lengths, strict=True):
                results[index] = length
    return results


def _build_measure(
    target_rate: int,
) -> Callable[[tuple[Path, Sequence[Span]]], list[Measured | AudioError]]:
    return lambda unit: _measure_spans(unit[0], target_rate, unit[1])


def _measure_one(path: str | Path, target_rate: int, start: float, end: float | None) -> Measured:
    with open_audio(path, limits=DEFAULT_LIMITS) as reader:
        part = Part(reader, start, end, DEFAULT_LIMITS)
        reader.skip(part.first)
        for block in blocks_of(reader, part):
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
                results[start, end] = _measure_one(path, target_rate, start, end)
            except AudioError as error:
                results[start, end] = error
    return [results[span] for span in spans]


def _measure_in_one_pass(
    reader: Reader,
    target_rate: int,
    spans: Sequence[Span],
    results: dict[Span, Measured | AudioError],
) -> None:
    parts: dict[Span, Part] = {}
    for span in spans:
        with _collected(results, span):
            parts[span] = Part(reader, *span)
    for span, piece in pieces_of(reader, parts):
        if isinstance(piece, AudioError):
            results[span] = piece
        elif piece is None:
            with _collected(results, span):
                results[span] = parts[span].measured(target_rate)


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
