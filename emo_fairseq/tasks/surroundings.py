"""The options of other groups that the task must know of: how it is trained, and from where."""

from pathlib import Path
from typing import Any

from torch import nn

from emo_fairseq.errors import UsageError
from emo_fairseq.optim.adamw import check_half_precision, check_optimizer
from emo_fairseq.tuning.unfreezing import check_ddp_backend


class Surroundings:
    """All options of a run, as seen from the task's own; nothing is known outside fairseq's tools.

    Args:
        cfg: the task's options, which fairseq keeps inside those of the whole run.
    """

    def __init__(self, cfg: Any) -> None:
        self._whole = cfg._get_parent()

    def checkpoint_to_resume(self) -> Path | None:
        """The file that fairseq-train will go on from, if there is one."""
        if self._whole is None or "checkpoint" not in self._whole:
            return None
        options = self._whole.checkpoint
        file = Path(options.restore_file)
        if options.restore_file == "checkpoint_last.pt":
            file = Path(options.save_dir) / file
        return file if file.exists() else None

    def on_cpu(self) -> bool:
        """Whether ``--cpu`` is given."""
        return self._whole is not None and bool(self._whole.common.cpu)

    def trains(self) -> bool:
        """Whether this is fairseq-train."""
        return self._whole is not None and self._whole.get("optimizer") is not None

    def boards(self) -> tuple[str | None, str | None]:
        """``--tensorboard-logdir`` and ``--wandb-project`` of fairseq-train."""
        if not self.trains():
            return None, None
        return self._whole.common.tensorboard_logdir, self._whole.common.wandb_project

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
        options = self._whole.checkpoint if self._whole is not None else None
        return options is not None and not (options.reset_dataloader or options.reset_optimizer)

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
