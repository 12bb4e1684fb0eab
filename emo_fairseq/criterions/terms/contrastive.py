"""The contrastive term: embeddings of one class are drawn together, weighted by prototypes.

lambda (:class:`Strength`) x loss of the embeddings of all ranks and of earlier batches
(:class:`.EmbeddingQueue`), each weighted (:class:`Weighting`) by its distance to a prototype
(:class:`.Difficulty`).
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Optional, Self

import numpy as np
import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor, nn

from emo_fairseq import losses
from emo_fairseq.criterions.gathering import gather_rows, sum_over_ranks
from emo_fairseq.criterions.scoring import mean_of, spread_of
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.criterions.terms.difficulty import EMA, FIXED, LEARNING, Difficulty
from emo_fairseq.criterions.terms.embedding_queue import EmbeddingQueue
from emo_fairseq.criterions.terms.term import Statistics, Term, TrainingBatch
from emo_fairseq.data.annotations import Classes, target_of_classes
from emo_fairseq.errors import UsageError
from emo_fairseq.losses.precision import full_precision
from emo_fairseq.modules.heads import ProjectionHead
from emo_fairseq.options.conditions import Condition, is_none_of
from emo_fairseq.options.option import NOT_NEGATIVE, POSITIVE, PROBABILITY, Range, option

logger = logging.getLogger(__name__)

LABELS = "contrast_label"  # the annotation with the classes, where the target is none
SUPERVISED, V3 = "supervised", "v3"


SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}

# -- options ---------------------------------------------------------------------------------------


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
    """The contrastive loss of embeddings, and the weights of utterances in it."""

    supcon_weight: float = option(
        0.5, "weight of the contrastive loss, lambda", within=NOT_NEGATIVE
    )
    supcon_warmup_updates: int = option(
        0, "updates over which lambda grows from 0", within=NOT_NEGATIVE
    )
    supcon_schedule: ChoiceEnum(list(SCHEDULES)) = option(  # type: ignore[valid-type]
        "constant", "how lambda falls to 0 after that, by --max-update"
    )
    supcon_temperature: float = option(
        0.07, "temperature tau, by which cosine similarities are divided", within=Range(0.01)
    )
    supcon_weighting: ChoiceEnum(list(losses.WEIGHTINGS)) = option(  # type: ignore[valid-type]
        SUPERVISED, "how the distance to the prototype of its class weights an utterance"
    )
    supcon_projection_dim: int = option(
        0, "width of a projection head before the loss (0: none)", within=NOT_NEGATIVE
    )
    supcon_queue: int = option(
        0,
        "number of utterances of earlier batches that are contrasted with, too",
        within=NOT_NEGATIVE,
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


# -- lambda ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Strength:
    """lambda in the course of training.

    Args:
        weight: lambda at its full size.
        warmup_updates: in which it grows from 0, along a line.
        schedule: one of :data:`SCHEDULES`, from then on.
        total_updates: when the schedule ends.
    """

    weight: float
    warmup_updates: int = 0
    schedule: str = "constant"
    total_updates: int = 0

    def at(self, update: int) -> float:
        """Return lambda of the step after this number of updates."""
        if update < self.warmup_updates:
            return self.weight * (update + 1) / self.warmup_updates
        rest = max(1, self.total_updates - self.warmup_updates)
        return self.weight * SCHEDULES[self.schedule](
            min(1.0, (update - self.warmup_updates) / rest)
        )


# -- weights by the distance to prototypes ---------------------------------------------------------


@dataclass(frozen=True)
class Weighting:
    """What :func:`emo_fairseq.losses.contrastive_weights` takes beside the difficulties."""

    name: str
    alpha: float
    beta: float
    threshold: float

    def of(self, difficulty: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the weights of anchors and of positives, (M,) each, for (M,) difficulties."""
        return losses.contrastive_weights(
            self.name, difficulty, self.alpha, self.beta, self.threshold
        )


# -- the term --------------------------------------------------------------------------------------


