"""Format errors for the command line, without a traceback."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection
from itertools import islice

from data_prep.errors import CodedError, ManifestError

INTERRUPTED = "interrupted; run the same command again to continue"

# Exit codes of all commands; argparse, too, ends with 2.
FAILED_CODE = 1
USAGE_CODE = 2
INTERRUPTED_CODE = 130

_NOT_WRITABLE = "write to a folder in which you may write"
_OTHER_PATH = "change its permissions, or give another path"
#: Remedy and code of an error of the operating system, by its number.
SYSTEM_ERRORS = {
    errno.ENOSPC: ("free some space, and run the same command again", "disk-full"),
    errno.EDQUOT: ("free some of your quota, and run the same command again", "quota-exceeded"),
    errno.EFBIG: ("raise the limit on file sizes, and run the same command again", "size-limited"),
    errno.EROFS: (_NOT_WRITABLE, "file-unwritable"),
    errno.EACCES: (_OTHER_PATH, "permission-denied"),
    errno.EPERM: (_OTHER_PATH, "permission-denied"),
    errno.ENOENT: ("check the path", "file-missing"),
    errno.ENOTDIR: ("check the path: a part of it is a file", "file-missing"),
    errno.EISDIR: ("name a file", "path-is-folder"),
}
OTHER_SYSTEM_ERROR = "system-error"  # the code of any other one
# torch's message for an error in a worker of a data loader: the traceback of the worker.
_OF_WORKER = re.compile(r"Caught \w+ in .*\.\nOriginal Traceback \(most recent call last\):\n")


def sentence(error: BaseException) -> str:
    """Return the message of an error on one line; a list of faults has a line for each."""
    if isinstance(error, OSError) and error.errno is not None:
        return one_line(_of_system(error))
    message = str(error).strip()
    if _OF_WORKER.match(message):
        # The message of a traceback follows the type, and may have several lines.
        ends = re.split(rf"^(?:[\w.]+\.)?{type(error).__name__}: ", message, flags=re.MULTILINE)
        message = ends[-1]
    is_list = isinstance(error, ManifestError) and isinstance(error.fault, str)
    return "\n".join(map(one_line, message.split("\n"))) if is_list else one_line(message)


def sentence_with_code(error: BaseException) -> str:
    """Return the message of an error with its code in brackets, as commands print it.

    >>> from data_prep.errors import CodedError
    >>> sentence_with_code(CodedError("a.tsv: no such file; check the path", "file-missing"))
    'a.tsv: no such file; check the path [file-missing]'
    """
    code = error_code(error)
    return sentence(error) + (f" [{code}]" if code else "")


def error_code(error: BaseException) -> str:
    """Return the code of an error for users; empty for one that has none.

    >>> error_code(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.tsv"))
    'file-missing'
    """
    if isinstance(error, OSError) and error.errno is not None:
        return SYSTEM_ERRORS.get(error.errno, ("", OTHER_SYSTEM_ERROR))[1]
    return error.code if isinstance(error, CodedError) else ""


def exit_code(error: BaseException) -> int:
    """Return the exit code of a command that an error ends: 2 if an option is wrong, 1 otherwise.

    A message begins with the option that is wrong, or with the file.

    >>> exit_code(ValueError("--lr 0: is not above 0")), exit_code(ValueError("a.tsv: is empty"))
    (2, 1)
    """
    return USAGE_CODE if sentence(error).startswith("--") else FAILED_CODE


def one_line(text: str) -> str:
    r"""Join the lines of a text by spaces, and escape what a terminal would not print.

    >>> one_line("a.txt: 'one\n  two\x1b[31m'; write it again")
    "a.txt: 'one two\\x1b[31m'; write it again"
    """
    joined = re.sub(r"\s*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+\s*", " ", text.strip())
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda match: repr(match[0])[1:-1], joined)


def _of_system(error: OSError) -> str:
    names = " and ".join(str(n) for n in (error.filename, error.filename2) if n is not None)
    reason = (error.strerror or type(error).__name__).lower()
    remedy, _ = SYSTEM_ERRORS.get(error.errno or 0, ("", ""))
    return (f"{names}: " if names else "") + reason + (f"; {remedy}" if remedy else "")


# -- Libraries that are not installed --------------------------------------------------------------

# What installs a library that a command turns out to need; see docs/how-to/install.md.
_STACK = "install the training stack: `make install` in a clone of the repository"
_EXTRAS = {
    "predict": ("onnxruntime", "tokenizers"),
    "report": ("matplotlib",),
    "train": ("pyarrow", "safetensors", "scipy", "sklearn", "tensorboardX", "threadpoolctl"),
}
_REMEDY_OF = {
    **{library: f"pip install 'emo_fairseq[{e}]'" for e, x in _EXTRAS.items() for library in x},
    **dict.fromkeys(("fairseq", "fairseq_cli", "hydra", "omegaconf", "torch"), _STACK),
}


def missing_library(error: BaseException) -> CodedError | None:
    """Return the error of a library that is not installed as one for users; None for another error.

    >>> print(missing_library(ModuleNotFoundError("No module named 'scipy'", name="scipy")))
    scipy is not installed, and this command needs it; pip install 'emo_fairseq[train]'
    """
    if not isinstance(error, ModuleNotFoundError):
        return None
    library = (error.name or "").partition(".")[0]
    remedy = _REMEDY_OF.get(library)
    if remedy is None:
        return None
    return CodedError(
        f"{library} is not installed, and this command needs it; {remedy}", "library-missing"
    )


# -- Lists in messages -----------------------------------------------------------------------------


def first_few(values: Collection[str], most: int = 3) -> str:
    """Join the first values by commas, followed by the number of others.

    >>> first_few(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    shown = ", ".join(islice(values, most))
    rest = len(values) - most
    return f"{shown} and {rest} more" if rest > 0 else shown
