"""Decode the audio of some rows to 16 bits: what one process does at a time."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.audio.decoding import AudioError, FloatArray
from data_prep.audio.loading import load_with_warnings
from data_prep.audio.segment import AudioSegment
from data_prep.audio.streaming import load_segments
from data_prep.errors import CodedError
from data_prep.files.digests import file_digest
from data_prep.packed_audio.quantizing import IntArray, quantize
from data_prep.packed_audio.rows import ROW, State
from data_prep.packed_audio.sources import SOURCE, Stamp, stamp, stamp_or_absent, stamp_to_keep

Loaded = tuple[FloatArray | AudioError, tuple[str, ...]]


@dataclass
class PackedChunk:
    """The audio of some rows.

    Attributes:
        samples: of all rows, stacked.
        rows: (n,) of :data:`data_prep.packed_audio.rows.ROW`, without keys; their sources are
            numbers in `sources`.
        sources: (f,) of :data:`data_prep.packed_audio.sources.SOURCE`.
        paths: of the sources.
        errors: why rows cannot be read, by their number.
        warnings: what is odd about rows, by their number.
    """

    samples: IntArray
    rows: np.ndarray
    sources: np.ndarray
    paths: list[Path] = field(default_factory=list)
    errors: dict[int, AudioError] = field(default_factory=dict)
    warnings: dict[int, tuple[str, ...]] = field(default_factory=dict)


def build_decoder(sample_rate: int) -> Callable[[Sequence[AudioSegment | None]], PackedChunk]:
    """Return a function that decodes segments; one without samples for None."""
    return functools.partial(decode, sample_rate)


def decode(sample_rate: int, audio: Sequence[AudioSegment | None]) -> PackedChunk:
    """Decode segments to 16 bits; what cannot be read is an entry of `errors`."""
    rows = np.zeros(len(audio), ROW)
    by_path: dict[Path, list[int]] = {}
    for row, part in enumerate(audio):
        if part is not None:
            by_path.setdefault(part.path, []).append(row)
    values: list[IntArray] = [np.zeros(0, np.int16)] * len(audio)
    chunk = PackedChunk(values[0] if values else np.zeros(0, np.int16), rows, np.zeros(0, SOURCE))
    sources: list[tuple[Stamp, np.ndarray]] = []
    for path, numbers in by_path.items():
        try:
            loaded, source = _read_file(path, [audio[row] for row in numbers], sample_rate)
        except AudioError as error:
            loaded, source = [(error, ())] * len(numbers), None
        for row, (samples, warnings) in zip(numbers, loaded, strict=True):
            if isinstance(samples, AudioError):
                chunk.errors[row] = samples
                rows[row]["state"] = State.UNREADABLE
                continue
            if warnings:
                chunk.warnings[row] = warnings
            quantized = quantize(samples)
            values[row] = quantized.values
            rows[row]["n_samples"] = len(quantized.values)
            rows[row]["crc32"] = zlib.crc32(quantized.values.data)
            rows[row]["shift"] = quantized.shift
            rows[row]["state"] = State.EXACT if quantized.is_exact else State.ROUNDED
            rows[row]["source"] = len(sources)
        if source is not None:
            sources.append(source)
            chunk.paths.append(path)
    chunk.samples = np.concatenate([np.zeros(0, np.int16), *values])
    chunk.sources = np.array(sources, SOURCE)
    return chunk


def _read_file(
    path: Path, audio: Sequence[AudioSegment | None], sample_rate: int
) -> tuple[list[Loaded], tuple[Stamp, np.ndarray]]:
    """Load segments of a file, and return them with its record.

    Raises:
        AudioError: the file cannot be read, or changes meanwhile.
    """
    parts = [part for part in audio if part is not None]
    before = stamp_or_absent(path)
    loaded = _load(path, parts, sample_rate)
    try:
        digest = _digest(path, before)
        if stamp(path) != before:
            raise AudioError("changes while it is read", "file-changed")
    except (OSError, CodedError) as error:
        if isinstance(error, AudioError):
            raise
        failed = next((samples for samples, _ in loaded if isinstance(samples, AudioError)), None)
        raise failed or AudioError(f"cannot be read ({error})", "file-unreadable") from error
    return loaded, (stamp_to_keep(before), np.frombuffer(bytes.fromhex(digest), np.uint8))


@functools.lru_cache(maxsize=8)
def _digest(path: Path, current: Stamp) -> str:
    """Return the SHA-256 of a file; a long recording has segments in many chunks."""
    return file_digest(path)


def _load(path: Path, parts: Sequence[AudioSegment], sample_rate: int) -> list[Loaded]:
    loaded: dict[int, Loaded] = {}
    if len(parts) > 1:
        for number, samples, warnings in _until_error(path, parts, sample_rate):
            loaded[number] = samples, warnings
    # An error that stops decoding is not in all segments: the rest is read one by one.
    for number, part in enumerate(parts):
        if number not in loaded:
            loaded[number] = _load_one(part, sample_rate)
    return [loaded[number] for number in range(len(parts))]


def _until_error(
    path: Path, parts: Sequence[AudioSegment], sample_rate: int
) -> Iterator[tuple[int, FloatArray | AudioError, tuple[str, ...]]]:
    """Yield the segments of a recording that is decoded once, up to an error of it."""
    spans = [(part.start, part.end, part.channel) for part in parts]
    try:
        yield from load_segments(path, spans, sample_rate=sample_rate)
    except AudioError:
        return


def _load_one(part: AudioSegment, sample_rate: int) -> Loaded:
    try:
        return load_with_warnings(
            part.path,
            sample_rate=sample_rate,
            start=part.start,
            end=part.end,
            channel=part.channel,
        )
    except AudioError as error:
        return error, ()
