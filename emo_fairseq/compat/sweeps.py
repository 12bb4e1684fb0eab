"""Several trainings in one process, by ``fairseq-hydra-train -m``."""

from fairseq import checkpoint_utils
from fairseq.logging import progress_bar


def forget_earlier_training() -> None:
    """Give the training that begins a best score and a TensorBoard of its own.

    fairseq keeps the first as an attribute of a function: in a sweep, a job that is worse than an
    earlier one would never write ``checkpoint_best.pt``. Its writers of events are shared by name
    of the split: a later job would write into the folder of the first. The patience is
    :mod:`emo_fairseq.compat.early_stop`'s.
    """
    close_event_files()
    vars(checkpoint_utils.save_checkpoint).pop("best", None)


def close_event_files() -> None:
    """Close the event files of TensorBoard, so that the next writer opens one in its own folder."""
    progress_bar._close_writers()
    progress_bar._tensorboard_writers.clear()
