"""List files, also through symbolic links and without hidden ones, and suffixes of audio files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_prep.messages import first_few

logger = logging.getLogger(__name__)


def visible(paths: Iterable[Path], folder: Path | None = None) -> list[Path]:
    """Return paths in order, without hidden ones, such as `._name` of macOS.

    Those in hidden folders below `folder` are left out, too.
    """
    kept: list[Path] = []
    hidden: list[Path] = []
    for path in sorted(paths):
        parts = (path.name,) if folder is None else path.relative_to(folder).parts
        (hidden if any(part.startswith(".") for part in parts) else kept).append(path)
    if hidden:
        names = first_few([path.name for path in hidden])
        logger.info("%d hidden files are skipped: %s", len(hidden), names)
    return kept


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Walk a folder as `os.walk` does, but through symbolic links, and into each folder once.

    A folder that several paths lead to is walked by the one without links, if there is one, and
    by one through a hidden folder only if there is no other.

    Yields:
        A folder, and the names of its folders and of its files. Folders whose names are removed
        from the list are not walked.
    """
    seen: set[str] = set()
    waiting = [(False, folder)]  # whether it is hidden, and the folder
    while waiting:
        waiting.sort()
        is_hidden, start = waiting.pop(0)
        for parent, names, files in os.walk(start):
            place = os.path.realpath(parent)
            if place in seen:  # links may form circles
                names.clear()
                continue
            seen.add(place)
            names.sort()
            yield Path(parent), names, files
            later = [x for x in names if x.startswith(".") or Path(parent, x).is_symlink()]
            waiting += [(is_hidden or x.startswith("."), Path(parent, x)) for x in later]
            names[:] = [name for name in names if name not in later]


def files_below(folder: Path) -> list[Path]:
    """Return the files of a folder and of all below it, in order, also through symbolic links."""
    return sorted(parent / name for parent, _, files in walk(folder) for name in files)


# Suffixes of files that usually hold pictures beside sound.
VIDEO_SUFFIXES = (
    ".mp4",
    ".m4v",
    ".mov",
    ".3gp",
    ".3g2",
    ".webm",
    ".mkv",
    ".avi",
    ".flv",
    ".mpg",
    ".mpeg",
    ".ts",
    ".wmv",
)

# -- Suffixes of audio files -----------------------------------------------------------------------

# Suffixes by which audio files are found; their format is detected by their content.
AUDIO_SUFFIXES = (
    ".wav",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".aif",
    ".aiff",
    ".aifc",
    ".au",
    ".snd",
    ".caf",
    ".w64",
    ".rf64",
    ".sph",
    ".m4a",
    ".m4b",
    ".mka",
    ".aac",
    ".amr",
    ".wma",
    ".asf",
    ".wv",
    ".ape",
    *(suffix for suffix in VIDEO_SUFFIXES if suffix != ".ts"),  # it has other uses
)
CORPUS_SUFFIXES = (".wav", ".flac")  # of corpora in their official layout
# Offset and bytes that identify a format, and the suffix of such files.
_MAGIC = (
    (8, b"WAVE", ".wav"),
    (8, b"AVI ", ".avi"),
    (4, b"ftyp", ".m4a"),
    (0, b"riff", ".w64"),
    (0, b"FORM", ".aiff"),
    (0, b".snd", ".au"),
    (0, b"caff", ".caf"),
    (0, b"NIST_1A", ".sph"),
    (0, b"fLaC", ".flac"),
    (0, b"OggS", ".ogg"),
    (0, b"ID3", ".mp3"),
    (0, b"#!AMR", ".amr"),
    (0, b"\xff\xf1", ".aac"),
    (0, b"\xff\xf9", ".aac"),
    (0, b"\x1aE\xdf\xa3", ".webm"),
    *((0, bytes([0xFF, byte]), ".mp3") for byte in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2)),
    (0, b"0&\xb2u", ".wma"),
    (0, b"FLV", ".flv"),
    (0, b"wvpk", ".wv"),
    (0, b"MAC ", ".ape"),
)


def suffix_of(content: bytes) -> str:
    """Return the suffix for the content of a file. Raises ValueError for an unknown format.

    >>> suffix_of(b"fLaC....")
    '.flac'
    """
    for at, magic, suffix in _MAGIC:
        if content[at : at + len(magic)] == magic:
            return suffix
    kinds = ", ".join(dict.fromkeys(suffix for _, _, suffix in _MAGIC))
    raise ValueError(f"begins with {content[:4]!r}, which is none of {kinds}")
