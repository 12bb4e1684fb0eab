"""Several trainings in one process, by ``fairseq-hydra-train -m``."""

import math
from pathlib import Path
from typing import Any

import hydra._internal.callbacks
from fairseq import checkpoint_utils
from fairseq.logging import progress_bar

from emo_fairseq.checkpoint_files import LAST
from emo_fairseq.compat.torch_files import load_torch_file


def forget_earlier_training() -> None:
    """Give the training that begins a best score and a TensorBoard of its own.

    fairseq keeps the first as an attribute of a function: in a sweep, a job that is worse than an
    earlier one would never write ``checkpoint_best.pt``. Its writers of events are shared by name
    of the split: a later job would write into the folder of the first. The patience is
    :mod:`emo_fairseq.compat.early_stop`'s.
    """
    close_event_files()
    vars(checkpoint_utils.save_checkpoint).pop("best", None)


def return_best_metric() -> None:
    """Give Hydra's sweepers the best checkpoint metric of each job; fairseq's main returns nothing.

    It is NaN where no validation had a defined metric. A second call changes nothing.
    """
    callbacks = hydra._internal.callbacks.Callbacks
    if hasattr(callbacks.on_job_end, "returns_metric"):
        return
    original = callbacks.on_job_end

    def on_job_end(self: Any, config: Any, job_return: Any, **more: Any) -> None:
        if job_return.status.name == "COMPLETED" and job_return.return_value is None:
            job_return.return_value = _best_metric(job_return.cfg)
        original(self, config=config, job_return=job_return, **more)

    on_job_end.returns_metric = True  # type: ignore[attr-defined]
    callbacks.on_job_end = on_job_end  # type: ignore[method-assign]


def _best_metric(config: Any) -> float:
    best = getattr(checkpoint_utils.save_checkpoint, "best", None)
    file = Path(str(config.checkpoint.save_dir)) / LAST
    if best is None and file.is_file():  # by processes of their own, one a GPU
        best = load_torch_file(file, with_tensors=False)["extra_state"].get("best")
    return math.nan if best is None else float(best)


def close_event_files() -> None:
    """Close the event files of TensorBoard, so that the next writer opens one in its own folder."""
    progress_bar._close_writers()
    progress_bar._tensorboard_writers.clear()
