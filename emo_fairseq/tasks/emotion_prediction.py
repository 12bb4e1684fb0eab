"""The task ``emotion_prediction``: data, model and criterion brought together."""

import argparse
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.tasks import register_task

from emo_fairseq.compat.sweeps import forget_earlier_training
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.metric_logging import log_metrics, metric_names
from emo_fairseq.criterions.scoring import CONFUSION
from emo_fairseq.data.curriculum import NONE
from emo_fairseq.data.data_dir import TRAIN
from emo_fairseq.models.build import (
    TRAINED,
    fill_config,
    leave_out_pretrained,
    load_left_out,
    load_pretrained,
)
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.tuning import log_trained_parameters, tune
from emo_fairseq.options.checking import check_nothing_stays_random, check_options
from emo_fairseq.tasks.confidence import ModelConfidence
from emo_fairseq.tasks.config import (
    EmotionPredictionConfig,
    add_task_args,
)
from emo_fairseq.tasks.datasets import BY_DIFFICULTY, build_split
from emo_fairseq.tasks.encoder_cache import FrozenEncoders
from emo_fairseq.tasks.objectives import Objectives
from emo_fairseq.tasks.resume import (
    has_optimizer,
    updates_of,
)
from emo_fairseq.tasks.saving import (
    attend,
    check_places,
    refuse_undefined_loss,
)
from emo_fairseq.tasks.warm_start import (
    check_files_give_weights,
    initialize,
    load_resumed,
)
from emo_fairseq.training.final_dropout import FinalDropout

logger = logging.getLogger(__name__)


