"""Who speaks, or which corpus it is: what the embedding shall not tell."""

from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.scoring import mean_of
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.criterions.terms.term import Statistics, Term, TrainingBatch
from emo_fairseq.data.annotations import (
    group_ids,
    group_names,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.adversary import Adversary, reversal_scale

_HIDDEN = 256
_DROPOUT = 0.1


class AdversaryTerm(Term):
    """A classifier of speakers or corpora behind a gradient reversal (Ganin and Lempitsky 2015).

    Args:
        task: gives the train split and ``embedding_dim``.
        column: of the manifest, "speaker" or "corpus".
        weight: of its loss.
        warmup_updates: in which the reversed gradient grows from 0 to its full size.

    Raises:
        UsageError: the train split names fewer than two groups.
    """

    def __init__(self, task: EmotionTask, column: str, weight: float, warmup_updates: int) -> None:
        super().__init__()
        names = group_names(task.train_split(), column)
        if len(names) < 2:
            raise UsageError(
                f"--{column}-adversary-weight: the train split names {len(names)} in the column "
                f"{column}, and two at least are needed; fill the column, or leave the option out"
            )
        task.annotate(column, lambda split: group_ids(split, column, names))
        self.column, self.weight, self.warmup_updates = column, weight, warmup_updates
        self.adversary = Adversary(task.embedding_dim, _HIDDEN, len(names), _DROPOUT)

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        progress = min(1.0, batch.update / self.warmup_updates) if self.warmup_updates else 1.0
        self.adversary.reversal.scale = reversal_scale(progress) if self.warmup_updates else 1.0
        embedding = batch.output.embedding
        weight = next(self.adversary.parameters())
        logits = self.adversary(embedding.to(weight.dtype))
        groups = batch.annotations[self.column]
        known = groups >= 0
        rows = losses.cross_entropy(logits, groups.clamp_min(0)).masked_fill(~known, 0.0)
        right = (logits.detach().argmax(dim=1) == groups).sum()  # an unknown one is never
        return self.weight * batch.primary.mean_weight * rows.sum(), {
            **mean_of(f"{self.column}_loss", rows.detach().sum(), known.sum()),
            **mean_of(f"{self.column}_accuracy", right, known.sum()),
        }
