"""Criterion ``emotion_supcon``: the primary loss and a contrastive one, weighted by prototypes."""

import logging
import math
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from fairseq.criterions import register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.any_target import AnyTargetConfig, primary_loss
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.task_protocol import EmotionTask
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
from emo_fairseq.modules.heads import ProjectionHead
from emo_fairseq.options.conditions import Condition, is_none_of
from emo_fairseq.options.option import NOT_NEGATIVE, POSITIVE, PROBABILITY, Range, option

logger = logging.getLogger(__name__)

SUPERVISED, V3 = "supervised", "v3"


def _has_weighting(*names: str) -> Condition:
    return Condition(
        lambda context: str(context.criterion.supcon_weighting) in names,
        is_none_of("--supcon-weighting", names),
        needs="criterion",
    )


_HAS_NO_THRESHOLD = Condition(
    lambda context: context.criterion.prototype_threshold is None,
    "--prototype-threshold is given",
    needs="criterion",
)
_IS_EMA = Condition(
    lambda context: str(context.criterion.prototype_learning) == EMA,
    "--prototype-learning is not ema",
    needs="criterion",
)


@dataclass
class ContrastiveConfig(FairseqDataclass):
    """Which embeddings are drawn together, and how much."""

    supcon_weight: float = option(
        0.5, "lambda: weight of the contrastive loss", within=NOT_NEGATIVE
    )
    supcon_warmup_updates: int = option(
        0, "updates in which lambda grows from 0", within=NOT_NEGATIVE
    )
    supcon_schedule: ChoiceEnum(list(SCHEDULES)) = option(  # type: ignore[valid-type]
        "constant", "how lambda falls to 0 after that, by --max-update"
    )
    supcon_temperature: float = option(0.07, "tau: cosines are divided by it", within=Range(0.01))
    supcon_weighting: ChoiceEnum(list(losses.WEIGHTINGS)) = option(  # type: ignore[valid-type]
        SUPERVISED, "how the distance to the prototype of its class weights an utterance"
    )
    supcon_projection_dim: int = option(
        0, "width of a projection head before the loss (0: none)", within=NOT_NEGATIVE
    )
    supcon_queue: int = option(
        0, "rows of earlier batches that are contrasted with, too", within=NOT_NEGATIVE
    )
    prototype_alpha: float = option(
        1.0,
        "v1: the weight of an anchor at distance d is exp(-alpha d)",
        within=NOT_NEGATIVE,
        acts=_has_weighting("v1"),
    )
    prototype_beta: float = option(
        0.5,
        "v2: the weight of a pair is exp(-beta (d_i + d_p))",
        within=NOT_NEGATIVE,
        acts=_has_weighting("v2", "v2_original"),
    )
    prototype_threshold: Optional[float] = option(
        None,
        "v3: the weight of anchors beyond this distance is 0.1",
        within=POSITIVE,
        acts=_has_weighting(V3),
    )
    prototype_quantile: float = option(
        0.5,
        "v3: --prototype-threshold as a quantile of the distances of the train split",
        within=Range(above=0, below=1),
        acts=(_has_weighting(V3), _HAS_NO_THRESHOLD),
    )
    prototype_learning: ChoiceEnum(list(LEARNING)) = option(  # type: ignore[valid-type]
        FIXED,
        "ema: prototypes follow the batches' class means; trained: by gradient",
        acts=_has_weighting("v1", "v2", "v2_original", V3),
    )
    prototype_momentum: float = option(
        0.99, "momentum of --prototype-learning ema", within=PROBABILITY, acts=_IS_EMA
    )


def check_schedule(cfg: Any, max_update: int) -> None:
    """Check that lambda falls to 0 at an update that is known.

    Args:
        cfg: has the fields of :class:`ContrastiveConfig`.
        max_update: when training ends; 0 if that is not known.

    Raises:
        UsageError: it is not.
    """
    schedule = str(cfg.supcon_schedule)
    if schedule != "constant" and max_update <= cfg.supcon_warmup_updates:
        raise UsageError(
            f"--supcon-schedule {schedule} ends at --max-update, which is {max_update}; give one "
            f"above --supcon-warmup-updates {cfg.supcon_warmup_updates}",
            "schedule-endless",
        )


@dataclass
class EmotionSupConConfig(ContrastiveConfig, AnyTargetConfig, TermsConfig):
    """The primary loss, the contrastive one, and what is added to them."""


@register_criterion("emotion_supcon", dataclass=EmotionSupConConfig)
class EmotionSupConCriterion(EmotionCriterion):
    """Primary loss + lambda x :func:`emo_fairseq.losses.supervised_contrastive`."""

    def __init__(self, cfg: EmotionSupConConfig, task: EmotionTask) -> None:
        terms: list[Term] = []
        if task.is_training:
            terms = [_contrastive(cfg, task)]
        super().__init__(task, primary_loss(cfg, task), [*terms, *build_terms(cfg, task)])


def _contrastive(cfg: Any, task: EmotionTask) -> Contrastive:
    check_schedule(cfg, task.max_update)
    _check_positives(cfg, task)
    weighting = str(cfg.supcon_weighting)
    difficulty = None
    if weighting != SUPERVISED or task.class_prototypes.exist():
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
    elif weighting == V3:
        _check_acts(cfg, task)
    projection = None
    if cfg.supcon_projection_dim:
        width = task.embedding_dim
        projection = ProjectionHead(width, width, cfg.supcon_projection_dim)
    return Contrastive(
        Strength(
            cfg.supcon_weight,
            cfg.supcon_warmup_updates,
            str(cfg.supcon_schedule),
            task.max_update,
        ),
        Weighting(weighting, cfg.prototype_alpha, cfg.prototype_beta, threshold),
        cfg.supcon_temperature,
        _labels_of(task),
        projection,
        difficulty,
        EmbeddingQueue(task, cfg.supcon_queue) if cfg.supcon_queue else None,
    )


def _check_acts(cfg: Any, task: EmotionTask) -> None:
    """Warn of a threshold that no row of the train split reaches: V3 is then the plain loss."""
    distances = task.class_prototypes.distances(task.train_split())
    farthest = float(np.nanmax(distances))
    if cfg.prototype_threshold > farthest:
        logger.warning(
            "--prototype-threshold %g: the farthest row of the train split lies at %.4f from its "
            "prototype, so that v3 weighs every anchor alike and has no effect; give less, or "
            "leave the option out for the quantile %g, which is %.4f",
            cfg.prototype_threshold,
            farthest,
            cfg.prototype_quantile,
            float(np.nanquantile(distances, cfg.prototype_quantile)),
        )


def _labels_of(task: EmotionTask) -> Any:
    """How a batch's classes are read: the truth itself, or the emotion beside a number."""
    if task.target.has_labels:
        return _truth
    task.annotate(LABELS, task.class_prototypes.classes.ids)
    return _emotion


def _truth(batch: TrainingBatch) -> Tensor:
    return batch.sample["target"]


def _emotion(batch: TrainingBatch) -> Tensor:
    return batch.annotations[LABELS]


def _check_positives(cfg: Any, task: EmotionTask) -> None:
    """Raise a `UsageError` if no anchor can ever have a positive."""
    rows = task.rows_of_a_step
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
            f"emotion together, and {task.data_folder}/corpus.yaml names no emotion labels; list "
            "them there in order, under labels, or take --criterion emotion_regression"
        ) from error
    counts = np.bincount(classes.ids(task.train_split()) + 1, minlength=2)[1:]  # -1 = missing
    if counts.max() < 2:
        raise UsageError(
            f"--criterion emotion_supcon: no {classes.column} occurs twice in the train split"
        )
