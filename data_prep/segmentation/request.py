"""The file to be read and what is wanted of it, and its text."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.files.documents import MAX_BYTES, read_content

REMEDY = "give the file of a segmentation"
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Request:
    """A file, and what is read of it.

    Attributes:
        path: the file.
        recording: file name of the recording, or its path, which a file of several recordings is
            searched for.
        tiers: names of the tiers to be read; empty: all that hold turns.
        encoding: of a file without a byte order mark; None: UTF-8.
    """

    path: Path
    recording: str | None = None
    tiers: Sequence[str] = ()
    encoding: str | None = None

    def content(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            CodedError: it cannot be read, or is too large.
        """
        content = read_content(self.path, REMEDY, MAX_BYTES)
        if len(content) > MAX_BYTES:
            raise CodedError(
                f"{self.path}: has more than the {MAX_BYTES // 2**20} MiB that are read of a "
                "segmentation; divide it",
                "segmentation-too-large",
            )
        return content

    def text(self) -> str:
        r"""Return the text of the file, with \n at the end of lines.

        Raises:
            CodedError: it cannot be read, or is not in its encoding.
        """
        content = self.content()
        marked = (name for mark, name in _BOMS.items() if content.startswith(mark))
        encoding = next(marked, self.encoding or "utf-8")
        try:
            text = content.decode(encoding)
        except LookupError:
            raise CodedError(
                f"--encoding {encoding}: there is no such encoding; give one such as utf-8",
                "encoding-unknown",
            ) from None
        except UnicodeError as error:
            line = 1 + content.count(b"\n", 0, getattr(error, "start", 0))
            raise CodedError(
                f"{self.path}: line {line}: is not {encoding} text; save the file as UTF-8, or "
                "give --encoding",
                "encoding-invalid",
            ) from None
        if (nul := text.find("\0")) >= 0:
            raise CodedError(
                f"{self.path}: line {1 + text.count(chr(10), 0, nul)}: holds a NUL character; "
                "save the file as UTF-8 text",
                "encoding-invalid",
            )
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def choose_recording(self, names: Collection[str]) -> tuple[set[str], list[str]]:
        """Return which names of recordings in the file mean the one that is wanted, and notes.

        The only recording of a file is taken whatever its name, with a note.

        Raises:
            CodedError: there are several, and none has the name of the recording.
        """
        if self.recording is None and len(names) > 1:
            raise CodedError(
                f"{self.path}: has turns of {len(names)} recordings; name the recording",
                "recording-unknown",
            )
        if self.recording is None or not names:
            return set(names), []
        recording = Path(self.recording).name
        for chosen in _names_of(self.recording, names):
            if len(chosen) > 1:
                raise CodedError(
                    f"{self.path}: has turns of {' and '.join(chosen[:3])}, which are each "
                    f"{recording} by name; keep those of one of them",
                    "recording-ambiguous",
                )
            if chosen:
                return {*chosen}, []
        if len(names) == 1:
            only = next(iter(names))
            return {only}, [f"its only recording is named {only!r}, not {recording!r}"]
        shown = ", ".join(sorted(names)[:3])
        raise CodedError(
            f"{self.path}: has turns of {len(names)} recordings ({shown}, ...), none of which is "
            f"{recording}; rename the recording, or correct the names",
            "recording-unknown",
        )

    def choose_tiers(self, names: Sequence[str], default: Sequence[str]) -> list[str]:
        """Return the names of the tiers to be read.

        Raises:
            CodedError: a tier that is named is not there.
        """
        for tier in self.tiers:
            if tier not in names:
                shown = ", ".join(map(repr, names[:20])) or "none"
                raise CodedError(
                    f"{self.path}: has no tier {tier!r} with intervals; give one of: {shown}",
                    "tier-missing",
                )
        return list(self.tiers or default)


def without_zero(counts: Counter[str]) -> dict[str, int]:
    """Return the counts that are not zero."""
    return {name: count for name, count in counts.items() if count}


def _names_of(recording: str, names: Collection[str]) -> Iterator[list[str]]:
    """Yield the names that may mean a recording, those that are surest first.

    These are the ends of its path, the longest first, then other files of its name, then names
    without a suffix, and files of its stem.

    >>> list(_names_of("in/x/a.wav", ["x/a.wav", "y/a.wav", "a", "a.mp3"]))[1:]
    [['x/a.wav'], [], ['x/a.wav', 'y/a.wav'], ['a'], ['a', 'a.mp3', 'x/a.wav', 'y/a.wav']]
    """
    parts = Path(recording).parts
    for start in range(len(parts)):
        yield [name for name in names if Path(name).parts == parts[start:]]
    yield sorted(name for name in names if Path(name).name == parts[-1])
    stem = Path(recording).stem
    yield sorted(name for name in names if Path(name).name == stem)
    yield sorted(name for name in names if Path(name).stem == stem)
