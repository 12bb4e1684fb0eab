"""The model of a new training, of a resumed one, or for scoring."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from fairseq.tasks.fairseq_task import StatefulContainer
from omegaconf import DictConfig

from emo_fairseq.compat.checkpoints import LoadedState
from emo_fairseq.compat.size_limits import build_within
from emo_fairseq.data.manifest import Split
from emo_fairseq.models.build import (
    TRAINED,
    fill_config,
    leave_out_pretrained,
    load_left_out,
    load_pretrained,
)
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.models.tuning import log_trained_parameters, trains_without_front_end, tune
from emo_fairseq.options.checking import check_nothing_stays_random, check_options
from emo_fairseq.options.conditions import OptionContext
from emo_fairseq.task_state import TaskState
from emo_fairseq.tasks import resume
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.tasks.head_initialization import initialize_heads
from emo_fairseq.tasks.probe_options import complete_model_options
from emo_fairseq.tasks.provenance import Accept
from emo_fairseq.tasks.run_config import RunConfig
from emo_fairseq.tasks.warm_start import check_files_give_weights, start_with_adapter, warm_start
from emo_fairseq.training.freezing import GradualUnfreezing

Built = tuple[RobertaEMOModel, list[GradualUnfreezing]]


@dataclass(frozen=True)
class ModelBuilder:
    """Builds the model of a task.

    Each method returns the model, and the schedules whose `set_num_updates` is called before each
    update.

    Attributes:
        cfg: options of the task.
        run_config: those of the run beside them.
        task_state: what the model reads and predicts.
        build: fairseq's: from options that are complete, and whether a checkpoint will be scored,
            to a model with random weights.
        accept: called for each file of weights; see `EmotionPredictionTask.accept`.
    """

    cfg: EmotionPredictionConfig
    run_config: RunConfig
    task_state: TaskState
    build: Callable[[RobertaEMOConfig, bool], RobertaEMOModel]
    accept: Accept

    def build_new(self, cfg: RobertaEMOConfig, train: Split) -> Built:
        """Begin with the weights of pretrained encoders and of earlier stages.

        Raises:
            UsageError: options that do not fit, or weights that are not those of the encoders.
        """
        self._check_options(cfg)
        model = self._build_random(cfg)
        check_nothing_stays_random(cfg, self.cfg, self.task_state.encoders)
        load_pretrained(model, self.task_state.encoders)
        initialize_heads(model, self.task_state, train)
        warm_start(model, self.cfg, self.task_state, self.accept)
        schedules = self._tune_for_training(model, cfg)
        start_with_adapter(model, self.cfg, self.accept)
        return model, schedules

    def build_resumed(
        self, cfg: RobertaEMOConfig, checkpoint: Path, state: StatefulContainer
    ) -> Built:
        """Prepare a model whose weights fairseq's trainer will load from the checkpoint.

        Args:
            cfg: options of the model.
            checkpoint: that is resumed.
            state: of the task, from it.

        Raises:
            SystemExit: the training is finished.
            UsageError: options that do not fit, or another optimizer.
        """
        self._check_options(cfg)
        model = self._build_random(cfg)
        load_left_out(model, cfg, self.task_state)
        schedules = self._tune_for_training(model, cfg)
        n_updates, has_optimizer = resume.read_progress(checkpoint)
        # Not state.probe, which would add an empty one to the state of every resumed training.
        is_solved = bool(state.state_dict.get("probe"))
        self.run_config.end_if_finished(checkpoint, n_updates, state.patience, is_solved)
        self.run_config.check_optimizer_state(checkpoint, has_optimizer)
        if trains_without_front_end(model, cfg) and not self.run_config.resets_optimizer:
            resume.check_front_end(checkpoint)
        if any(encoder.has_stored_outputs for encoder in model.encoders.values()):
            resume.load_weights(model, checkpoint)
        return model, schedules

    def build_for_scoring(self, cfg: RobertaEMOConfig, loaded: LoadedState | None) -> Built:
        """Prepare a model whose weights are loaded next; no larger one than these.

        Args:
            cfg: options of the model.
            loaded: the checkpoint; None where its size is not known.
        """
        limits: AbstractContextManager[None] = nullcontext()
        if loaded is not None:
            limits = build_within(loaded.stored, loaded.file, "take another checkpoint")
        with limits:
            model = self._build_random(cfg, from_checkpoint=True)
        load_left_out(model, cfg, self.task_state)
        schedules = tune(model, cfg)
        leave_out_pretrained(model, cfg, self.task_state)
        return model, schedules

    def _check_options(self, cfg: RobertaEMOConfig) -> None:
        """Check options while their sizes are those that were given, and not filled in."""
        encoders = self.task_state.encoders
        if self.cfg.probe:
            complete_model_options(cast(DictConfig, cfg), self.cfg, encoders)
        context = OptionContext(encoders, self.cfg, self.task_state.target, model=cfg)
        check_options(context, cfg, RobertaEMOConfig)
        check_options(context, self.cfg, EmotionPredictionConfig)

    def _build_random(
        self, cfg: RobertaEMOConfig, from_checkpoint: bool = False
    ) -> RobertaEMOModel:
        fill_config(cfg, self.task_state)
        return self.build(cfg, from_checkpoint)

    def _tune_for_training(
        self, model: RobertaEMOModel, cfg: RobertaEMOConfig
    ) -> list[GradualUnfreezing]:
        """Freeze, adapt and set learning rates, and log how many parameters are trained."""
        schedules = tune(model, cfg)
        leave_out_pretrained(model, cfg, self.task_state)
        if cfg.checkpoint_weights == TRAINED:
            check_files_give_weights(self.cfg)
        log_trained_parameters(model)
        self.run_config.check_training(model, bool(schedules))
        return schedules
