"""The contrastive term: embeddings of one class drawn together, by how prototypical they are."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emo_fairseq import losses
from emo_fairseq.criterions.gathering import gather_rows, sum_over_ranks
from emo_fairseq.criterions.scoring import mean_of, spread_of
from emo_fairseq.criterions.terms.difficulty import Difficulty
from emo_fairseq.criterions.terms.queue import EmbeddingQueue
from emo_fairseq.criterions.terms.term import Statistics, Term, TrainingBatch
from emo_fairseq.losses.precision import full_precision

LABELS = "contrast_label"


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
        """Lambda before this update, counted from 0."""
        if update < self.warmup_updates:
            return self.weight * (update + 1) / self.warmup_updates
        rest = max(1, self.total_updates - self.warmup_updates)
        return self.weight * SCHEDULES[self.schedule](
            min(1.0, (update - self.warmup_updates) / rest)
        )


SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}


@dataclass(frozen=True)
class Weighting:
    """What :func:`emo_fairseq.losses.contrastive_weights` takes beside the difficulties."""

    name: str
    alpha: float
    beta: float
    threshold: float

    def of(self, difficulty: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """(M,) -> the weights of anchors, and of positives."""
        return losses.contrastive_weights(
            self.name, difficulty, self.alpha, self.beta, self.threshold
        )


class Contrastive(Term):
    """lambda x the contrastive loss over the rows of all ranks, for each utterance.

    Args:
        strength: lambda.
        weighting: of anchors and positives.
        temperature: tau.
        labels: from the batch to its class ids (B,), -1 = unknown.
        projection: between embedding and loss, if there is one.
        difficulty: None where no VAD is known; then no weighting but "supervised" can be.
        queue: rows of earlier batches, which are positives and negatives and no anchors.
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

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        # A rank without rows of its own sends none, and still takes part.
        rows = slice(0, 0) if batch.is_ignored else slice(None)
        labels = self.labels(batch)[rows]
        annotations = {name: values[rows] for name, values in batch.annotations.items()}
        embeddings = full_precision(self._project(batch.output.embedding)[rows])  # (n, D)
        difficulty = self._difficulty(annotations, labels)  # (n,)
        gathered, own = gather_rows([embeddings, labels, difficulty.detach()])
        n_anchors = len(gathered[0])
        known = self.queue.joined_to(gathered) if self.queue is not None else gathered
        anchor_weights, pair_weights = self.weighting.of(known[2])
        found = losses.supervised_contrastive(
            known[0],
            known[1],
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
        pull = batch.primary.mean_weight * self._pull(difficulty)
        added = self.strength.at(batch.update) * n * found.loss + pull
        is_anchor = gathered[1] >= 0  # (N,)
        is_paired = is_anchor & (_occurrences(gathered[1], known[1]) > 1)  # itself among them
        return added, {
            # A rank's loss is its share of the whole, which comes together in the sum over ranks.
            **mean_of("contrastive_loss", found.loss * n, own_n),
            **mean_of("no_positive", (is_anchor & ~is_paired)[own].sum(), is_anchor[own].sum()),
            **self._figures(difficulty, anchor_weights, is_paired, own),
        }

    def _project(self, embedding: Tensor) -> Tensor:
        weight = next(self.projection.parameters(), embedding)
        return self.projection(embedding.to(weight.dtype))

    def _difficulty(self, annotations: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        if self.difficulty is None:
            return torch.full(labels.shape, math.nan, dtype=torch.float64, device=labels.device)
        self.difficulty.learn(annotations, labels)
        return self.difficulty(annotations, labels)

    def _pull(self, difficulty: Tensor) -> Tensor:
        """What trained prototypes minimize. The weights themselves give them no gradient.

        They would shrink the loss by moving away from its large terms.
        """
        if self.difficulty is None or self.difficulty.trained is None:
            return difficulty.new_zeros(())
        return difficulty.nansum()

    def _figures(
        self, difficulty: Tensor, anchor_weights: Tensor | None, is_paired: Tensor, own: slice
    ) -> Statistics:
        """What is known of this rank's difficulties, and of the anchors' weights by their mean."""
        if self.difficulty is None:
            return {}
        figures = mean_of("difficulty", difficulty.nansum(), (~difficulty.isnan()).sum())
        if anchor_weights is not None:
            weights = anchor_weights[: len(is_paired)]  # (N,), without those of the queue
            counted = is_paired & ~weights.isnan()
            mean = torch.where(counted, weights, 0.0).sum() / counted.sum()
            figures |= spread_of("anchor_weight_spread", (weights / mean)[own], counted[own])
        return figures


def _occurrences(labels: Tensor, among: Tensor) -> Tensor:
    """How often each of (N,) labels is among (M,) others; no matrix, and no wait for a GPU."""
    ordered = among.sort().values
    ends = torch.searchsorted(ordered, labels, right=True)
    return ends - torch.searchsorted(ordered, labels)
