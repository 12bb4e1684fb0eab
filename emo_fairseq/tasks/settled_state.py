"""What a task knows of its data, settled by the train split and carried by every checkpoint."""

import functools
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.tasks import FairseqTask
from omegaconf import open_dict

from data_prep.manifest.provenance import (
    SELECTED,
    Provenance,
)
from emo_fairseq.compat.checkpoints import LoadedState
from emo_fairseq.compat.early_stop import keep_patience
from emo_fairseq.compat.kept_checkpoints import report_what_is_kept
from emo_fairseq.compat.size_limits import build_within
from emo_fairseq.data.augmentation import check_augmentation
from emo_fairseq.data.data_dir import (
    TRAIN,
    DataDir,
)
from emo_fairseq.data.fit import (
    check_training_labels,
    fit_class_counts,
    fit_frame_statistics,
    fit_labels,
    fit_vocabularies,
)
from emo_fairseq.data.frames import FrameStatistics
from emo_fairseq.data.leaks import OPTION as ALLOW_LEAK
from emo_fairseq.data.leaks import (
    HeldOut,
    describe_leak,
    warn_unknown,
)
from emo_fairseq.data.manifest import Split
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.options import legacy_flags
from emo_fairseq.options.checking import check_options
from emo_fairseq.options.conditions import OptionContext
from emo_fairseq.pretrained.vocabulary_check import check_knows
from emo_fairseq.task_state import TaskState
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.tasks.encoder_cache import FrozenEncoders
from emo_fairseq.tasks.encoders import (
    check_same_encoders,
    check_same_features,
    describe_encoders,
    feature_contents,
)
from emo_fairseq.tasks.loggers import Boards
from emo_fairseq.tasks.resume import (
    changing_state,
    check_same_data,
    read_state,
    stored_provenance,
)
from emo_fairseq.tasks.run_config import Surroundings
from emo_fairseq.tasks.saving import Saved
from emo_fairseq.tasks.undefined_metric import describe_undefined, undefined_because
from emo_fairseq.types import (
    LabeledTarget,
    auxiliary_targets,
)

logger = logging.getLogger(__name__)

_ANOTHER = "take another checkpoint"

# What every checkpoint holds, beside the class counts of targets that have classes.
_SETTLED = (
    *("encoders", "labels", "vocabulary", "frame_statistics"),
    *("auxiliary_labels", "corpus", "fold", "feature_contents", "provenance"),
)


