"""Python prints a traceback for every error; a mistake of the user's is one line here."""

import io
import os
import sys
from types import TracebackType

from data_prep.errors import CodedError
from data_prep.messages import (
    FAILED_CODE,
    INTERRUPTED,
    exit_code,
    missing_library,
    sentence_with_code,
)
from emo_fairseq.errors import UsageError

TRACEBACK_SWITCH = "EMO_FAIRSEQ_TRACEBACK"  # set it to see the traceback all the same

# What fairseq asserts of options before it sets up a task, by its own message.
_ASSERTIONS = {
    "Must specify batch size either with --max-tokens or --batch-size": UsageError(
        "--batch-size is missing: give the number of utterances of a batch, such as "
        "--batch-size 16 (or give --max-tokens)",
        "batch-size-missing",
    ),
    "Please specify criterion to train a model": UsageError(
        "--criterion is missing: add --criterion emotion_classification (in YAML, criterion: "
        "{_name: emotion_classification})",
        "option-incomplete",
    ),
}


def apply() -> None:
    """Print mistakes, errors of files and interruptions as one line, unless the switch is set.

    The exit code is 2 for a wrong option and 1 for any other mistake. After an interruption Python
    ends the process by SIGINT, which is 130 to a shell. A second call changes nothing.
    """
    if getattr(sys.excepthook, "prints_mistakes", False):
        return
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        mistake = _mistake(error)
        if mistake is None or os.environ.get(TRACEBACK_SWITCH):
            previous(kind, error, trace)
        elif isinstance(mistake, KeyboardInterrupt):
            sys.stderr.write(f"{INTERRUPTED}\n")
        else:
            sys.stderr.write(f"error: {sentence_with_code(mistake)}\n")
            if exit_code(mistake) != FAILED_CODE:  # with which Python ends after this hook
                if isinstance(sys.stderr, io.StringIO) and sys.__stderr__ is not None:
                    # torch collects what a rank prints here, and loses it when this hook raises.
                    sys.__stderr__.write(sys.stderr.getvalue())
                raise SystemExit(exit_code(mistake))

    hook.prints_mistakes = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def find_mistake(error: BaseException | None) -> BaseException | None:
    """Return the `CodedError` that an error is, or was raised from; None if there is none."""
    if type(error) is AssertionError and str(error) in _ASSERTIONS:
        return _ASSERTIONS[str(error)]
    while error is not None and not isinstance(error, CodedError):
        # fairseq raises a bare Exception while it handles ours; any other one is a bug of its own.
        error = error.__cause__ or (error.__context__ if type(error) is Exception else None)
    return error


def _mistake(error: BaseException) -> BaseException | None:
    """Return the error that is printed as one line; None for a bug, which needs its traceback."""
    if isinstance(error, KeyboardInterrupt):
        return error
    mistake = find_mistake(error) or missing_library(error)
    return mistake or (error if isinstance(error, OSError) else None)
