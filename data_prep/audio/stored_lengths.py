"""Lengths of many audio files, kept as they are found: a run cut short goes on where it stopped.

The memory is a table of path, size, time of change, rate, samples and warnings, one line a
file. A file that has changed is decoded again; one that is bad is tried again each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from data_prep.audio.loading import (
    AudioError,
    Measured,
    measure_all,
)

_BETWEEN = " | "  # warnings of one file
_CHUNK = 256  # files between two notes on disk

Stamp = tuple[str, int, int, int]  # path, size, time of change in ns, rate


def measure_stored(
    names: Sequence[str],
    root: Path,
    target_rate: int,
    memory: Path,
    *,
    workers: int | None = None,
    progress: bool = False,
) -> list[Measured | AudioError]:
    """Samples per channel at `target_rate` of each file, in order; an error takes its file's place.

    Args:
        names: paths of the files, seen from `root`.
        root: the corpus's folder.
        target_rate: in Hz.
        memory: the file that remembers; its folder is made.
        workers: threads that decode (default: as many as there are cores).
        progress: show a bar.
    """
    known = _recall(memory)
    stamps = [_stamp(name, root, target_rate) for name in names]
    lengths: list[Measured | AudioError | None] = [s and known.get(s) for s in stamps]
    wanted = [i for i, length in enumerate(lengths) if length is None]
    memory.parent.mkdir(parents=True, exist_ok=True)
    hide = not progress or not wanted
    with tqdm(desc="audio", total=len(wanted), unit="file", disable=hide) as bar:
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            found = measure_all([root / names[i] for i in chunk], target_rate, workers=workers)
            for i, length in zip(chunk, found, strict=True):
                lengths[i] = length
            _remember(memory, [(stamps[i], lengths[i]) for i in chunk])
            bar.update(len(chunk))
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
    memory: Path, found: Sequence[tuple[Stamp | None, Measured | AudioError | None]]
) -> None:
    lines = [
        "\t".join(map(str, (*stamp, length.n_samples, _BETWEEN.join(length.warnings))))
        for stamp, length in found
        if stamp and isinstance(length, Measured)
    ]
    with memory.open("a", encoding="utf-8") as file:
        # Each line ends a line: what an interrupted run left of its last one stands alone.
        file.writelines(f"\n{line}\n" for line in lines)
