"""Rows of earlier batches, which the contrastive loss compares with those of a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from emo_fairseq.criterions.task_protocol import EmotionTask


class EmbeddingQueue:
    """The last `size` rows of the contrastive loss: embedding, class and difficulty.

    A small batch has positives and negatives by them (He et al. 2020). They are a part of the
    task's state, which a checkpoint has. Every rank has the same rows, since all push the gathered
    ones. The embeddings are of earlier states of the encoder, or of a moving average of it.
    """

    def __init__(self, task: EmotionTask, size: int) -> None:
        self.task, self.size = task, size
        task.embedding_queue  # noqa: B018  (reads that of a resumed training)

    def append_to(self, batch: Sequence[Tensor]) -> list[Tensor]:
        """Return the rows of a batch and after them those of the queue, (M, ...) each."""
        queue = self.task.embedding_queue
        if not queue:
            return list(batch)
        return [torch.cat([rows, old.to(rows)]) for rows, old in zip(batch, queue, strict=True)]

    def push(self, batch: Sequence[Tensor]) -> None:
        """Put the rows of a batch first, and drop the oldest."""
        joined = self.append_to([rows.detach() for rows in batch])
        self.task.embedding_queue[:] = [rows[: self.size].clone() for rows in joined]
