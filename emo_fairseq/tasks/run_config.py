"""The options of a run round the task's own: fairseq's checkpoint, dataset, optimization groups."""

import importlib.util
import logging
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from fairseq.distributed.utils import is_master
from torch import nn

from emo_fairseq.compat.checkpoints import newest_checkpoint
from emo_fairseq.compat.distributed import launched_ranks
from emo_fairseq.compat.early_stop import has_run_out
from emo_fairseq.data.leaks import is_test_split
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.names import is_larger_better
from emo_fairseq.training.adamw import (
    check_half_precision,
    check_optimizer,
)
from emo_fairseq.training.freezing import check_ddp_backend

logger = logging.getLogger(__name__)

_LAST = "checkpoint_last.pt"
_NO_EPOCH = -1  # of --max-epoch: 0 would mean any number


class Surroundings:
    """All options of a run, as seen from the task's own; nothing is known outside fairseq's tools.

    Args:
        cfg: the task's options, which fairseq keeps inside those of the whole run.
    """

    def __init__(self, cfg: Any) -> None:
        self._whole = cfg._get_parent()

    def resume_from_newest(self) -> None:
        """Go on from the newest checkpoint where the training ended before it wrote the last one.

        fairseq writes ``checkpoint_last.pt`` after the others: if the disk is full by then, it
        would train from the beginning, and write over them.
        """
        if not self.trains():
            return
        options = self._whole.checkpoint
        last = Path(options.save_dir) / _LAST
        if options.restore_file != _LAST or options.no_last_checkpoints or last.exists():
            return
        newest = newest_checkpoint(Path(options.save_dir))
        if newest is not None:
            logger.warning("%s is not there: going on from %s", last, newest)
            options.restore_file = str(newest)
            options.finetune_from_model = options.continue_once = None  # for the beginning only

    def checkpoint_to_resume(self) -> Path | None:
        """The file that fairseq-train will go on from, if there is one."""
        if self._whole is None or "checkpoint" not in self._whole:
            return None
        options = self._whole.checkpoint
        file = Path(options.restore_file)
        if options.restore_file == _LAST:
            file = Path(options.save_dir) / file
        return file if file.exists() else None

    def weights_to_take(self) -> dict[str, Path]:
        """By option the checkpoints of fairseq's own options that a training begins from.

        That in ``--save-dir`` comes first; fairseq looks at the others only where there is none.
        """
        if not self.trains():
            return {}
        options = self._whole.checkpoint
        if (file := self.checkpoint_to_resume()) is not None:
            return {"--restore-file": file}
        given = {
            f"--{name.replace('_', '-')}": options.get(name)
            for name in ("continue_once", "finetune_from_model")
        }
        found = {option: Path(file) for option, file in given.items() if file}
        return {option: file for option, file in found.items() if file.is_file()}

    def choosing_split(self) -> str | None:
        """The split by which fairseq-train keeps the best checkpoint; None if none is validated."""
        if not self.trains() or self._whole.dataset.disable_validation:
            return None
        return str(self._whole.dataset.valid_subset).split(",")[0]

    def on_cpu(self) -> bool:
        """Whether ``--cpu`` is given."""
        return self._whole is not None and bool(self._whole.common.cpu)

    def trains(self) -> bool:
        """Whether this is fairseq-train."""
        return self._whole is not None and self._whole.get("optimizer") is not None

    def boards(self) -> tuple[str | None, str | None]:
        """``--tensorboard-logdir`` and ``--wandb-project`` of fairseq-train, on the first rank."""
        if not self.trains() or not is_master(self._whole.distributed_training):
            return None, None
        return self._whole.common.tensorboard_logdir, self._whole.common.wandb_project

    def check_wandb(self) -> None:
        """Refuse ``--wandb-project`` without wandb, which fairseq would pass over with a warning.

        Raises:
            UsageError: a library is missing; names it.
        """
        project = self._whole.common.wandb_project if self.trains() else None
        if project and "wandb" not in sys.modules and importlib.util.find_spec("wandb") is None:
            raise UsageError(
                f"--wandb-project {project}: the library wandb is not installed, and nothing would "
                "be logged there; `pip install wandb`, or leave the option out"
            )

    def check_optimizer_is_there(self, checkpoint: Path, has_optimizer: bool) -> None:
        """Refuse to go on from a checkpoint without the state of its optimizer.

        fairseq would load its weights and begin with 0 updates, a new warm-up and new moments of
        Adam, in the middle of the epochs.

        Args:
            checkpoint: that is resumed.
            has_optimizer: whether it holds that state.

        Raises:
            UsageError: the checkpoint lacks it; names the remedies.
        """
        options = self._whole.checkpoint
        if has_optimizer or options.reset_optimizer:
            return
        if self._whole.optimization.max_epoch == _NO_EPOCH:  # nothing is trained
            return
        raise UsageError(
            f"{checkpoint}: was saved with --no-save-optimizer-state, so its training cannot go "
            "on: the count of updates, the warm-up and the moments of the optimizer would begin "
            f"anew; begin a new training with its weights by --init-from {checkpoint} and another "
            "--save-dir, or give --reset-optimizer --reset-lr-scheduler --reset-dataloader"
        )

    def seed(self) -> int:
        """``--seed``; fairseq's default where there is no run."""
        return 1 if self._whole is None else int(self._whole.common.seed)

    def max_update(self) -> int:
        """``--max-update``; 0 if the training has no such end."""
        return 0 if self._whole is None else int(self._whole.optimization.max_update)

    def rows_of_a_step(self) -> int | None:
        """The most utterances of a step on all ranks; None if tokens are counted instead."""
        if self._whole is None or self._whole.dataset.batch_size is None:
            return None
        ranks = int(self._whole.distributed_training.distributed_world_size)
        return int(self._whole.dataset.batch_size) * ranks

    def resumes_training(self) -> bool:
        """Whether a checkpoint's training goes on, and does not only lend its weights."""
        if not self.trains():
            return False
        options = self._whole.checkpoint
        return not (options.reset_dataloader or options.reset_optimizer)

    def resets_meters(self) -> bool:
        """Whether a training that goes on forgets its best figure, by ``--reset-meters``."""
        return self.trains() and bool(self._whole.checkpoint.reset_meters)

    def end_if_finished(self, checkpoint: Path, n_updates: int, patience: dict[str, Any]) -> None:
        """Let fairseq-train end at once where a checkpoint's training has ended.

        fairseq looks at ``--max-update`` and ``--patience`` after an update, and so would add one,
        or a whole epoch, each time that a finished training is run again; at ``--max-epoch`` it
        looks before.

        Args:
            checkpoint: that is resumed.
            n_updates: that it has had.
            patience: see :mod:`emo_fairseq.compat.early_stop`.
        """
        options, limit = self._whole.checkpoint, self.max_update()
        if options.reset_optimizer:
            return
        if 0 < limit <= n_updates:
            why = f"has had all of its updates ({n_updates}, --max-update {limit})"
        elif has_run_out(patience, options.patience):
            why = f"was stopped by --patience {options.patience}"
        else:
            return
        logger.warning("%s %s: nothing is trained", checkpoint, why)
        self._whole.optimization.max_epoch = _NO_EPOCH

    def metric(self) -> str:
        """``--best-checkpoint-metric``."""
        return str(self._whole.checkpoint.best_checkpoint_metric)

    def check_metric(self, figures: Collection[str], cases: Collection[str]) -> None:
        """Refuse to choose a checkpoint by what validation does not measure, or the worst by it.

        fairseq would tell of the first after an epoch, by a KeyError, and of the second never: it
        takes every figure for one that is better the smaller.

        Args:
            figures: what is measured, by name.
            cases: a figure of theirs alone is called ``<figure>@<case>``; several are joined by +.

        Raises:
            UsageError: names the figures.
        """
        if not self.trains() or self._whole.dataset.disable_validation:
            return
        metric = self.metric()
        name, _, case = metric.partition("@")
        if metric not in figures and not (name in figures and {*case.split("+")} <= {*cases}):
            raise UsageError(
                f"--best-checkpoint-metric {metric}: validation does not measure it; choose one of "
                f"{', '.join(figures)}"
            )
        option = "--maximize-best-checkpoint-metric"
        maximizes = bool(self._whole.checkpoint.maximize_best_checkpoint_metric)
        if maximizes != is_larger_better(name):
            better, do = ("larger", "add") if is_larger_better(name) else ("smaller", "leave out")
            raise UsageError(
                f"--best-checkpoint-metric {metric}: it is better the {better}, and the worst "
                f"checkpoint would be kept; {do} {option}"
            )

    def check_ranks(self) -> None:
        """Refuse ranks of ``torchrun`` that know nothing of each other.

        fairseq-hydra-train imports this plugin, which would join them, only after it has settled
        how many there are: by ``distributed_world_size``, whose default is one machine's GPUs.

        Raises:
            UsageError: says what to change.
        """
        ranks = launched_ranks()
        if self.trains() and ranks > 1 and not torch.distributed.is_initialized():
            raise UsageError(
                f"torchrun has started {ranks} processes, and fairseq-hydra-train trains in each "
                "of them by itself; take fairseq-train, or, on GPUs, add "
                f"distributed_training.distributed_world_size={ranks}"
            )

    def check_subsets(self, train: str) -> None:
        """Refuse to train on another split than `train`, or to choose a checkpoint on that one.

        Raises:
            UsageError: says what to change.
        """
        if not self.trains():
            return
        options = self._whole.dataset
        if options.train_subset != train:
            raise UsageError(
                f"--train-subset {options.train_subset}: labels, statistics and prototypes are "
                f"those of the split {train}, which is what is trained on; leave the option out, "
                "or name the split so"
            )
        chooses = self.choosing_split()
        if chooses is not None and is_test_split(chooses):
            raise UsageError(
                f"--valid-subset {options.valid_subset}: {chooses} would choose the checkpoint "
                "(and stop the training), so that figures on it would flatter the model; name the "
                "valid split first, and score the test split after the training: fairseq-validate "
                f"--valid-subset {chooses}"
            )
        if train in options.valid_subset.split(","):
            raise UsageError(
                f"--valid-subset {options.valid_subset}: {train} is what is trained on; leave it "
                "out here, and score it with fairseq-validate"
            )

    def check_training(self, model: nn.Module, unfreezes: bool) -> None:
        """Refuse ways of training that would pass over what a model's parameters ask for.

        Args:
            model: tuned.
            unfreezes: whether layers are unfrozen in the course of the training.

        Raises:
            UsageError: says what to change.
        """
        if not self.trains():
            return
        common, parallel = self._whole.common, self._whole.distributed_training
        optimizer = str(self._whole.optimizer._name)
        check_optimizer(optimizer, model.parameters())
        check_half_precision(
            optimizer,
            flattens=common.fp16 and not common.fp16_no_flatten_grads,
            memory_efficient=common.memory_efficient_fp16 or common.memory_efficient_bf16,
        )
        if unfreezes:
            check_ddp_backend(
                str(parallel.ddp_backend),
                parallel.distributed_world_size,
                parallel.find_unused_parameters,
            )
