"""Criterion ``emotion_supcon``: the primary loss and a contrastive one, weighted by prototypes."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Optional

import numpy as np
from fairseq.criterions import register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.any_target import AnyTargetConfig, primary_loss
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.terms.contrastive import (
    LABELS,
    SCHEDULES,
    Contrastive,
    Strength,
    Weighting,
)
from emo_fairseq.criterions.terms.difficulty import EMA, FIXED, LEARNING, Difficulty
from emo_fairseq.criterions.terms.options import TermsConfig, build_terms
from emo_fairseq.criterions.terms.queue import EmbeddingQueue
from emo_fairseq.criterions.terms.term import Term, TrainingBatch
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.projection_head import ProjectionHead

logger = logging.getLogger(__name__)

SUPERVISED, V3 = "supervised", "v3"


@dataclass
class ContrastiveConfig(FairseqDataclass):
    """Which embeddings are drawn together, and how much."""

    supcon_weight: float = field(
        default=0.5, metadata={"help": "lambda: weight of the contrastive loss"}
    )
    supcon_warmup_updates: int = field(
        default=0, metadata={"help": "updates in which lambda grows from 0"}
    )
    supcon_schedule: ChoiceEnum(list(SCHEDULES)) = field(  # type: ignore[valid-type]
        default="constant", metadata={"help": "how lambda falls to 0 after that, by --max-update"}
    )
    supcon_temperature: float = field(
        default=0.07, metadata={"help": "tau: cosines are divided by it"}
    )
    supcon_weighting: ChoiceEnum(list(losses.WEIGHTINGS)) = field(  # type: ignore[valid-type]
        default=SUPERVISED,
        metadata={"help": "how the distance to the prototype of its class weighs an utterance"},
    )
    supcon_projection_dim: int = field(
        default=0, metadata={"help": "width of a projection head before the loss (0: none)"}
    )
    supcon_queue: int = field(
        default=0, metadata={"help": "rows of earlier batches that are contrasted with, too"}
    )
    prototype_alpha: float = field(
        default=1.0, metadata={"help": "v1: an anchor at distance d weighs exp(-alpha d)"}
    )
    prototype_beta: float = field(
        default=0.5, metadata={"help": "v2: a pair weighs exp(-beta (d_i + d_p))"}
    )
    prototype_threshold: Optional[float] = field(
        default=None, metadata={"help": "v3: anchors beyond this distance weigh 0.1"}
    )
    prototype_quantile: float = field(
        default=0.5,
        metadata={"help": "v3: that distance as a quantile of the train split, if not given"},
    )
    prototype_learning: ChoiceEnum(list(LEARNING)) = field(  # type: ignore[valid-type]
        default=FIXED,
        metadata={"help": "ema: prototypes follow the batches' class means; trained: by gradient"},
    )
    prototype_momentum: float = field(
        default=0.99, metadata={"help": "of --prototype-learning ema"}
    )


@dataclass
class EmotionSupConConfig(ContrastiveConfig, AnyTargetConfig, TermsConfig):
    """The primary loss, the contrastive one, and what is added to them."""


@register_criterion("emotion_supcon", dataclass=EmotionSupConConfig)
class EmotionSupConCriterion(EmotionCriterion):
    """Primary loss + lambda x :func:`emo_fairseq.losses.supervised_contrastive`."""

    def __init__(self, cfg: EmotionSupConConfig, task: Any) -> None:
        terms: list[Term] = []
        if getattr(task, "trains", False):
            terms = [_contrastive(cfg, task)]
        super().__init__(task, primary_loss(cfg, task), [*terms, *build_terms(cfg, task)])


def _contrastive(cfg: Any, task: Any) -> Contrastive:
    _check_ranges(cfg)
    weighting = str(cfg.supcon_weighting)
    _check_idle(cfg, weighting)
    _check_schedule(cfg, task)
    _check_positives(cfg, task)
    difficulty = None
    if weighting != SUPERVISED or task.class_prototypes.are_there():
        option = f"--supcon-weighting {weighting}"
        task.class_prototypes.require(option)
        if weighting != SUPERVISED:
            task.class_prototypes.check_measured(task.train_split(), option)
        difficulty = Difficulty(task, str(cfg.prototype_learning), cfg.prototype_momentum)
    threshold = cfg.prototype_threshold
    if threshold is None:
        quantile = cfg.prototype_quantile
        threshold = math.inf
        if weighting == V3:
            threshold = task.class_prototypes.quantile(task.train_split(), quantile)
            logger.info("v3: anchors at a distance of %.4f or more weigh 0.1", threshold)
    projection = None
    if cfg.supcon_projection_dim:
        width = task.embedding_dim
        projection = ProjectionHead(width, width, cfg.supcon_projection_dim)
    return Contrastive(
        Strength(
            cfg.supcon_weight,
            cfg.supcon_warmup_updates,
            str(cfg.supcon_schedule),
            task.surroundings.max_update(),
        ),
        Weighting(weighting, cfg.prototype_alpha, cfg.prototype_beta, threshold),
        cfg.supcon_temperature,
        _labels_of(task),
        projection,
        difficulty,
        EmbeddingQueue(task, cfg.supcon_queue) if cfg.supcon_queue else None,
    )


def _labels_of(task: Any) -> Any:
    """How a batch's classes are read: the truth itself, or the emotion beside a number."""
    if task.target.has_labels:
        return _truth
    task.annotate(LABELS, task.class_prototypes.classes.ids)
    return _emotion


