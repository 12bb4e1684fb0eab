"""The one exception that is meant for the person at the keyboard, and how it is shown."""

import os
import sys
from pathlib import Path
from types import TracebackType

from data_prep.errors import CodedError, ManifestError
from data_prep.messages import INTERRUPTED, sentence_with_code

_TRACEBACK_SWITCH = "EMO_FAIRSEQ_TRACEBACK"

# What fairseq asserts of options before it asks a task, by its own words.
_ASSERTIONS = {
    "Must specify batch size either with --max-tokens or --batch-size": (
        "--batch-size is missing: say how many utterances make a batch, such as --batch-size 16 "
        "(or give --max-tokens)"
    ),
}


class UsageError(CodedError):
    """Bad input or a bad combination of options; the message names the option and the remedy.

    :func:`emo_fairseq.compat.apply` makes the command line print such a message alone, without
    the traceback.
    """

    @classmethod
    def of(cls, error: ValueError, code: str) -> "UsageError":
        """Return the error of a lower layer as one for users, with its own code or else `code`."""
        return cls(str(error), getattr(error, "code", "") or code)


def print_mistakes_without_traceback() -> None:
    """Show mistakes, errors of files and interruptions as one line, unless the switch is set.

    After an interruption Python ends the process by SIGINT, which is 130 to a shell.
    """
    if getattr(sys.excepthook, "prints_mistakes", False):
        return
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        message = _message(error)
        if message is None or os.environ.get(_TRACEBACK_SWITCH):
            previous(kind, error, trace)
        else:
            sys.stderr.write(f"{message}\n")

    hook.prints_mistakes = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def check_writable(file: Path, option: str) -> None:
    """Raise a `UsageError` where a file cannot be written, before the work that it is to hold.

    Folders that are missing are made when it is written, and not before.
    """
    place = next(parent for parent in file.absolute().parents if parent.exists())
    if file.is_dir():
        why = "it is a folder"
    elif not place.is_dir():
        why = f"{place} is no folder"
    elif not os.access(file if file.exists() else place, os.W_OK):
        why = f"{place} may not be written to"
    else:
        return
    raise UsageError(f"{option} {file}: {why}; name a file in another place")


def find_mistake(error: BaseException | None) -> BaseException | None:
    """The `UsageError` or `ManifestError` that an error is, or arose from."""
    if type(error) is AssertionError and str(error) in _ASSERTIONS:
        return UsageError(_ASSERTIONS[str(error)])
    while error is not None and not isinstance(error, UsageError | ManifestError):
        # fairseq raises a bare Exception while it handles ours; any other one is a bug of its own.
        error = error.__cause__ or (error.__context__ if type(error) is Exception else None)
    return error


def _message(error: BaseException) -> str | None:
    """The line that stands for an error; None for what is a bug, of which the traceback tells."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    mistake = find_mistake(error) or (error if isinstance(error, OSError) else None)
    return None if mistake is None else f"error: {sentence_with_code(mistake)}"
