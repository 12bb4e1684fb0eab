"""Several trainings in one process, as ``fairseq-hydra-train -m`` has them."""

import sys

from fairseq import checkpoint_utils

_REMEMBERED = ("best", "num_runs")


def forget_earlier_training() -> None:
    """Let the training that begins have a best score and a patience of its own.

    fairseq keeps both as attributes of two functions: in a sweep, a job that is worse than an
    earlier one would never write ``checkpoint_best.pt``.
    """
    train = sys.modules.get("fairseq_cli.train")
    for function in (checkpoint_utils.save_checkpoint, getattr(train, "should_stop_early", None)):
        for name in _REMEMBERED:
            if hasattr(function, name):
                delattr(function, name)
