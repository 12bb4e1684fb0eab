"""Several trainings in one process, as ``fairseq-hydra-train -m`` has them."""

import sys

from fairseq import checkpoint_utils
from fairseq.logging import progress_bar

_REMEMBERED = ("best", "num_runs")


def forget_earlier_training() -> None:
    """Let the training that begins have a best score, a patience and a TensorBoard of its own.

    fairseq keeps the first two as attributes of two functions: in a sweep, a job that is worse than
    an earlier one would never write ``checkpoint_best.pt``. Its writers of events are shared by
    name of the split: a later job would write into the folder of the first.
    """
    close_event_files()
    train = sys.modules.get("fairseq_cli.train")
    for function in (checkpoint_utils.save_checkpoint, getattr(train, "should_stop_early", None)):
        for name in _REMEMBERED:
            if hasattr(function, name):
                delattr(function, name)


def close_event_files() -> None:
    """Finish what TensorBoard reads, so that the next writer begins a file in its own folder."""
    progress_bar._close_writers()
    progress_bar._tensorboard_writers.clear()
