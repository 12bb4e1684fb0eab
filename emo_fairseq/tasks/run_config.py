"""The options of a run beside the task's own, which are fairseq's."""

import importlib.util
import logging
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from fairseq.dataclass.utils import merge_with_parent
from fairseq.distributed.utils import is_master
from omegaconf import OmegaConf, open_dict
from torch import nn

from emo_fairseq.checkpoint_files import LAST, newest_checkpoint
from emo_fairseq.compat.distributed import launched_ranks
from emo_fairseq.compat.early_stop import has_run_out
from emo_fairseq.compat.run_options import DEFAULT_ARCH
from emo_fairseq.data.leaks import is_test_split
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.names import has_direction, is_larger_better
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.options.legacy_flags import has_target_flag
from emo_fairseq.targets import UNLABELED
from emo_fairseq.tasks.config_file import write_config
from emo_fairseq.tasks.environment import record_environment
from emo_fairseq.tasks.pretraining import is_pretraining
from emo_fairseq.training.adamw import (
    check_half_precision,
    check_optimizer,
)
from emo_fairseq.training.freezing import check_ddp_backend

logger = logging.getLogger(__name__)

_NO_EPOCH = -1  # of --max-epoch: 0 would mean any number


class RunConfig:
    """The options of a run beside the task's own, and what of them a training refuses.

    A task that is built outside of fairseq's commands has none: then nothing is trained, and every
    property has fairseq's default.

    Args:
        cfg: the task's options, which fairseq keeps inside the configuration of the run.
    """

    def __init__(self, cfg: Any) -> None:
        self._run = cfg._get_parent()

    @property
    def is_training(self) -> bool:
        """Whether this is fairseq-train."""
        return self._run is not None and self._run.get("optimizer") is not None

    @property
    def on_cpu(self) -> bool:
        """``--cpu``."""
        return self._run is not None and bool(self._run.common.cpu)

    @property
    def seed(self) -> int:
        """``--seed``."""
        return 1 if self._run is None else int(self._run.common.seed)

    @property
    def max_update(self) -> int:
        """``--max-update``; 0 if the training has no such end."""
        return 0 if self._run is None else int(self._run.optimization.max_update)

    @property
    def rows_of_a_step(self) -> int | None:
        """The most utterances of a step on all ranks; None if tokens are counted instead."""
        if self._run is None or self._run.dataset.batch_size is None:
            return None
        ranks = int(self._run.distributed_training.distributed_world_size)
        return int(self._run.dataset.batch_size) * ranks

    @property
    def metric(self) -> str:
        """``--best-checkpoint-metric``."""
        return str(self._run.checkpoint.best_checkpoint_metric)

    @property
    def selecting_split(self) -> str | None:
        """The split that selects the best checkpoint; None if none is validated."""
        if not self.is_training or self._run.dataset.disable_validation:
            return None
        return str(self._run.dataset.valid_subset).split(",")[0]

    @property
    def tensorboard_logdir(self) -> str | None:
        """``--tensorboard-logdir``, on the first rank of a training or of a scoring."""
        if self._run is None or not is_master(self._run.distributed_training):
            return None
        return self._run.common.tensorboard_logdir

    @property
    def wandb_project(self) -> str | None:
        """``--wandb-project``, on the first rank of a training."""
        return self._run.common.wandb_project if self._logs else None

    def write(self) -> None:
        """Write configuration and environment of a training beside its checkpoints.

        The first rank does.
        """
        if not self._logs or self._run.checkpoint.no_save:
            return
        write_config(self._run)
        folder, resumed = Path(self._run.checkpoint.save_dir), self.checkpoint_to_resume()
        is_resumed = resumed is not None and resumed.parent.resolve() == folder.resolve()
        record_environment(folder, self.on_cpu, is_resumed)

    @property
    def _logs(self) -> bool:
        return self.is_training and is_master(self._run.distributed_training)

    def prepare_solving(self) -> None:
        """Let fairseq validate and save after a model that is solved without any update.

        Raises:
            UsageError: half precision.
        """
        if not self.is_training:
            return
        common, checkpoint, dataset = self._run.common, self._run.checkpoint, self._run.dataset
        if half := [name for name in ("fp16", "bf16") if common[name]]:
            raise UsageError(
                f"--{half[0]}: --probe is solved in double precision, which its weights would "
                "lose; leave it out",
                "precision-unfit",
            )
        checkpoint.save_interval = dataset.validate_interval = 1
        dataset.validate_after_updates = 0

    # -- the checkpoints that a training begins with -----------------------------------------------

    def resume_from_newest(self) -> None:
        """Resume from the newest checkpoint if a training ended before it wrote the last one.

        fairseq writes ``checkpoint_last.pt`` after the others: if the disk is full by then, it
        would train from the beginning, and overwrite them.
        """
        if not self.is_training:
            return
        options = self._run.checkpoint
        last = Path(options.save_dir) / LAST
        if options.restore_file != LAST or options.no_last_checkpoints or last.exists():
            return
        newest = newest_checkpoint(Path(options.save_dir))
        if newest is not None:
            logger.warning("%s does not exist: resuming from %s", last, newest)
            options.restore_file = str(newest)
            options.finetune_from_model = options.continue_once = None  # for the beginning only

    def checkpoint_to_resume(self) -> Path | None:
        """Return the file that fairseq-train will resume from, if there is one."""
        if self._run is None or "checkpoint" not in self._run:
            return None
        options = self._run.checkpoint
        file = Path(options.restore_file)
        if options.restore_file == LAST:
            file = Path(options.save_dir) / file
        return file if file.exists() else None

    def initial_checkpoints(self) -> dict[str, Path]:
        """Return the checkpoints that a training begins with, by the option of fairseq's own.

        That in ``--save-dir`` comes first; fairseq reads the others only where there is none.
        """
        if not self.is_training:
            return {}
        options = self._run.checkpoint
        if (file := self.checkpoint_to_resume()) is not None:
            return {"--restore-file": file}
        files = {
            "--continue-once": options.get("continue_once"),
            "--finetune-from-model": options.get("finetune_from_model"),
        }
        given = {option: Path(file) for option, file in files.items() if file}
        return {option: file for option, file in given.items() if file.is_file()}

    @property
    def resumes_training(self) -> bool:
        """Whether the training of a checkpoint is resumed, and not only its weights are loaded."""
        if not self.is_training:
            return False
        options = self._run.checkpoint
        return not (options.reset_dataloader or options.reset_optimizer)

    @property
    def resets_optimizer(self) -> bool:
        """Whether a training begins with new moments, by ``--reset-optimizer``."""
        return bool(self._run.checkpoint.reset_optimizer)

    @property
    def resets_meters(self) -> bool:
        """Whether a resumed training starts without its best score, by ``--reset-meters``."""
        return self.is_training and bool(self._run.checkpoint.reset_meters)

    def end_if_finished(
        self, checkpoint: Path, n_updates: int, patience: dict[str, Any], is_solved: bool
    ) -> None:
        """Let fairseq-train end at once if the training of a checkpoint is finished.

        fairseq checks ``--max-update`` and ``--patience`` after an update, and so would add one, or
        a whole epoch, each time that a finished training is run again; it checks ``--max-epoch``
        before.
        """
        options, limit = self._run.checkpoint, self.max_update
        if options.reset_optimizer:
            return
        if is_solved:
            why = "holds a model that --probe has solved"
        elif 0 < limit <= n_updates:
            why = f"has had all of its updates ({n_updates}, --max-update {limit})"
        elif has_run_out(patience, options.patience):
            why = f"was stopped by --patience {options.patience}"
        else:
            return
        logger.warning("%s %s: nothing is trained", checkpoint, why)
        self._run.optimization.max_epoch = _NO_EPOCH

    def check_optimizer_state(self, checkpoint: Path, has_optimizer: bool) -> None:
        """Refuse to resume from a checkpoint without the state of its optimizer.

        fairseq would load its weights and begin with 0 updates, a new warm-up and new moments of
        Adam, in the middle of the epochs.

        Raises:
            UsageError: it does not.
        """
        options = self._run.checkpoint
        if has_optimizer or options.reset_optimizer:
            return
        if self._run.optimization.max_epoch == _NO_EPOCH:  # nothing is trained
            return
        raise UsageError(
            f"{checkpoint}: was saved with --no-save-optimizer-state, so its training cannot be "
            "resumed: the count of updates, the warm-up and the moments of the optimizer would "
            f"begin anew; begin a new training with its weights by --init-from {checkpoint} and "
            "another --save-dir, or give --reset-optimizer --reset-lr-scheduler --reset-dataloader",
            "optimizer-state-missing",
        )

    def set_default_architecture(self) -> None:
        """Let a YAML file leave ``model`` out; the command line has a default for ``--arch``."""
        if self.is_training and self._run.get("model") is None:
            default = OmegaConf.create({"_name": DEFAULT_ARCH})
            with open_dict(self._run):
                self._run.model = merge_with_parent(RobertaEMOConfig(), default)

    def set_target_of_pretraining(self, cfg: Any) -> None:
        """Let criterions of pretraining predict nothing, unless a target is given.

        Args:
            cfg: the task's options, which the run has a copy of.
        """
        is_default = cfg.target is None and not has_target_flag(cfg)
        if self.is_training and is_pretraining(self._run.get("criterion")) and is_default:
            cfg.target = self._run.task.target = UNLABELED.name

    # -- checks ------------------------------------------------------------------------------------

    def check_ranks(self) -> None:
        """Refuse ranks of ``torchrun`` that are not joined in one process group.

        fairseq-hydra-train imports this plugin, which would join them, only after it has decided
        how many there are: by ``distributed_world_size``, whose default is one machine's GPUs.

        Raises:
            UsageError: each rank would train by itself.
        """
        ranks = launched_ranks()
        if self.is_training and ranks > 1 and not torch.distributed.is_initialized():
            raise UsageError(
                f"torchrun has started {ranks} processes, and fairseq-hydra-train trains in each "
                "of them by itself; use fairseq-train, or, on GPUs, add "
                f"distributed_training.distributed_world_size={ranks}",
                "ranks-not-joined",
            )

    def check_wandb(self) -> None:
        """Refuse ``--wandb-project`` without wandb, which fairseq would ignore with a warning.

        Raises:
            UsageError: the library is not installed.
        """
        project = self._run.common.wandb_project if self.is_training else None
        if project and "wandb" not in sys.modules and importlib.util.find_spec("wandb") is None:
            raise UsageError(
                f"--wandb-project {project}: the library wandb is not installed, and nothing would "
                "be logged there; `pip install wandb`, or leave the option out",
                "library-missing",
            )

    def warn_of_averages(self) -> None:
        """Warn that the averages of ``--store-ema`` are in checkpoints, and used by nothing."""
        if self._logs and OmegaConf.select(self._run, "ema.store_ema"):
            logger.warning(
                "--store-ema: averages of the weights are stored in checkpoints, and nothing reads "
                "them: validation, scores and exports are of the weights themselves"
            )

    def check_subsets(self, train: str) -> None:
        """Refuse to train on another split than `train`, or to select a checkpoint by a wrong one.

        Raises:
            UsageError: another ``--train-subset``, or ``--valid-subset`` with the train split or,
                first, a test split.
        """
        if not self.is_training:
            return
        options = self._run.dataset
        if options.train_subset != train:
            raise UsageError(
                f"--train-subset {options.train_subset}: labels, statistics and prototypes are "
                f"those of the split {train}, which is what is trained on; leave the option out, "
                "or name the split so",
                "train-subset-other",
            )
        selecting = self.selecting_split
        if selecting is not None and is_test_split(selecting):
            raise UsageError(
                f"--valid-subset {options.valid_subset}: {selecting} would choose the checkpoint "
                "(and stop the training), so that metrics on it would flatter the model; name the "
                "valid split first, and score the test split after the training: fairseq-validate "
                f"--valid-subset {selecting}",
                "valid-subset-test",
            )
        if train in options.valid_subset.split(","):
            raise UsageError(
                f"--valid-subset {options.valid_subset}: {train} is what is trained on; leave it "
                "out here, and score it with fairseq-validate",
                "valid-subset-train",
            )

    def check_metric(self, metrics: Collection[str], cases: Collection[str]) -> None:
        """Refuse to select a checkpoint by what validation does not measure, or the worst by it.

        fairseq would fail on the first after an epoch, with a KeyError, and not notice the second:
        it takes every metric for one that is better the smaller.

        Args:
            metrics: names of those that are measured.
            cases: modalities; a metric of the rows that have these alone is called
                ``<metric>@<case>``, several joined by +.

        Raises:
            UsageError: the metric is not measured, has no direction, or is maximized where it
                should be minimized.
        """
        if not self.is_training or self._run.dataset.disable_validation:
            return
        metric = self.metric
        name, _, case = metric.partition("@")
        if metric not in metrics and not (name in metrics and {*case.split("+")} <= {*cases}):
            raise UsageError(
                f"--best-checkpoint-metric {metric}: validation does not measure it; choose one of "
                f"{', '.join(metrics)}",
                "metric-unknown",
            )
        if not has_direction(name):
            raise UsageError(
                f"--best-checkpoint-metric {metric}: neither its largest nor its smallest value is "
                "the best one; choose another metric",
                "metric-without-direction",
            )
        option = "--maximize-best-checkpoint-metric"
        maximizes = bool(self._run.checkpoint.maximize_best_checkpoint_metric)
        if maximizes != is_larger_better(name):
            better, do = ("larger", "add") if is_larger_better(name) else ("smaller", "leave out")
            raise UsageError(
                f"--best-checkpoint-metric {metric}: it is better the {better}, and the worst "
                f"checkpoint would be kept; {do} {option}",
                "metric-direction",
            )

    def check_training(self, model: nn.Module, unfreezes: bool) -> None:
        """Refuse ways of training that would ignore what the parameters of a model require.

        Args:
            model: tuned.
            unfreezes: whether layers are unfrozen in the course of the training.

        Raises:
            UsageError: an optimizer, a precision or a backend that would, or averages of weights
                that cannot be copied.
        """
        if not self.is_training:
            return
        if OmegaConf.select(self._run, "ema.store_ema"):
            _check_copied(model)
        common, parallel = self._run.common, self._run.distributed_training
        optimizer = str(self._run.optimizer._name)
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


def _check_copied(model: nn.Module) -> None:
    """Refuse averages of a model that fairseq cannot copy, since a weight of it is computed."""
    for name, module in model.named_modules():
        values = (value for value in vars(module).values() if isinstance(value, torch.Tensor))
        if any(not value.is_leaf for value in values):
            raise UsageError(
                f"--store-ema: fairseq cannot copy {name}, whose weight is normalized, and nothing "
                "reads the averages; leave the option out",
                "options-conflict",
            )
