"""Workarounds for versions of fairseq and torch, one behavior of theirs a module.

An import changes nothing; :func:`apply` does, which :func:`emo_fairseq.register` calls. The
versions that this was written for are pinned in the ``requirements`` files.
"""

import os


def apply() -> None:
    """Make checkpoints load safely and print errors as one line. A second call changes nothing."""
    from emo_fairseq.compat import (
        checkpoints,
        command_line,
        config_errors,
        console,
        distributed,
        excepthook,
        prefetching,
        sweeps,
        torch_files,
    )

    torch_files.refuse_old_torch()
    checkpoints.apply()
    distributed.apply()
    prefetching.apply()
    sweeps.return_best_metric()
    command_line.apply()
    console.apply()
    config_errors.apply()
    excepthook.apply()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # or hydra prints a traceback of its own


def apply_to_training() -> None:
    """Prepare a process that trains.

    Functions of fairseq-train are replaced here, which may have been imported after this package.
    """
    from emo_fairseq.compat import (
        freed_memory,
        fully_sharded,
        kept_checkpoints,
        master_weights,
        preemption,
        without_compiler,
    )

    without_compiler.apply()
    freed_memory.keep_freed_memory()
    fully_sharded.apply()
    master_weights.apply()
    preemption.apply()
    kept_checkpoints.warn_if_none_is_kept()
    kept_checkpoints.find_negative()