@register_task("emotion_prediction", dataclass=EmotionPredictionConfig)
class EmotionPredictionTask(Objectives):
    """Emotion, sentiment or VAD of an utterance from its text, its speech, or both.

    What it knows of its data is :class:`emo_fairseq.tasks.settled_state.SettledState`, what it does
    for criterions :class:`emo_fairseq.tasks.objectives.Objectives`.
    """

    @classmethod
    def add_args(cls, parser: argparse.ArgumentParser) -> None:
        add_task_args(parser)

    @classmethod
    def setup_task(cls, cfg: Any, from_checkpoint: bool = False, **kwargs: Any) -> Any:
        task = cls(cfg)
        task.trains = not from_checkpoint
        if task.trains:
            forget_earlier_training()
            task.settle_state()
        else:
            check_places(cfg)
        return task

    # -- data ----------------------------------------------------------------------------------

    def load_dataset(self, split: str, combine: bool = False, **kwargs: Any) -> None:
        self.datasets[split] = build_split(self, split, for_training=self.trains and split == TRAIN)

    def get_batch_iterator(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        # fairseq would drop the last utterances of a split whose number is no multiple of this.
        kwargs["required_batch_size_multiple"] = 1
        # It would also skip what --max-tokens has no room for, and cannot compare two sizes.
        kwargs["max_positions"] = None
        dataset.check_max_tokens(kwargs.get("max_tokens"))
        return super().get_batch_iterator(dataset, *args, **kwargs)

    def max_positions(self) -> None:
        """Nothing is too long: the leaves cut, and no utterance is skipped for its length."""

    # -- model, criterion and metrics ----------------------------------------------------------

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        if not from_checkpoint:  # there the sizes are filled in, and no longer tell who gave them
            context = self.option_context(model=cfg)
            check_options(context, cfg, RobertaEMOConfig)
            check_options(context, self.cfg, EmotionPredictionConfig)
        fill_config(cfg, self.task_state)
        self.embedding_dim = int(cfg.embedding_dim)
        bound, self.size_bound = self.size_bound, nullcontext()  # of the checkpoint loaded last
        with bound if from_checkpoint else nullcontext():
            model = super().build_model(cfg, from_checkpoint)
        resumed = None if from_checkpoint else self.surroundings.checkpoint_to_resume()
        is_new = not from_checkpoint and resumed is None
        if is_new:
            check_nothing_stays_random(cfg, self.cfg, self.encoder_cards())
            load_pretrained(model, self.encoder_cards())
            initialize(model, self)
        else:
            load_left_out(model, cfg, self.task_state)
        self.describe_missing = model.missing_warning
        self.schedules = tune(model, cfg)
        leave_out_pretrained(model, cfg, self.task_state)
        if not from_checkpoint:
            if cfg.checkpoint_weights == TRAINED:
                check_files_give_weights(self.cfg)
            log_trained_parameters(model)
            self.surroundings.check_training(model, bool(self.schedules))
        if resumed is not None:
            patience = self.state.patience
            self.surroundings.end_if_finished(resumed, updates_of(resumed), patience)
            self.surroundings.check_optimizer_is_there(resumed, has_optimizer(resumed))
        if resumed is not None and any(encoder.frozen for encoder in model.encoders.values()):
            load_resumed(model, resumed)
        self._read_outputs_of_frozen(model)
        self.confidence = ModelConfidence(self, model)
        self.final_dropout = FinalDropout(
            [model.embedding.dropout, model.head.dropout],
            *(self.cfg.curriculum_final_dropout, self.cfg.curriculum_epochs),
        )
        return model

    def build_criterion(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        schema = CRITERION_DATACLASS_REGISTRY.get(getattr(cfg, "_name", None))
        if self.trains and schema is not None:
            check_options(self.option_context(criterion=cfg), cfg, schema)
        criterion = super().build_criterion(cfg, from_checkpoint)
        if self.trains:
            by_difficulty = str(self.cfg.curriculum_order) in BY_DIFFICULTY
            # An attribute of the state that is read is also saved, so it is not read as such.
            read = self.state.state_dict.get("prototypes")
            takes_prototypes = by_difficulty or bool(read)
            context = self.option_context(criterion=cfg, takes_prototypes=takes_prototypes)
            check_options(context, self.cfg, EmotionPredictionConfig)
        if self.trains and isinstance(criterion, EmotionCriterion):
            figures = metric_names(criterion.empty_statistics(), self.labels, self.auxiliary_labels)
            self.surroundings.check_metric(["loss", *figures], self.modalities)
            self.check_metric_is_defined()
        return criterion

    def _read_outputs_of_frozen(self, model: Any) -> None:
        """Let datasets hold what frozen encoders say, as long as the encoders are the same."""
        on_cpu = self.surroundings.on_cpu()
        self.frozen = FrozenEncoders.of(self.cfg, model, self.encoder_cards(), on_cpu)
        for encoder in self.frozen.encoders.values():
            encoder.keeps_precision = True

        def bring_up_to_date(*_: Any) -> None:
            # fairseq loads the valid splits before the checkpoint.
            if self.frozen is not None and self.frozen.have_changed():
                self._load_datasets_again()

        model.register_load_state_dict_post_hook(bring_up_to_date)

    def begin_epoch(self, epoch: int, model: Any) -> None:
        super().begin_epoch(epoch, model)
        if str(self.cfg.curriculum_order) != NONE:
            self.final_dropout.begin_epoch(epoch)

    def train_step(
        self,
        sample: Any,
        model: Any,
        criterion: Any,
        optimizer: Any,
        update_num: int,
        ignore_grad: bool = False,
    ) -> Any:
        for schedule in self.schedules:
            schedule.set_num_updates(update_num)
        sample = {**sample, "update": update_num, "is_ignored": ignore_grad}
        return super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)

    def valid_step(self, sample: Any, model: Any, criterion: Any) -> Any:
        if not sample:  # fairseq-validate on several ranks: this one has no batch left
            return 0.0, 0, {}
        loss, sample_size, logging_output = super().valid_step(sample, model, criterion)
        if self.trains:  # what ranks sum must be numbers
            self.boards.remember(logging_output.pop("embeddings", []))
        asked = [name for name in sample["utterance_id"] if name in self.saved.attention_ids]
        if asked:
            logging_output["attention"] = attend(self, model, sample["split"], asked)
        return loss, sample_size, logging_output

    def post_validate(self, model: Any, stats: Any, aggregated: Any) -> None:
        """fairseq-train calls this after every validation."""
        if self.boards.are_there:
            counts = aggregated[CONFUSION].sum.cpu().numpy() if CONFUSION in aggregated else None
            self.boards.write(counts, self.labels, int(stats["num_updates"]))

    def reduce_metrics(self, logging_outputs: Sequence[dict[str, Any]], criterion: Any) -> None:
        super().reduce_metrics(logging_outputs, criterion)
        log_metrics(logging_outputs, self.labels, self.auxiliary_labels)
        # fairseq-validate comes here once a subset, on every rank with the outputs of all ranks.
        if not self.trains:
            refuse_undefined_loss(logging_outputs)
        n_rows = {split: len(dataset) for split, dataset in self.datasets.items()}
        self.saved.add(logging_outputs, n_rows)
