"""The only package that knows versions of fairseq, torch and numpy, and what to do about them.

Every module says which habit of which library it works round. The versions that it was written for
are pinned in the ``requirements`` files.
"""

import os


def apply() -> None:
    """Make checkpoints load safely and print errors as one line. A second call changes nothing."""
    from emo_fairseq.compat import (
        checkpoints,
        command_line,
        config_errors,
        distributed,
        progress,
        reading_ahead,
        versions,
    )
    from emo_fairseq.errors import print_mistakes_without_traceback

    versions.apply()
    checkpoints.apply()
    distributed.apply()
    progress.apply()
    reading_ahead.apply()
    command_line.apply()
    config_errors.apply()
    print_mistakes_without_traceback()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # or hydra prints a traceback of its own
