"""The error of bad input or options, which commands print as one line."""

import os
from pathlib import Path

from data_prep.errors import CodedError

# One class for both packages: errors of data_prep are raised through as they are.
# :func:`emo_fairseq.compat.apply` lets a command print its message alone, without the traceback.
UsageError = CodedError


def check_writable(file: Path, option: str) -> None:
    """Raise a `UsageError` if a file cannot be written, before the work whose result it gets.

    Missing folders are made when it is written, and not before.
    """
    parent = next(folder for folder in file.absolute().parents if folder.exists())
    if file.is_dir():
        why = "it is a folder"
    elif not parent.is_dir():
        why = f"{parent} is no folder"
    elif not os.access(file if file.exists() else parent, os.W_OK):
        why = f"{parent} may not be written to"
    else:
        return
    raise UsageError(f"{option} {file}: {why}; name another file", "file-unwritable")
