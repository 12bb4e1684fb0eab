"""Atomic replacement of files."""

from __future__ import annotations

import errno
import functools
import os
import re
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Identifies this machine, since the processes of others are unknown here.
_MACHINE = f"{zlib.crc32(socket.gethostname().encode()):08x}"
_OF_PROCESS = re.compile(rf"\..+\.{_MACHINE}-(\d+)\.part")
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # numpy's message for a full disk


@contextmanager
def replacing(path: Path, *, is_locked: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which replaces `path` if the block succeeds.

    Temporary files of killed processes of this machine are removed from the folder.

    Args:
        path: the file; readers see the old content or the new one, never a part.
        is_locked: whether no other process writes `path` at the same time: the temporary name is
            then always the same, else specific to this process.

    Raises:
        OSError: the file cannot be written; names `path`.
    """
    mark = "" if is_locked else f".{_MACHINE}-{os.getpid()}"
    part = path.with_name(f".{path.name}{mark}.part")
    try:
        _remove_abandoned(path.parent)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise _named(error, path, part) from error
    finally:
        with suppress(OSError):  # a read-only folder
            part.unlink(missing_ok=True)


def write_atomically(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all; lines end with a line feed."""
    with replacing(Path(path)) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def _named(error: OSError, path: Path, part: Path) -> OSError:
    """Convert an error of writing `part` to one of `path`; return others unchanged."""
    if _SHORT_WRITE.fullmatch(str(error)):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    # The system does not name the file for a full disk.
    is_of_part = error.errno is not None and error.filename in (None, str(part))
    return OSError(error.errno, error.strerror, str(path)) if is_of_part else error


@functools.cache
def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files of processes that no longer run, once per process."""
    for file in folder.glob(".*.part"):
        matched = _OF_PROCESS.fullmatch(file.name)
        if matched and not _runs(int(matched[1])):
            with suppress(OSError):  # a file of another user
                file.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
