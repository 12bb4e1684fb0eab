"""Solve a model in place of fairseq's first epoch: no update, one validation, and the run ends.

``fairseq_cli.train.train`` draws the batches of an epoch, validates and saves. A task with an
attribute ``solver``, a :class:`emo_fairseq.tasks.probe.Probe`, has no use for batches: its solver
sets the weights, and fairseq validates and saves as it does after an epoch.
"""

import sys
from collections.abc import Callable
from typing import Any

from fairseq import checkpoint_utils

from emo_fairseq.compat.patching import wrap_in_training


def solve_in_place_of_training() -> None:
    """Let fairseq-train call the solver of a task that has one."""
    wrap_in_training("train", _solve)


def _solve(train_epoch: Callable[..., Any]) -> Callable[..., Any]:
    def train(cfg: Any, trainer: Any, task: Any, epoch_itr: Any) -> Any:
        solver = getattr(task, "solver", None)
        if solver is None:
            return train_epoch(cfg, trainer, task, epoch_itr)
        # No batch is drawn, but checkpoints record how many of the epoch were.
        epoch_itr.next_epoch_itr(shuffle=False)
        trainer.begin_epoch(epoch_itr.epoch)
        model = trainer.get_model()
        solver.solve(model, trainer.get_criterion())
        validate_and_save = sys.modules["fairseq_cli.train"].validate_and_save
        subsets = cfg.dataset.valid_subset.split(",")
        losses, _ = validate_and_save(cfg, trainer, task, epoch_itr, subsets, end_of_epoch=True)
        if solver.refits:
            solver.refit(model)
            checkpoint_utils.save_checkpoint(cfg.checkpoint, trainer, epoch_itr, None)
        return losses, True

    return train
