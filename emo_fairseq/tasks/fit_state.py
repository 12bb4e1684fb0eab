"""Fit the state of a task on the train split, when a training starts."""

import logging
from collections.abc import Mapping
from typing import Any

from emo_fairseq.data.augmentation import check_augmentation
from emo_fairseq.data.data_dir import DataDir
from emo_fairseq.data.fit import (
    check_training_labels,
    fit_auxiliary_labels,
    fit_class_counts,
    fit_frame_statistics,
    fit_labels,
    fit_vocabularies,
)
from emo_fairseq.data.manifest import read_corpus_file
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.options import legacy_flags
from emo_fairseq.options.checking import check_options
from emo_fairseq.options.conditions import OptionContext
from emo_fairseq.pretrained.vocabulary_check import check_knows
from emo_fairseq.targets import auxiliary_targets
from emo_fairseq.task_state import TaskState
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.tasks.encoders import describe_encoders, feature_contents
from emo_fairseq.tasks.provenance import training_provenance

logger = logging.getLogger(__name__)


def fit_task_state(
    cfg: EmotionPredictionConfig,
    data: DataDir,
    known_encoders: Mapping[str, dict[str, Any]],
    selecting_split: str | None,
) -> TaskState:
    """Fit all that a checkpoint carries of the data and the encoders.

    Options are checked as soon as the encoders are known, before any row is read.

    Args:
        cfg: options of the task.
        data: the data dir.
        known_encoders: those of the checkpoint that is resumed, whose pretrained files may be gone.
        selecting_split: by which the training selects its checkpoint; None without.

    Raises:
        UsageError: options that do not act or do not fit the data, or data that cannot be used.
    """
    target = legacy_flags.target(cfg)
    encoders = describe_encoders(data, known_encoders)
    specs = {name: EncoderSpec(**spec) for name, spec in encoders.items()}
    check_options(OptionContext(specs, cfg, target), cfg, EmotionPredictionConfig)
    check_augmentation(cfg)
    data.set_encoders(specs)
    state: dict[str, Any] = {"encoders": encoders, "labels": fit_labels(data, target)}
    target.check_num_classes(cfg.num_classes, state["labels"])
    if target.has_labels:
        counts = fit_class_counts(data, target, state["labels"])
        logger.info("class counts: %s", dict(zip(state["labels"], counts, strict=True)))
        check_training_labels(data, target, state["labels"], counts)
        state["class_counts"] = counts
    state["vocabulary"] = fit_vocabularies(data)
    corpus = read_corpus_file(data.folder)
    auxiliary = auxiliary_targets(cfg.auxiliary_targets, target)
    loaded = TaskState.from_state(cfg, state)
    check_knows(loaded.encoders, loaded.vocabularies)
    state |= {
        "frame_statistics": fit_frame_statistics(data),
        "normalize_by": str(cfg.normalize_by),
        "auxiliary_labels": {other.name: fit_auxiliary_labels(data, other) for other in auxiliary},
        "corpus": None if corpus is None else corpus.name,
        "fold": cfg.fold,
        "feature_contents": feature_contents(data),
        # Last: it records the tokenizers that were accepted with the vocabularies.
        "provenance": training_provenance(data, selecting_split).to_state(),
    }
    return TaskState.from_state(cfg, state)
