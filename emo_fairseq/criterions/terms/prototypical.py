"""The prototypical contrastive term: SPCL of Song et al. 2022, which needs no large batches.

Embeddings of earlier batches are kept by class. For each batch some of them are drawn of every
class, and their mean is the prototype of that class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.gathering import gather_rows, sum_over_ranks
from emo_fairseq.criterions.scoring import mean_of
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.criterions.terms.contrastive import class_labels, read_classes
from emo_fairseq.criterions.terms.term import Statistics, Term, TrainingBatch
from emo_fairseq.errors import UsageError
from emo_fairseq.losses.precision import full_precision
from emo_fairseq.options.conditions import Condition
from emo_fairseq.options.option import NOT_NEGATIVE, Range, option

_IS_USED = Condition(
    lambda context: context.criterion.spcl_weight > 0,
    "--spcl-weight is 0",
    needs="criterion",
)


@dataclass
class PrototypicalConfig(FairseqDataclass):
    """The contrastive loss with prototypes of a queue (SPCL)."""

    spcl_weight: float = option(
        0.0, "weight of the prototypical contrastive loss SPCL (0: none)", within=NOT_NEGATIVE
    )
    spcl_temperature: float = option(
        0.1,
        "its temperature, by which cosine similarities are divided",
        within=Range(0.01),
        acts=_IS_USED,
    )
    spcl_queue: int = option(
        512, "embeddings of each class that are kept", within=Range(1), acts=_IS_USED
    )
    spcl_drawn: int = option(
        64,
        "of them drawn for each batch, whose mean is the prototype of the class",
        within=Range(1),
        acts=_IS_USED,
    )


class ClassQueue:
    """The newest embeddings of each class, from which prototypes are drawn.

    They are a part of the task's state, which a checkpoint has. Every rank has the same, since all
    push the gathered rows, and draws the same, by the seed of the update.

    Args:
        task: its state has the rows.
        n_classes: K.
        size: rows that are kept of a class.
        n_drawn: rows whose mean is a prototype; all, where there are fewer.
    """

    def __init__(self, task: EmotionTask, n_classes: int, size: int, n_drawn: int) -> None:
        self.task, self.n_classes, self.size, self.n_drawn = task, n_classes, size, n_drawn
        task.embedding_queue  # noqa: B018  (reads that of a resumed training)

    def draw(self, like: Tensor) -> Tensor:
        """Return prototypes (K, D), of the type of `like` (..., D); NaN of a class without rows."""
        prototypes = like.new_full((self.n_classes, like.shape[-1]), torch.nan)
        if not self.task.embedding_queue:
            return prototypes
        embeddings, labels = (rows.to(like.device) for rows in self.task.embedding_queue)
        # fairseq seeds each update, with the same number on all ranks and when it is resumed.
        generator = torch.Generator().manual_seed(torch.initial_seed())
        for label in range(self.n_classes):
            rows = embeddings[labels == label]
            drawn = torch.randperm(len(rows), generator=generator)[: self.n_drawn]
            if len(rows):
                prototypes[label] = rows[drawn.to(rows.device)].mean(dim=0).to(like)
        return prototypes

    def push(self, batch: Sequence[Tensor]) -> None:
        """Put rows first, embeddings (M, D) and labels (M,), and drop the oldest of each class."""
        new = [rows.detach() for rows in batch]
        old = self.task.embedding_queue or [rows[:0] for rows in new]
        rows = [
            torch.cat([column, other.to(column)]) for column, other in zip(new, old, strict=True)
        ]
        labels = rows[1]
        # (N, K), how many rows of a class there are up to each, itself included
        classes = torch.arange(self.n_classes, device=labels.device)
        number = (labels[:, None] == classes).cumsum(dim=0)
        number = number.gather(1, labels.clamp(min=0)[:, None]).squeeze(1)
        kept = (labels >= 0) & (number <= self.size)
        self.task.embedding_queue[:] = [column[kept].clone() for column in rows]


class Prototypical(Term):
    """weight x :func:`emo_fairseq.losses.prototypical_contrastive`, for each utterance.

    Args:
        weight: of the loss.
        temperature: of it.
        labels: from the batch to its class ids (B,), -1 = unknown.
        queue: of embeddings.
    """

    def __init__(
        self,
        weight: float,
        temperature: float,
        labels: Callable[[TrainingBatch], Tensor],
        queue: ClassQueue,
    ) -> None:
        super().__init__()
        self.weight, self.temperature, self.labels, self.queue = weight, temperature, labels, queue

    @classmethod
    def from_options(cls, cfg: PrototypicalConfig, task: EmotionTask) -> Self:
        if getattr(cfg, "supcon_queue", 0):
            raise UsageError(
                "--spcl-weight with --supcon-queue: both keep embeddings of earlier batches; leave "
                "one of the two out",
                "options-conflict",
            )
        classes = read_classes(task, "--spcl-weight", "leave the option out")
        queue = ClassQueue(task, len(classes.names), cfg.spcl_queue, cfg.spcl_drawn)
        return cls(cfg.spcl_weight, cfg.spcl_temperature, class_labels(task), queue)

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        # A rank whose rows are a repetition contributes none, but takes part in the collectives.
        rows = slice(0, 0) if batch.is_ignored else slice(None)
        embeddings = full_precision(batch.output.embedding[rows])
        gathered, own = gather_rows([embeddings, self.labels(batch)[rows]])
        all_embeddings, all_labels = gathered
        result = losses.prototypical_contrastive(
            all_embeddings, all_labels, self.queue.draw(embeddings), self.temperature, own
        )
        self.queue.push(gathered)
        own_n = 0 if batch.is_ignored else batch.sample_size
        n = sum_over_ranks(own_n, embeddings)
        # A rank's loss is its share of the whole, which is the sum over ranks.
        return self.weight * n * result.loss, mean_of(
            "prototypical_loss", result.loss.detach() * n, own_n
        )
