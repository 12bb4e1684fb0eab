"""Rows of earlier batches, so that a small batch has positives and negatives (He et al. 2020)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from emo_fairseq.criterions.task_protocol import EmotionTask


class EmbeddingQueue:
    """The last `size` rows that the contrastive loss saw: embedding, class and difficulty.

    They lie in the task's state, so that a checkpoint holds them. Every rank has the same, since
    all push what was gathered. The encoder has moved on since a row was embedded: MoCo's slowly
    moving second encoder is not part of this.

    Args:
        task: its state keeps the rows.
        size: in rows.
    """

    def __init__(self, task: EmotionTask, size: int) -> None:
        self.task, self.size = task, size
        task.embedding_queue  # noqa: B018  (touched: a resumed one is read now)

    def joined_to(self, batch: Sequence[Tensor]) -> list[Tensor]:
        """The rows of a batch, and behind them those of the queue, (M, ...) each."""
        kept = self.task.embedding_queue
        if not kept:
            return list(batch)
        return [torch.cat([rows, old.to(rows)]) for rows, old in zip(batch, kept, strict=True)]

    def push(self, batch: Sequence[Tensor]) -> None:
        """Take in the rows of a batch; the oldest ones go."""
        joined = self.joined_to([rows.detach() for rows in batch])
        self.task.embedding_queue[:] = [rows[: self.size].clone() for rows in joined]
