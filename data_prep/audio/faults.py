"""The faults of audio that a manifest names, as every command reports them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from data_prep.audio.decoding import AudioError
from data_prep.errors import Fault
from data_prep.manifest.records import Utterance

LENGTH_TOLERANCE = 1  # samples by which resamplers may round differently


def unreadable(file: str, line: int, row: Utterance, error: AudioError) -> Fault:
    """Return the fault of a row whose audio cannot be read."""
    remedy = "copy the file again, or remove the row"
    if row.is_segment and error.code != "file-missing":
        remedy = "correct start and end, which are seconds in the file, or " + remedy
    problem = f"audio {row.audio}: {error}"
    return Fault(file, line, problem, remedy, "audio-invalid", str(error))


def none_exists(paths: Iterable[Path], root: Path) -> Fault | None:
    """Return one fault if no recording exists, as where `root` is another folder."""
    distinct = dict.fromkeys(paths)
    if not distinct or any(path.exists() for path in distinct):
        return None
    example = next(iter(distinct))
    problem = f"none of its {len(distinct)} recordings is in {root}, such as {example}"
    remedy = "give the folder that their paths start from with --data-raw"
    return Fault(str(root), None, problem, remedy, "recordings-missing")
