"""Files that appear whole or not at all."""

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

# Of this machine: a process of another one, which writes into the same folder, is not seen here.
_MACHINE = f"{zlib.crc32(socket.gethostname().encode()):08x}"
_OF_PROCESS = re.compile(rf"\..+\.{_MACHINE}-(\d+)\.part")
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # what numpy makes of a full disk


@contextmanager
def replacing(path: Path, *, is_locked: bool = False) -> Iterator[Path]:
    """A temporary name in the same folder, which takes `path`'s place if the block succeeds.

    What killed runs on this machine left in the folder is removed.

    Args:
        path: what readers see, the old content or the new, never half of one.
        is_locked: nobody else writes `path` meanwhile, so that what a killed run left behind under
            the same name is written over; else the name is this process's own.

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
        with suppress(OSError):  # of a folder in which nothing can be written or removed
            part.unlink(missing_ok=True)


def _named(error: OSError, path: Path, part: Path) -> OSError:
    """An error of writing `part` as one of `path`; any other error as it is."""
    if _SHORT_WRITE.fullmatch(str(error)):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    # Of a full disk the system names no file.
    is_of_part = error.errno is not None and error.filename in (None, str(part))
    return OSError(error.errno, error.strerror, str(path)) if is_of_part else error


@functools.cache
def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of processes that do not run any more, once a process."""
    for file in folder.glob(".*.part"):
        matched = _OF_PROCESS.fullmatch(file.name)
        if matched and not _runs(int(matched[1])):
            with suppress(OSError):  # of another user's file
                file.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
