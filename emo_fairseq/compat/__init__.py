"""The only package that knows versions of fairseq, torch and numpy, and what to do about them.

Every module says which habit of which library it works round. The versions that it was written for
are pinned in the ``requirements`` files.
"""

import os

from emo_fairseq.compat import (
    checkpoints,
    command_line,
    config_errors,
    distributed,
    progress,
    reading_ahead,
    versions,
)
from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.errors import print_mistakes_without_traceback

__all__ = ["TASK_NAME", "apply"]


def apply() -> None:
    """Make checkpoints load safely and mistakes read well. Calling it again changes nothing."""
    versions.apply()
    checkpoints.apply()
    distributed.apply()
    progress.apply()
    reading_ahead.apply()
    command_line.apply()
    config_errors.apply()
    print_mistakes_without_traceback()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # or hydra prints a traceback of its own
