"""Digests of what a data dir is prepared from, by which a source that has changed is noticed."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.files.digests import file_digest, file_digests, user_memory
from data_prep.files.listing import AUDIO_SUFFIXES, VIDEO_SUFFIXES, walk
from data_prep.video.folders import PICTURE_SUFFIXES

_RECORDINGS = (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES, *PICTURE_SUFFIXES)
_SMALL = 2**24  # bytes of a file of a folder whose content is digested
_MEMORY = "sources.json"  # in the user's cache, the digests of such files


def digest_of(path: Path) -> str:
    """Return a digest of a source: of a file that of its content; of a folder that of its files.

    Raises:
        CodedError: it cannot be read.
    """
    if path.is_file():
        return file_digest(path)
    if not path.is_dir():
        return ""
    return _digest_of_files(path, _own_folders(path))


def digest_of_linked(path: Path) -> str:
    """Return a digest of the files that links to folders, below a folder, lead to; empty without.

    Raises:
        CodedError: they cannot be read.
    """
    own = dict(_own_folders(path))
    linked = [(folder, files) for folder, _, files in walk(path) if folder not in own]
    return _digest_of_files(path, linked) if linked else ""


def _own_folders(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and those below it, but not behind links, each with the names of its files."""
    for folder, names, files in os.walk(path):
        names.sort()
        yield Path(folder), files


def _digest_of_files(path: Path, folders: Iterable[tuple[Path, Sequence[str]]]) -> str:
    """Return a digest of names and sizes, and after it that of the content of small files.

    The small ones are such as tables of labels.

    Args:
        path: folder that names start from.
        folders: at it or below it, each with the names of its files.

    Raises:
        CodedError: a file is gone.
    """
    lines, small = [], []
    for folder, files in folders:
        places = [folder / name for name in sorted(files)]
        try:
            sizes = [source_path.stat().st_size for source_path in places]
        except OSError as error:
            if broken := next((x for x in places if x.is_symlink() and not x.exists()), None):
                raise CodedError(
                    f"{broken}: is a link to a file that is not there; fetch the file, or remove "
                    "the link",
                    "file-missing",
                ) from error
            raise CodedError(
                f"{path}: changes while it is read ({error.strerror}); wait until it is complete",
                "source-changing",
            ) from error
        inside = os.path.relpath(folder, path)
        for source_path, size in zip(places, sizes, strict=True):
            lines.append(f"{inside}/{source_path.name} {size}")
            if size <= _SMALL and not source_path.name.lower().endswith(_RECORDINGS):
                small.append(source_path)
    contents = map(str, file_digests(small, user_memory().with_name(_MEMORY)))
    return "".join(
        hashlib.sha256("\n".join(part).encode()).hexdigest() for part in (lines, contents)
    )


def digest_of_features(folders: Sequence[str]) -> str:
    """Return a digest of the files' names in folders NAME=FOLDER of features; empty without."""
    digest = hashlib.sha256()
    for text in sorted(folders):
        root = Path(text.partition("=")[2])
        for folder, inner, files in os.walk(root):
            inner.sort()
            inside = os.path.relpath(folder, root)
            digest.update("".join(f"{text} {inside}/{name}\n" for name in sorted(files)).encode())
    return digest.hexdigest() if folders else ""