class Contrastive(Term):
    """lambda x the contrastive loss over the rows of all ranks, for each utterance.

    Args:
        strength: lambda.
        weighting: of anchors and positives.
        temperature: tau.
        labels: from the batch to its class ids (B,), -1 = unknown.
        projection: between embedding and loss, if there is one.
        difficulty: None if there are no prototypes, which only "supervised" weighting allows.
        queue: rows of earlier batches, which are positives and negatives but no anchors.
    """

    def __init__(
        self,
        strength: Strength,
        weighting: Weighting,
        temperature: float,
        labels: Callable[[TrainingBatch], Tensor],
        projection: nn.Module | None = None,
        difficulty: Difficulty | None = None,
        queue: EmbeddingQueue | None = None,
    ) -> None:
        super().__init__()
        self.strength, self.weighting, self.temperature = strength, weighting, temperature
        self.labels, self.queue = labels, queue
        self.projection = projection or nn.Identity()
        self.difficulty = difficulty

    @classmethod
    def from_options(cls, cfg: ContrastiveConfig, task: EmotionTask) -> Self:
        _check_schedule(cfg, task.max_update)
        _check_positives(cfg, task)
        weighting = str(cfg.supcon_weighting)
        difficulty = None
        if weighting != SUPERVISED or task.class_prototypes.exist():
            option = f"--supcon-weighting {weighting}"
            task.class_prototypes.require(option)
            if weighting != SUPERVISED:
                task.class_prototypes.check_measured(task.train_split(), option)
            difficulty = Difficulty(task, str(cfg.prototype_learning), cfg.prototype_momentum)
        threshold = _threshold(cfg, task) if weighting == V3 else math.inf
        projection = None
        if cfg.supcon_projection_dim:
            width = task.embedding_dim
            projection = ProjectionHead(width, width, cfg.supcon_projection_dim)
        return cls(
            Strength(
                cfg.supcon_weight,
                cfg.supcon_warmup_updates,
                str(cfg.supcon_schedule),
                task.max_update,
            ),
            Weighting(weighting, cfg.prototype_alpha, cfg.prototype_beta, threshold),
            cfg.supcon_temperature,
            class_labels(task),
            projection,
            difficulty,
            EmbeddingQueue(task, cfg.supcon_queue) if cfg.supcon_queue else None,
        )

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        # A rank whose rows are a repetition contributes none, but takes part in the collectives.
        rows = slice(0, 0) if batch.is_ignored else slice(None)
        labels = self.labels(batch)[rows]
        annotations = {name: values[rows] for name, values in batch.annotations.items()}
        embeddings = full_precision(self._project(batch.output.embedding)[rows])  # (n, D)
        difficulty = self._difficulty(annotations, labels)  # (n,)
        gathered, own = gather_rows([embeddings, labels, difficulty.detach()])
        n_anchors = len(gathered[0])
        contrasted = self.queue.append_to(gathered) if self.queue is not None else gathered
        all_embeddings, all_labels, all_difficulties = contrasted  # (M, ...)
        anchor_weights, pair_weights = self.weighting.of(all_difficulties)
        contrastive = losses.supervised_contrastive(
            all_embeddings,
            all_labels,
            self.temperature,
            anchor_weights,
            pair_weights,
            anchors=slice(0, n_anchors),
            own=own,
        )
        if self.queue is not None:
            self.queue.push(gathered)
        own_n = 0 if batch.is_ignored else batch.sample_size
        n = sum_over_ranks(own_n, embeddings)
        prototype_loss = batch.primary.mean_weight * self._prototype_loss(difficulty)
        added = self.strength.at(batch.update) * n * contrastive.loss + prototype_loss
        is_anchor = gathered[1] >= 0  # (N,)
        is_paired = is_anchor & (_occurrences(gathered[1], all_labels) > 1)  # itself included
        return added, {
            # A rank's loss is its share of the whole, which is the sum over ranks.
            **mean_of("contrastive_loss", contrastive.loss * n, own_n),
            **mean_of("no_positive", (is_anchor & ~is_paired)[own].sum(), is_anchor[own].sum()),
            **self._difficulty_statistics(difficulty, anchor_weights, is_paired, own),
        }

    def _project(self, embedding: Tensor) -> Tensor:
        weight = next(self.projection.parameters(), embedding)
        return self.projection(embedding.to(weight.dtype))

    def _difficulty(self, annotations: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        if self.difficulty is None:
            return torch.full(labels.shape, math.nan, dtype=torch.float64, device=labels.device)
        self.difficulty.update(annotations, labels)
        return self.difficulty(annotations, labels)

    def _prototype_loss(self, difficulty: Tensor) -> Tensor:
        """Return the loss of trained prototypes: the sum of the difficulties.

        They have no gradient by the weights, since they would reduce the contrastive loss by
        moving away from its large terms.
        """
        if self.difficulty is None or self.difficulty.trained is None:
            return difficulty.new_zeros(())
        return difficulty.nansum()

    def _difficulty_statistics(
        self, difficulty: Tensor, anchor_weights: Tensor | None, is_paired: Tensor, own: slice
    ) -> Statistics:
        """Return statistics of the difficulties, and of the anchor weights over their mean."""
        if self.difficulty is None:
            return {}
        statistics = mean_of("difficulty", difficulty.nansum(), (~difficulty.isnan()).sum())
        if anchor_weights is not None:
            weights = anchor_weights[: len(is_paired)]  # (N,), without those of the queue
            counted = is_paired & ~weights.isnan()
            mean = torch.where(counted, weights, 0.0).sum() / counted.sum()
            statistics |= spread_of("anchor_weight_spread", (weights / mean)[own], counted[own])
        return statistics


def _occurrences(labels: Tensor, among: Tensor) -> Tensor:
    """Return how often each of (N,) labels is among (M,) others.

    Without an (N, M) matrix, and without waiting for the GPU.
    """
    ordered = among.sort().values
    ends = torch.searchsorted(ordered, labels, right=True)
    return ends - torch.searchsorted(ordered, labels)


# -- checks, and what batches carry ----------------------------------------------------------------


def _check_schedule(cfg: ContrastiveConfig, max_update: int) -> None:
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


def _threshold(cfg: ContrastiveConfig, task: EmotionTask) -> float:
    """Return the distance from which v3 reduces the weight of anchors: an option, or a quantile.

    Log a warning if no row of the train split has this distance: v3 is then the plain loss.
    """
    threshold, quantile = cfg.prototype_threshold, cfg.prototype_quantile
    if threshold is None:
        threshold = task.class_prototypes.quantile(task.train_split(), quantile)
        logger.info("v3: anchors at a distance of %.4f or more weigh 0.1", threshold)
        return threshold
    distances = task.class_prototypes.distances(task.train_split())
    farthest = float(np.nanmax(distances))
    if threshold > farthest:
        logger.warning(
            "--prototype-threshold %g: the farthest row of the train split is %.4f from its "
            "prototype, so that v3 weighs every anchor alike and has no effect; give less, or "
            "leave the option out for the quantile %g, which is %.4f",
            threshold,
            farthest,
            quantile,
            float(np.nanquantile(distances, quantile)),
        )
    return threshold


def read_classes(task: EmotionTask, option: str, otherwise: str) -> Classes:
    """Return the classes, or raise a `UsageError` for `option` with a remedy if there are none."""
    try:
        return task.class_prototypes.classes
    except UsageError as error:
        raise UsageError(
            f"{option} with --target {task.target.name} needs utterances of the same emotion, and "
            f"{task.data_folder}/corpus.yaml names no emotion labels; list them there in order, "
            f"under labels, or {otherwise}",
            "labels-missing",
        ) from error


def class_labels(task: EmotionTask) -> Callable[[TrainingBatch], Tensor]:
    """Return how a batch's class ids are read: the target, or the emotion beside another."""
    if target_of_classes(task.target) is task.target:
        return lambda batch: batch.sample["target"]
    task.annotate(LABELS, task.class_prototypes.classes.ids)
    return lambda batch: batch.annotations[LABELS]


def _check_positives(cfg: ContrastiveConfig, task: EmotionTask) -> None:
    """Raise a `UsageError` if no anchor can ever have a positive."""
    rows = task.rows_of_a_step
    if rows == 1 and not cfg.supcon_queue:
        raise UsageError(
            "--criterion emotion_supcon with --batch-size 1 on one rank: a batch has no two "
            "utterances of a class; give a larger --batch-size, or --supcon-queue",
            "positives-missing",
        )
    option = "--criterion emotion_supcon"
    classes = read_classes(task, option, "use --criterion emotion_regression")
    counts = np.bincount(classes.ids(task.train_split()) + 1, minlength=2)[1:]  # -1 = missing
    if counts.max() < 2:
        raise UsageError(
            f"{option}: no {classes.column} occurs twice in the train split",
            "positives-missing",
        )
