"""How much of the log is printed, by an environment variable: fairseq's commands have no ``-v``."""

import os

VERBOSE_SWITCH = "EMO_FAIRSEQ_VERBOSE"
EVERYTHING = "1"  # the whole log of fairseq
WARNINGS = "0"  # warnings and errors alone


def is_verbose() -> bool:
    """Return whether fairseq's own log is printed."""
    return os.environ.get(VERBOSE_SWITCH, "") not in ("", WARNINGS)


def is_silent() -> bool:
    """Return whether warnings and errors alone are printed."""
    return os.environ.get(VERBOSE_SWITCH) == WARNINGS
