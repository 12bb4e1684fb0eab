"""The task ``emotion_prediction``: data, model and criterion brought together.

What a trained model reads and predicts is a member, :class:`emo_fairseq.task_state.TaskState`: a
training fits it on the train split, and every checkpoint carries it from then on.
"""

import argparse
import functools
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.tasks import FairseqTask, register_task
from omegaconf import open_dict
from torch import Tensor, nn

from data_prep.manifest.provenance import Provenance
from data_prep.schema import TRAIN
from emo_fairseq.compat import apply_to_training
from emo_fairseq.compat.checkpoints import LoadedState
from emo_fairseq.compat.early_stop import keep_patience
from emo_fairseq.compat.solved_in_one_step import solve_in_place_of_training
from emo_fairseq.compat.sweeps import forget_earlier_training
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.metric_logging import log_metrics, metric_names, metric_values
from emo_fairseq.criterions.scoring import CONFUSION
from emo_fairseq.data.annotations import Classes, target_of_classes
from emo_fairseq.data.curriculum import BY_DIFFICULTY, NONE, CurriculumDataset
from emo_fairseq.data.data_dir import DataDir
from emo_fairseq.data.dialogue_dataset import EmotionDataset
from emo_fairseq.data.fit import fit_labels
from emo_fairseq.data.manifest import Split
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import masked_modalities
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.encode import encoding_device
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.options import legacy_flags
from emo_fairseq.options.checking import check_options
from emo_fairseq.options.conditions import OptionContext
from emo_fairseq.targets import LabeledTarget, Target
from emo_fairseq.task_state import TaskState
from emo_fairseq.tasks import resume
from emo_fairseq.tasks.class_prototypes import ClassPrototypes
from emo_fairseq.tasks.confidence import ModelConfidence
from emo_fairseq.tasks.config import EmotionPredictionConfig, add_task_args
from emo_fairseq.tasks.datasets import (
    Annotate,
    DatasetBuilder,
    PretrainingInputs,
    auxiliary_annotators,
)
from emo_fairseq.tasks.encoders import check_same_encoders, check_same_features
from emo_fairseq.tasks.fit_state import fit_task_state
from emo_fairseq.tasks.frozen_encoders import FrozenEncoders
from emo_fairseq.tasks.loggers import ValidationLoggers
from emo_fairseq.tasks.model_building import ModelBuilder
from emo_fairseq.tasks.predicting import attend
from emo_fairseq.tasks.pretraining import augments_inputs, check_masks_text, check_pretraining
from emo_fairseq.tasks.probe import Probe
from emo_fairseq.tasks.probe_options import (
    check_criterion_options,
    check_task_options,
    parse_strengths,
)
from emo_fairseq.tasks.provenance import ScoringGuard, stored_provenance, training_provenance
from emo_fairseq.tasks.run_config import RunConfig
from emo_fairseq.tasks.scoring_files import (
    ScoringFiles,
    check_files_writable,
    refuse_undefined_loss,
)
from emo_fairseq.tasks.standardization import standardize_encoders, standardize_fused
from emo_fairseq.tasks.teachers import Provide, teacher_from_checkpoint, teacher_from_predictions
from emo_fairseq.tasks.training_order import order_for_training
from emo_fairseq.tasks.undefined_metric import describe_undefined, undefined_because
from emo_fairseq.training.final_dropout import FinalDropout
from emo_fairseq.training.progress_bar import begin_run

logger = logging.getLogger(__name__)