def _truth(batch: TrainingBatch) -> Tensor:
    return batch.sample["target"]


def _emotion(batch: TrainingBatch) -> Tensor:
    return batch.annotations[LABELS]


def _check_positives(cfg: Any, task: Any) -> None:
    """Raise a `UsageError` if no anchor can ever have a positive."""
    rows = task.surroundings.rows_of_a_step()
    if rows == 1 and not cfg.supcon_queue:
        raise UsageError(
            "--criterion emotion_supcon with --batch-size 1 on one rank: no utterance has another "
            "one of its class beside it; give a larger --batch-size, or --supcon-queue"
        )
    try:
        classes = task.class_prototypes.classes
    except UsageError as error:
        raise UsageError(
            f"--criterion emotion_supcon with --target {task.target.name} draws utterances of one "
            f"emotion together, and {task.source.folder}/corpus.yaml names no emotion labels; list "
            "them there in order, under labels, or take --criterion emotion_regression"
        ) from error
    counts = np.bincount(classes.ids(task.train_split()) + 1, minlength=2)[1:]  # -1 = missing
    if counts.max() < 2:
        raise UsageError(
            f"--criterion emotion_supcon: no {classes.column} occurs twice in the train split"
        )


def _check_schedule(cfg: Any, task: Any) -> None:
    """Raise a `UsageError` if lambda is to fall to 0 at an update that is not known."""
    schedule, total = str(cfg.supcon_schedule), task.surroundings.max_update()
    if schedule != "constant" and total <= cfg.supcon_warmup_updates:
        raise UsageError(
            f"--supcon-schedule {schedule} ends at --max-update, which is {total}; give one above "
            f"--supcon-warmup-updates {cfg.supcon_warmup_updates}"
        )


def _check_ranges(cfg: Any) -> None:
    """Raise a `UsageError` for a number that cannot be."""
    for name, (is_right, needed) in _RANGES.items():
        value = getattr(cfg, name)
        if value is not None and not is_right(value):
            raise UsageError(f"--{_flag(name)} {value}: give {needed}")


_NOT_NEGATIVE = (lambda value: 0 <= value < math.inf, "0 or more")

_RANGES: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "supcon_weight": _NOT_NEGATIVE,
    "supcon_warmup_updates": _NOT_NEGATIVE,
    "supcon_temperature": (lambda value: 0.01 <= value < math.inf, "0.01 or more"),
    "supcon_projection_dim": _NOT_NEGATIVE,
    "supcon_queue": _NOT_NEGATIVE,
    "prototype_alpha": _NOT_NEGATIVE,
    "prototype_beta": _NOT_NEGATIVE,
    "prototype_threshold": (lambda value: value > 0, "more than 0"),
    "prototype_quantile": (lambda value: 0 < value < 1, "more than 0, and less than 1"),
    "prototype_momentum": (lambda value: 0 <= value < 1, "0 or more, and less than 1"),
}

_ACTS_FOR = {
    "prototype_alpha": ("v1",),
    "prototype_beta": ("v2", "v2_original"),
    "prototype_threshold": ("v3",),
    "prototype_quantile": ("v3",),
    "prototype_learning": ("v1", "v2", "v2_original", "v3"),
}


def _check_idle(cfg: Any, weighting: str) -> None:
    """Raise a `UsageError` for an option that would do nothing."""
    defaults = {one.name: one.default for one in fields(ContrastiveConfig)}
    for name, weightings in _ACTS_FOR.items():
        given = getattr(cfg, name)
        if defaults[name] not in (given, str(given)) and weighting not in weightings:
            raise UsageError(
                f"--{_flag(name)} does not act: it belongs to --supcon-weighting "
                f"{' or '.join(weightings)}; leave it out"
            )
    if (
        cfg.prototype_threshold is not None
        and cfg.prototype_quantile != defaults["prototype_quantile"]
    ):
        raise UsageError(
            "--prototype-quantile does not act beside --prototype-threshold; leave one of the two "
            "out"
        )
    if (
        cfg.prototype_momentum != defaults["prototype_momentum"]
        and str(cfg.prototype_learning) != EMA
    ):
        raise UsageError(
            "--prototype-momentum does not act: it belongs to --prototype-learning ema; leave it "
            "out"
        )


def _flag(name: str) -> str:
    return name.replace("_", "-")
