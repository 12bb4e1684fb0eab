"""Measure many audio files with a cache on disk, so that an interrupted run can be continued.

The cache is a table of path, size, time of change, rate, samples and warnings, one line per file.
Files that have changed, and invalid ones, are decoded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_prep.audio.decoding import AudioError
from data_prep.audio.loading import measure_all
from data_prep.audio.part import Measured
from data_prep.engines import Workers
from data_prep.progress import show_progress

_BETWEEN = " | "  # warnings of one file
_CHUNK = 256  # files between two writes of the cache

Stamp = tuple[str, int, int, int]  # path, size, time of change in ns, rate


def measure_stored(
    names: Sequence[str],
    root: Path,
    target_rate: int,
    memory: Path,
    *,
    workers: Workers,
    progress: bool,
) -> list[Measured | AudioError]:
    """Measure audio files below `root`, using and updating the cache in the file `memory`.

    Returns:
        The length of each file at `target_rate`, in order, or its AudioError.
    """
    known = _recall(memory)
    stamps = [_stamp(name, root, target_rate) for name in names]
    lengths: list[Measured | AudioError | None] = [s and known.get(s) for s in stamps]
    missing = [i for i, length in enumerate(lengths) if length is None]
    memory.parent.mkdir(parents=True, exist_ok=True)
    hide = not progress or not missing
    with show_progress("audio", len(missing), "file", hide) as update:
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            measured = measure_all([root / names[i] for i in chunk], target_rate, workers=workers)
            for i, length in zip(chunk, measured, strict=True):
                lengths[i] = length
            _remember(memory, [(stamps[i], lengths[i]) for i in chunk])
            update(len(chunk))
    return [length for length in lengths if length is not None]


def _stamp(name: str, root: Path, rate: int) -> Stamp | None:
    try:
        status = (root / name).stat()
    except OSError:
        return None
    return name, status.st_size, max(status.st_mtime_ns, status.st_ctime_ns), rate


def _recall(memory: Path) -> dict[Stamp, Measured]:
    try:
        lines = memory.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    known = {}
    for line in lines:
        name, *numbers = line.split("\t")
        if len(numbers) == 5 and all(number.isdecimal() for number in numbers[:4]):
            size, changed, rate, samples = map(int, numbers[:4])
            warnings = tuple(filter(None, numbers[4].split(_BETWEEN)))
            known[name, size, changed, rate] = Measured(samples, warnings)
    return known


def _remember(
    memory: Path, lengths: Sequence[tuple[Stamp | None, Measured | AudioError | None]]
) -> None:
    lines = [
        "\t".join(map(str, (*stamp, length.n_samples, _BETWEEN.join(length.warnings))))
        for stamp, length in lengths
        if stamp and isinstance(length, Measured)
    ]
    with memory.open("a", encoding="utf-8") as file:
        # A newline first, to separate it from the incomplete last line of an interrupted run.
        file.writelines(f"\n{line}\n" for line in lines)
