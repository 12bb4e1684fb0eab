"""The formats of segmentations, and the reader and writer of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.segmentation import eaf, rttm, srt, table, textgrid, vtt, whisper
from data_prep.segmentation.request import Request
from data_prep.segmentation.turn import Segmentation, Turn, check_turns

Read = Callable[[Request], Segmentation]
Write = Callable[[Sequence[Turn], Sequence[str | None], str], str]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        suffix: as programs write it; read in any case.
        read: the turns of a file, not checked yet.
        write: turns, a label of each and the file name of the recording, as text; None: not
            written.
        has_tiers: whether tiers can be chosen by name.
        holds_turns: whether such a file holds turns for certain; a table or a JSON document may
            hold anything.
    """

    suffix: str
    read: Read
    write: Write | None = None
    has_tiers: bool = False
    holds_turns: bool = True


FORMATS: Mapping[str, Format] = {
    "rttm": Format(".rttm", rttm.read, rttm.write),
    "textgrid": Format(".TextGrid", textgrid.read, textgrid.write, has_tiers=True),
    "eaf": Format(".eaf", eaf.read, eaf.write, has_tiers=True),
    "srt": Format(".srt", srt.read, srt.write),
    "vtt": Format(".vtt", vtt.read, vtt.write),
    "whisper": Format(".json", whisper.read, holds_turns=False),
    "csv": Format(".csv", table.read, table.write, holds_turns=False),
    "jsonl": Format(".jsonl", table.read, holds_turns=False),
}


def format_of(path: Path) -> str | None:
    """Return the name of the format of a file by its suffix; None for others."""
    suffix = path.suffix.lower()
    return next((name for name, known in FORMATS.items() if known.suffix.lower() == suffix), None)


def read_segmentation(
    path: str | Path,
    *,
    kind: str | None = None,
    recording: str | None = None,
    tiers: Sequence[str] = (),
    encoding: str | None = None,
) -> Segmentation:
    """Read the turns of a recording.

    Args:
        path: of the file.
        kind: a name of `FORMATS`; None: by the suffix.
        recording: file name of the recording, or its path, which a file of several recordings is
            searched for.
        tiers: names of the tiers to be read, of formats with tiers; empty: each speaker's.
        encoding: of a text file without a byte order mark; None: UTF-8.

    Returns:
        The turns in order of time, and counts of what is no turn.

    Raises:
        CodedError: an unknown format, or a file that cannot be read or holds invalid turns; names
            the line.
    """
    path = Path(path)
    name = kind or format_of(path) or ""
    if name not in FORMATS:
        suffixes = ", ".join(known.suffix for known in FORMATS.values())
        raise CodedError(
            f"{path}: {path.suffix or 'a file without a suffix'} is no format of segmentations; "
            f"give one of {suffixes}, or name the format ({', '.join(FORMATS)})",
            "segmentation-unknown",
        )
    if tiers and not FORMATS[name].has_tiers:
        raise CodedError(f"--tier {tiers[0]}: {path} has no tiers; leave it out", "option-idle")
    segmentation = FORMATS[name].read(Request(path, recording, tiers, encoding))
    turns, skipped = check_turns(path, segmentation.turns)
    return replace(segmentation, turns=turns, skipped={**segmentation.skipped, **skipped})


def write_turns(
    turns: Sequence[Turn],
    kind: str,
    *,
    recording: str,
    labels: Sequence[str | None] | None = None,
) -> str:
    """Return turns as the text of a file.

    Args:
        turns: in order of time.
        kind: a name of `FORMATS` that is written.
        recording: file name of the recording.
        labels: of each turn, in tiers of their own or before the text; None: none.

    Raises:
        CodedError: the format is not written.
    """
    write = FORMATS[kind].write
    if write is None:
        written = ", ".join(name for name, known in FORMATS.items() if known.write)
        raise CodedError(f"--format {kind}: is not written; give {written}", "format-unknown")
    return write(turns, labels or [None] * len(turns), recording)