@register_task("emotion_prediction", dataclass=EmotionPredictionConfig)
class EmotionPredictionTask(FairseqTask):
    """Predict emotion, sentiment or VAD of an utterance from its text, its speech, or both.

    Attributes:
        cfg: its options.
        run_config: those of the run beside them.
        data: the data dir.
        is_training: whether a training has set up the task; else a checkpoint is scored.
        task_state: what the model reads and predicts. A training fits it at set-up; in scoring it
            is loaded with the checkpoint.
        state: fairseq's container of all that checkpoints hold of the task: the `task_state` as
            plain values, and what changes in training (:data:`emo_fairseq.tasks.resume.AT_START`).
        annotators: what batches of the train split carry beside input and truth, by name.
        solver: sets the weights in place of a training (``--probe``); None in a training.
        frozen: encoders whose outputs are read from disk; None before the model is built.
    """

    cfg: EmotionPredictionConfig
    task_state: TaskState

    def __init__(self, cfg: EmotionPredictionConfig) -> None:
        super().__init__(cfg)
        with open_dict(cfg):
            # fairseq's own switch: the same iterator draws new batches for every epoch.
            cfg.rebuild_batches = True
        self.run_config = RunConfig(cfg)
        self.data = DataDir(cfg, legacy_flags.modalities(cfg))
        self.is_training = False
        self.annotators: dict[str, Annotate] = {}
        self.frozen: FrozenEncoders | None = None
        self.solver: Probe | None = None
        self.loggers = ValidationLoggers(
            self.run_config.tensorboard_logdir, self.run_config.wandb_project
        )
        self.scoring_guard = ScoringGuard(self.data, cfg.fold, cfg.allow_leak)
        self.pretraining = PretrainingInputs()
        self.files = ScoringFiles(cfg, self._record_of_predictions, self._head_of_loaded)
        self._has_written_config = False
        self._scored_split = ""
        self._loaded: LoadedState | None = None
        self.fusion = ""  # of the model, once it is built
        self._missing_warning: Callable[[Collection[str]], str] | None = None  # likewise
        for name, at_start in resume.AT_START.items():
            self.state.add_factory(name, at_start)

    @classmethod
    def add_args(cls, parser: argparse.ArgumentParser) -> None:
        add_task_args(parser)

    @classmethod
    def setup_task(
        cls, cfg: EmotionPredictionConfig, from_checkpoint: bool = False, **kwargs: Any
    ) -> "EmotionPredictionTask":
        """Set up a training, or with `from_checkpoint` a task that waits for `load_state_dict`."""
        task = cls(cfg)
        if from_checkpoint:
            check_files_writable(cfg)
        else:
            forget_earlier_training()
            begin_run()
            task.start_training()
        return task

    # -- state -------------------------------------------------------------------------------------

    def start_training(self) -> None:
        """Fit the state on the train split, or load that of the checkpoint to be resumed."""
        self.is_training = True
        self.run_config.set_default_architecture()
        self.run_config.set_target_of_pretraining(self.cfg)
        self.run_config.check_ranks()
        self.run_config.check_wandb()
        self.run_config.warn_of_averages()
        self.run_config.check_subsets(TRAIN)
        self.run_config.resume_from_newest()
        checkpoint = self.run_config.checkpoint_to_resume()
        saved = {} if checkpoint is None else resume.read_state(checkpoint)
        selecting_split = self.run_config.selecting_split
        if saved and self.run_config.resumes_training:
            vocabularies = saved.get("vocabulary", {}).items()
            self.data.set_trained_vocabularies(
                {name: Vocabulary.from_state(state) for name, state in vocabularies}
            )
        fitted = fit_task_state(self.cfg, self.data, saved.get("encoders", {}), selecting_split)
        self.task_state = fitted
        self.state.merge_state_dict(fitted.to_state())
        if saved and self.run_config.resumes_training:
            resume.check_same_data(saved, self.state.state_dict, self.data.folder)
            if selecting_split is not None and not self.run_config.resets_meters:
                assert checkpoint is not None
                resume.check_selection(checkpoint, self.run_config.metric, selecting_split)
            self.load_state_dict(saved)
        is_own_refit = self.cfg.refit and saved.get("probe", {}).get("refitted")
        for option, file in self.run_config.initial_checkpoints().items():
            if is_own_refit:  # it has seen the valid split, and nothing is validated again
                continue
            self.accept(option, file, stored_provenance(saved or resume.read_state(file), file))
        if self.run_config.resets_meters:
            self.state.patience.clear()
        keep_patience(self.state.patience)
        apply_to_training()
        if self.cfg.probe:
            self._prepare_probe()

    def _prepare_probe(self) -> None:
        """Let a linear layer be solved in place of the training."""
        check_task_options(self.cfg)
        self.run_config.prepare_solving()
        split = self.run_config.selecting_split
        self.solver = Probe(
            parse_strengths(self.cfg.probe_strengths),
            self.run_config.metric,
            lambda: self._build_dataset(TRAIN, for_training=False),
            None if split is None else lambda: self.dataset(split),
            self._record_probe,
            self.cfg.refit,
        )
        solve_in_place_of_training()

    def _record_probe(self, description: dict[str, Any], has_seen_selecting_split: bool) -> None:
        self.state.probe.update(description)
        split = self.run_config.selecting_split
        if has_seen_selecting_split and split is not None:
            seen = stored_provenance(self.state.state_dict, "the training")
            assert seen is not None
            self.state.provenance.update(seen.merged(self.data.provenance(split)).to_state())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of a checkpoint.

        Raises:
            UsageError: the checkpoint is of another task, or was trained on other labels or
                features, or ``--num-classes`` does not fit it.
        """
        loaded = TaskState.from_state(self.cfg, state_dict)
        fitted = getattr(self, "task_state", None)
        if fitted is not None:
            if fitted.labels != loaded.labels:
                raise UsageError(
                    f"the checkpoint predicts {', '.join(loaded.labels)}, but {self.data.folder} "
                    f"has {', '.join(fitted.labels)}; start afresh with another --save-dir",
                    "checkpoint-labels-other",
                )
            check_same_encoders(loaded.encoders, fitted.encoders)
        super().load_state_dict(state_dict)
        self.task_state = loaded
        self._loaded = state_dict if isinstance(state_dict, LoadedState) else None
        self.data.set_encoders(loaded.encoders)
        self.data.set_trained_vocabularies(loaded.vocabularies)
        check_same_features(loaded.encoders, self.data.folder, loaded.feature_contents)
        if fitted is not None and fitted.frame_statistics != loaded.frame_statistics:
            # fairseq loads the valid splits before the checkpoint: bring them to its statistics.
            logger.warning("statistics of frames are the checkpoint's, not those of --data")
            self._reload_datasets()

    def accept(self, option: str, file: str | Path, provenance: Provenance | None) -> None:
        """Accept what was made from other rows into this training, and record these rows.

        Args:
            option: that names it.
            file: the file.
            provenance: what it was made from; None where nothing records that.

        Raises:
            UsageError: it has seen rows that are held out here, and ``--allow-leak`` is not given.
        """
        self.data.guard.check(option, file, provenance)
        record = training_provenance(self.data, self.run_config.selecting_split)
        self.state.provenance.update(record.to_state())

    def provenance(self) -> Provenance | None:
        """Return what the model was made from; None of a checkpoint that does not record it."""
        return stored_provenance(self.state.state_dict, "the checkpoint")

    def _record_of_predictions(self) -> Provenance | None:
        return self.scoring_guard.record(self.provenance(), self.task_state.transductive_note)

    def _head_of_loaded(self) -> str:
        return "" if self._loaded is None else self._loaded.head

    # -- data --------------------------------------------------------------------------------------

    def load_dataset(self, split: str, combine: bool = False, **kwargs: Any) -> None:
        self.datasets[split] = self._build_dataset(split, self.is_training and split == TRAIN)

    def _build_dataset(self, name: str, for_training: bool) -> EmotionDataset | CurriculumDataset:
        split = self.data.split(name)
        if not self.is_training:
            self.scoring_guard.check(split, self.provenance(), self.task_state.fold)
        masked = masked_modalities(self.cfg.mask_modality, self.task_state.modalities)
        if masked and self._missing_warning and (warning := self._missing_warning(masked)):
            logger.warning("--mask-modality %s: %s", self.cfg.mask_modality, warning)
        annotators = auxiliary_annotators(self.auxiliary, self.data, self.is_training)
        if for_training:
            annotators |= self.annotators
        dataset, rows = self._dataset_builder().build(split, annotators, for_training)
        if not for_training:
            if (note := self.task_state.transductive_note) and name != TRAIN:
                logger.warning("%s: figures are transductive: %s", name, note)
            return dataset
        return order_for_training(
            dataset,
            split,
            rows,
            cfg=self.cfg,
            has_labels=self.target.has_labels,
            seed=self.run_config.seed,
            prototypes=lambda: self.class_prototypes,
            confidence=getattr(self, "confidence", None),
        )

    def _dataset_builder(self) -> DatasetBuilder:
        seed, frozen = self.run_config.seed, self.frozen
        return DatasetBuilder(self.cfg, self.data, self.task_state, seed, frozen, self.pretraining)

    def _reload_datasets(self) -> None:
        for split in list(self.datasets):
            self.load_dataset(split)

    def get_batch_iterator(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        # fairseq would drop the last utterances of a split whose number is no multiple of this.
        kwargs["required_batch_size_multiple"] = 1
        # It would also skip what --max-tokens has no room for, and cannot compare two sizes.
        kwargs["max_positions"] = None
        dataset.check_max_tokens(kwargs.get("max_tokens"))
        return super().get_batch_iterator(dataset, *args, **kwargs)

    def max_positions(self) -> None:
        """Nothing is too long: inputs are truncated, and no utterance is skipped for its length."""

    # -- model -------------------------------------------------------------------------------------

    def build_model(self, cfg: RobertaEMOConfig, from_checkpoint: bool = False) -> RobertaEMOModel:
        """Build the model of a new training, of a resumed one, or for scoring."""
        builder = ModelBuilder(
            self.cfg, self.run_config, self.task_state, super().build_model, self.accept
        )
        checkpoint = None if from_checkpoint else self.run_config.checkpoint_to_resume()
        if from_checkpoint:
            model, self.schedules = builder.build_for_scoring(cfg, self._loaded)
        elif checkpoint is not None:
            model, self.schedules = builder.build_resumed(cfg, checkpoint, self.state)
        else:
            model, self.schedules = builder.build_new(cfg, self.train_split())
        self.embedding_dim = model.embedding_dim
        self.model = model
        self.fusion = str(cfg.fusion)
        self._missing_warning = model.missing_warning
        self._read_outputs_of_frozen(model)
        if not from_checkpoint and checkpoint is None:
            self._standardize(model)
        self.confidence = ModelConfidence(
            model,
            self.target.kind,
            self.state,
            lambda: self._build_dataset(TRAIN, for_training=False),
        )
        self.final_dropout = FinalDropout(
            model.dropouts(),
            self.cfg.curriculum_final_dropout,
            self.cfg.curriculum_epochs,
        )
        return model

    def _read_outputs_of_frozen(self, model: RobertaEMOModel) -> None:
        """Let datasets read the outputs of frozen encoders, while these keep their weights."""
        encoders, on_cpu = self.task_state.encoders, self.run_config.on_cpu
        self.frozen = frozen = FrozenEncoders.of(self.cfg, model, encoders, on_cpu)
        for encoder in frozen.encoders.values():
            encoder.keeps_precision = True

        def reload(*_: Any) -> None:
            # fairseq loads the valid splits before the checkpoint.
            if self.frozen is not None and self.frozen.have_changed():
                self._reload_datasets()

        model.register_load_state_dict_post_hook(reload)

    def _standardize(self, model: RobertaEMOModel) -> None:
        """Fit on the train split what standardizes the vectors of a new model."""
        builder, train = self._dataset_builder(), self.train_split()
        standardize_encoders(model, lambda name: builder.stored_outputs(train, name))
        standardize_fused(
            model,
            lambda: self._build_dataset(TRAIN, for_training=False),
            encoding_device(self.run_config.on_cpu),
        )

    # -- criterion ---------------------------------------------------------------------------------

    def build_criterion(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        schema = CRITERION_DATACLASS_REGISTRY.get(getattr(cfg, "_name", None))
        context = OptionContext(self.task_state.encoders, self.cfg, self.target, criterion=cfg)
        if self.is_training and schema is not None:
            check_options(context, cfg, schema)
            if self.cfg.probe:
                check_criterion_options(cfg, schema)
        criterion = super().build_criterion(cfg, from_checkpoint)
        if self.is_training:
            by_difficulty = str(self.cfg.curriculum_order) in BY_DIFFICULTY
            # An attribute of the state that is read is also saved, so it is not read as such.
            prototypes = self.state.state_dict.get("prototypes")
            takes_prototypes = by_difficulty or bool(prototypes)
            context = replace(context, takes_prototypes=takes_prototypes)
            check_options(context, self.cfg, EmotionPredictionConfig)
        if self.is_training and isinstance(criterion, EmotionCriterion):
            self._check_metric(criterion)
        return criterion

    def _check_metric(self, criterion: EmotionCriterion) -> None:
        """Refuse a ``--best-checkpoint-metric`` that is not measured, or undefined on its split."""
        auxiliary = self.task_state.auxiliary_labels
        names = metric_names(criterion.empty_statistics(), self.labels, auxiliary)
        self.run_config.check_metric(["loss", *names], self.task_state.modalities)
        split = self.run_config.selecting_split
        if split is None:
            return
        metric = self.run_config.metric
        if why := undefined_because(self.task_state, self.data, metric, split):
            raise UsageError(
                f"--best-checkpoint-metric {metric}: {why}, so that it is undefined and would keep "
                "no checkpoint_best.pt; choose another metric, or give the split such rows",
                "metric-undefined",
            )

    def describe_undefined(self, metric: str) -> str:
        """Return why a metric was undefined in a validation; for emo_fairseq.compat."""
        split = self.run_config.selecting_split or "valid"
        return describe_undefined(self.task_state, self.data, metric, split)

    # -- what criterions use: emo_fairseq.criterions.task_protocol ---------------------------------

    @property
    def target(self) -> Target:
        return self.task_state.target

    @property
    def labels(self) -> list[str]:
        return self.task_state.labels

    @property
    def class_counts(self) -> list[int]:
        return self.task_state.class_counts or []

    @property
    def n_outputs(self) -> int:
        return self.task_state.n_outputs

    @property
    def auxiliary(self) -> dict[str, LabeledTarget]:
        return self.task_state.auxiliary

    @property
    def keeps_predictions(self) -> bool:
        return bool(self.cfg.save_predictions)

    @property
    def keeps_embeddings(self) -> bool:
        return bool(self.cfg.save_embeddings) or (self.is_training and bool(self.loggers))

    @property
    def max_update(self) -> int:
        return self.run_config.max_update

    @property
    def rows_of_a_step(self) -> int | None:
        if self.task_state.options.has_dialogue_encoder:
            return None  # a batch may be a window that is larger
        return self.run_config.rows_of_a_step

    @property
    def embedding_queue(self) -> list[Tensor]:
        return self.state.embedding_queue

    @property
    def data_folder(self) -> Path:
        return self.data.folder

    @functools.cached_property
    def class_prototypes(self) -> ClassPrototypes:
        target = target_of_classes(self.target)
        names = self.labels if self.target.has_labels else fit_labels(self.data, target)
        classes = Classes(target, names)
        return ClassPrototypes(self.cfg, self.data.folder, self.state, classes, self.accept)

    def class_difficulties(self) -> Tensor:
        if self.is_training:
            self.class_prototypes.require("--class-weighting difficulty")
            return self.class_prototypes.class_means(self.train_split())
        return self.state.prototypes["class_means"]

    def train_split(self) -> Split:
        return self.data.split(TRAIN)

    def annotate(self, name: str, annotate: Annotate) -> None:
        self.annotators[name] = annotate

    def read_two_views(self) -> None:
        check_pretraining(self.cfg)
        self.pretraining.has_two_views = True
        if self.is_training and not augments_inputs(self.cfg):
            logger.warning(
                "there is no --augment-…: the two views of an utterance differ by dropout alone"
            )

    def mask_text(self, share: float) -> None:
        check_pretraining(self.cfg)
        check_masks_text(self.model.encoders, self.task_state)
        self.pretraining.masked_share = share

    def token_embedding(self, modality: str) -> tuple[nn.Embedding, int]:
        encoder = self.model.encoders[modality]
        return encoder.backbone.token_embedding(), encoder.embed_dim

    def teacher_from_predictions(self, path: str) -> Provide:
        student = LabeledTarget(self.target, self.labels)
        return teacher_from_predictions(path, student, self.accept)

    def teacher_from_checkpoint(self, path: str, data: str | None) -> Provide:
        overrides = {"data": data or self.cfg.data}
        for name in ("data_raw", "video_raw") if data is None else ():
            if (folder := getattr(self.cfg, name)) is not None:
                overrides[name] = folder
        student = LabeledTarget(self.target, self.labels)
        device = encoding_device(self.run_config.on_cpu)
        return teacher_from_checkpoint(path, overrides, student, self.accept, device)

    # -- steps -------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int, model: RobertaEMOModel) -> None:
        super().begin_epoch(epoch, model)
        if not self._has_written_config:
            self.run_config.write()
            self._has_written_config = True
        if str(self.cfg.curriculum_order) != NONE:
            self.final_dropout.begin_epoch(epoch)

    def train_step(
        self,
        sample: dict[str, Any],
        model: RobertaEMOModel,
        criterion: Any,
        optimizer: Any,
        update_num: int,
        ignore_grad: bool = False,
    ) -> Any:
        for schedule in self.schedules:
            schedule.set_num_updates(update_num)
        sample = {**sample, "update": update_num, "is_ignored": ignore_grad}
        return super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)

    def valid_step(self, sample: dict[str, Any], model: RobertaEMOModel, criterion: Any) -> Any:
        if not sample:  # fairseq-validate on several ranks: this one has no batch left
            return 0.0, 0, {}
        self._scored_split = str(sample["split"])
        loss, sample_size, logging_output = super().valid_step(sample, model, criterion)
        if self.is_training:  # what ranks sum must be numbers
            self.loggers.update(logging_output.pop("embeddings", []))
        ids = [name for name in sample["utterance_id"] if name in self.files.attention_ids]
        if ids:
            dataset = self.dataset(sample["split"])
            masked = masked_modalities(self.cfg.mask_modality, self.task_state.modalities)
            attended = attend(model, dataset, ids, self.data, self.task_state, masked)
            logging_output["attention"] = attended
        return loss, sample_size, logging_output

    def post_validate(self, model: RobertaEMOModel, stats: Any, aggregated: Any) -> None:
        """Log to boards; fairseq-train calls this after every validation."""
        if self.loggers:
            counts, step = None, int(stats["num_updates"])
            if CONFUSION in aggregated:
                counts = aggregated[CONFUSION].sum.cpu().numpy()
            self.loggers.log(counts, self.labels, step)
            self.loggers.log_metrics(self._scored_split, self.data.corpus, stats, step)

    def reduce_metrics(self, logging_outputs: Sequence[dict[str, Any]], criterion: Any) -> None:
        super().reduce_metrics(logging_outputs, criterion)
        auxiliary = self.task_state.auxiliary_labels
        log_metrics(logging_outputs, self.labels, auxiliary)
        if self.loggers and not self.is_training:
            values = metric_values(logging_outputs, self.labels, auxiliary)
            self.loggers.log_metrics(self._scored_split, self.data.corpus, values, 0)
        # fairseq-validate calls this once a subset, on every rank with the outputs of all ranks.
        if not self.is_training:
            refuse_undefined_loss(logging_outputs)
        n_rows = {split: len(dataset) for split, dataset in self.datasets.items()}
        self.files.add(logging_outputs, n_rows)