class SettledState(FairseqTask):
    """Labels, class counts, vocabularies, encoders and statistics, settled once.

    They come from the train split when a training starts, and from the checkpoint ever after; see
    :mod:`emo_fairseq.data.fit`.
    """

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        with open_dict(cfg):
            # fairseq's own switch: the same iterator draws new batches for every epoch.
            cfg.rebuild_batches = True
        self.surroundings = Surroundings(cfg)
        self.modalities = legacy_flags.modalities(cfg)
        self.target = legacy_flags.target(cfg)
        self.source = source = self.open_source()
        self.trains = False  # until setup_task says so
        self.size_bound: AbstractContextManager[None] = nullcontext()
        self.frozen: FrozenEncoders | None = None
        self.annotators: dict[str, Callable[[Split], np.ndarray]] = {}
        self.saved = Saved(cfg, self.scored_provenance)
        self.boards = Boards(*self.surroundings.boards())
        self.leaks: tuple[str, ...] = ()  # of what is scored
        self.describe_missing: Callable[[Collection[str]], str] | None = None  # of the model
        add = self.state.add_factory
        add("encoders", lambda: describe_encoders(source, self._resumed.get("encoders", {})))
        add("labels", lambda: fit_labels(source, self.target))
        add("class_counts", lambda: fit_class_counts(source, self.target, self.labels))
        add("vocabulary", lambda: fit_vocabularies(source))
        add("frame_statistics", lambda: fit_frame_statistics(source))
        add("auxiliary_labels", self._read_auxiliary_labels)
        add("feature_contents", lambda: feature_contents(source))
        for name, factory in changing_state(cfg).items():
            add(name, factory)
        add("provenance", lambda: self._trained_on().to_state())

    def open_source(self) -> DataDir:
        """Where the input comes from; a task that only predicts has no data dir to open."""
        return DataDir(self.cfg, self.modalities)

    def settle_state(self) -> None:
        """Read from the encoders and the training data whatever a checkpoint must carry."""
        self.surroundings.check_ranks()
        self.surroundings.check_wandb()
        self.surroundings.check_subsets(TRAIN)
        self.surroundings.resume_from_newest()
        check_options(self.option_context(), self.cfg, EmotionPredictionConfig)
        check_augmentation(self.cfg)
        self.source.set_encoders(self.encoder_cards())
        self.target.check_num_classes(self.cfg.num_classes, self.labels)
        if self.target.has_labels:
            logger.info("class counts: %s", dict(zip(self.labels, self.class_counts, strict=True)))
            check_training_labels(self.source, self.target, self.labels, self.class_counts)
        check_knows(self.encoder_cards(), self.vocabularies())
        for name in _SETTLED:
            getattr(self.state, name)  # made where it is asked for, and saved where it is made
        if self._resumed and self.surroundings.resumes_training():
            check_same_data(self._resumed, self.state.state_dict, self.source.folder)
            self.load_state_dict(self._resumed)
        for option, file in self.surroundings.weights_to_take().items():
            state = self._resumed or read_state(file)
            self.take(option, file, stored_provenance(state, file))
        if self.surroundings.resets_meters():
            self.state.patience.clear()
        keep_patience(self.state.patience)
        report_what_is_kept()

    def option_context(self, **known: Any) -> OptionContext:
        """Return what decides which options act.

        Args:
            known: attributes of the context beside those of the task.
        """
        return OptionContext(self.encoder_cards(), self.cfg, self.target, **known)

    def take(self, option: str, place: str | Path, provenance: Provenance | None) -> None:
        """Let what was made from other rows into this training, and keep the record of them.

        Args:
            option: that names it.
            place: the file.
            provenance: what it was made from; None where nothing records that.

        Raises:
            UsageError: it has seen rows that are held out here, and ``--allow-leak`` is not given.
        """
        self.source.guard.check(option, place, provenance)
        self.state.provenance.update(self._trained_on().to_state())

    def provenance(self) -> Provenance | None:
        """What the model was made from; None of a checkpoint that does not record it."""
        return stored_provenance(self.state.state_dict, "the checkpoint")

    def scored_provenance(self) -> Provenance | None:
        """The same, and the leaks that ``--allow-leak`` has let pass in scoring."""
        known = self.provenance()
        return None if known is None else known.merged(Provenance(allowed=self.leaks))

    def check_scored(self, split: Split) -> None:
        """Refuse to score a model on rows that it was trained on, but for the train split.

        Raises:
            UsageError: it was, and ``--allow-leak`` is not given.
        """
        if split.name == TRAIN:
            return
        known = self.provenance()
        if known is None:
            warn_unknown("the checkpoint", logger.warning)
            return
        rows = HeldOut({split.name: split.utterances}, self.source.corpus, self.cfg.fold)
        if not (leak := describe_leak(rows, known)):
            return
        if not getattr(self.cfg, "allow_leak", False):
            trained = self.state.state_dict.get("fold")
            raise UsageError(
                f"--valid-subset {split.name}: the model {leak}, so figures on them would be worth "
                f"nothing; score rows that it has not seen{f' (--fold {trained})' * bool(trained)}"
                f", or add {ALLOW_LEAK}, which every table made from the predictions will show"
            )
        logger.warning("--valid-subset %s: the model %s; allowed", split.name, leak)
        self.leaks = (*dict.fromkeys((*self.leaks, f"the model {leak}")),)

    def check_metric_is_defined(self) -> None:
        """Refuse to choose a checkpoint by what the truth of the valid split leaves undefined.

        Raises:
            UsageError: names the class or the axis.
        """
        chooses = self.surroundings.choosing_split()
        if chooses is None:
            return
        metric = self.surroundings.metric()
        if why := undefined_because(self, metric, chooses):
            raise UsageError(
                f"--best-checkpoint-metric {metric}: {why}, so that it is undefined and would keep "
                "no checkpoint_best.pt; choose another metric, or give the split such rows"
            )

    def describe_undefined(self, metric: str) -> str:
        """Why a metric was undefined in a validation."""
        return describe_undefined(self, metric, self.surroundings.choosing_split() or "valid")

    def missing_warning(self, missing: Collection[str]) -> str:
        """What a user has to know of answers without these modalities; empty where nothing."""
        return "" if self.describe_missing is None else self.describe_missing(missing)

    def _trained_on(self) -> Provenance:
        """The record of this training's own rows, and of all that it was given."""
        own = self.source.provenance(TRAIN)
        if chooses := self.surroundings.choosing_split():
            own = own.merged(self.source.provenance(chooses, SELECTED))
        return own.merged(self.source.guard.accepted)

    @functools.cached_property
    def _resumed(self) -> dict[str, Any]:
        """The state in the checkpoint that this training goes on from; empty if there is none."""
        checkpoint = self.surroundings.checkpoint_to_resume()
        return {} if checkpoint is None else read_state(checkpoint)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a checkpoint's state.

        Raises:
            UsageError: the checkpoint is of another task, or was trained on other labels or
                features, or ``--num-classes`` does not fit it.
        """
        if isinstance(state_dict, LoadedState):  # the model of this checkpoint is built next
            self.size_bound = build_within(state_dict.stored, state_dict.file, _ANOTHER)
        if "labels" not in state_dict:
            raise UsageError("the checkpoint is not of the task emotion_prediction")
        settled = self.state.state_dict.get("labels")
        if settled is not None and settled != state_dict["labels"]:
            raise UsageError(
                f"the checkpoint knows {', '.join(state_dict['labels'])}, but {self.source.folder} "
                f"has {', '.join(settled)}; start afresh with another --save-dir"
            )
        check_same_encoders(
            state_dict.get("encoders", {}), self.state.state_dict.get("encoders", {})
        )
        fitted = self.state.state_dict.get("frame_statistics")
        super().load_state_dict(state_dict)
        self.source.set_encoders(self.encoder_cards())
        if isinstance(self.source, DataDir):
            contents = state_dict.get("feature_contents", {})
            check_same_features(self.encoder_cards(), self.source.folder, contents)
        if fitted is not None and fitted != self.state.frame_statistics:
            # fairseq loads the valid splits before the checkpoint: bring them to its statistics.
            logger.warning("statistics of frames are the checkpoint's, not those of --data")
            self._load_datasets_again()
        self.target.check_num_classes(self.cfg.num_classes, self.labels)

    @property
    def task_state(self) -> TaskState:
        """What the model reads and predicts; all that an inference needs of a task."""
        return TaskState.from_state(self.cfg, self.state.state_dict)

    @property
    def labels(self) -> list[str]:
        """Label names in the order of the class ids, or the names of the axes."""
        return self.state.labels

    @property
    def class_counts(self) -> list[int]:
        """How often each label occurs in the train split."""
        return self.state.class_counts

    @property
    def auxiliary(self) -> dict[str, LabeledTarget]:
        """What is predicted beside the primary target, by name."""
        targets = auxiliary_targets(self.cfg.auxiliary_targets, self.target)
        labels = self.state.auxiliary_labels
        return {target.name: LabeledTarget(target, labels[target.name]) for target in targets}

    @property
    def auxiliary_labels(self) -> dict[str, Sequence[str]]:
        """Names of the labels or axes of each of these."""
        return {name: other.labels for name, other in self.auxiliary.items()}

    @property
    def keeps_embeddings(self) -> bool:
        """Whether scoring hands on the vectors before the head: to a file, or to boards."""
        return bool(self.cfg.save_embeddings) or (self.trains and self.boards.are_there)

    def _read_auxiliary_labels(self) -> dict[str, list[str]]:
        targets = auxiliary_targets(self.cfg.auxiliary_targets, self.target)
        return {target.name: fit_labels(self.source, target) for target in targets}

    @property
    def n_outputs(self) -> int:
        """Width of the model's output."""
        return self.target.n_outputs(len(self.labels))

    def vocabularies(self) -> dict[str, Vocabulary]:
        """For each modality read as tokens the vocabulary that the model knows."""
        return {n: Vocabulary.from_state(state) for n, state in self.state.vocabulary.items()}

    def frame_statistics(self, modality: str) -> FrameStatistics | None:
        """Of the train split, if the modality is read as frames."""
        fitted = self.state.frame_statistics.get(modality)
        return None if fitted is None else FrameStatistics(**fitted)

    def encoder_cards(self) -> dict[str, EncoderSpec]:
        """For each modality which encoder reads it."""
        return {name: EncoderSpec(**state) for name, state in self.state.encoders.items()}

    def _load_datasets_again(self) -> None:
        for split in list(self.datasets):
            self.load_dataset(split)
