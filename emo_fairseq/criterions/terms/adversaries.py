"""Adversaries: classifiers of speakers or corpora, which the embedding is trained to defeat."""

from dataclasses import dataclass
from typing import ClassVar, Self

from fairseq.dataclass import FairseqDataclass
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
from emo_fairseq.options.conditions import Condition
from emo_fairseq.options.option import NOT_NEGATIVE, option

_HIDDEN = 256
_DROPOUT = 0.1


_HAS_ADVERSARY = Condition(
    lambda context: bool(
        context.criterion.speaker_adversary_weight or context.criterion.corpus_adversary_weight
    ),
    "there is no --speaker-adversary-weight and no --corpus-adversary-weight",
    needs="criterion",
)


@dataclass
class AdversaryConfig(FairseqDataclass):
    """What the embedding is trained not to contain."""

    speaker_adversary_weight: float = option(
        0.0,
        "weight of reversed gradients of a speaker classifier on the embedding (0: none)",
        within=NOT_NEGATIVE,
    )
    corpus_adversary_weight: float = option(
        0.0,
        "weight of reversed gradients of a corpus classifier on the embedding (0: none)",
        within=NOT_NEGATIVE,
    )
    adversary_warmup_updates: int = option(
        0,
        "updates over which the reversed gradients grow from 0 to their weight",
        within=NOT_NEGATIVE,
        acts=_HAS_ADVERSARY,
    )


class AdversaryTerm(Term):
    """A classifier of speakers or corpora behind a gradient reversal (Ganin and Lempitsky 2015).

    Over the first `warmup_updates` updates the reversed gradient grows from 0 to its full size.

    Raises:
        UsageError: the train split names fewer than two groups.
    """

    column: ClassVar[str]  # of the manifest

    def __init__(self, task: EmotionTask, weight: float, warmup_updates: int) -> None:
        super().__init__()
        column = self.column
        groups = group_names(task.train_split(), column)
        if len(groups) < 2:
            raise UsageError(
                f"--{column}-adversary-weight: the train split names {len(groups)} in the column "
                f"{column}, and two at least are needed; fill the column, or leave the option out",
                "groups-too-few",
            )
        # An auxiliary target of the column reads the same annotation, by its own order of labels.
        target = task.auxiliary.get(column)
        names = target.labels if target else groups
        task.annotate(column, lambda split: group_ids(split, column, names))
        self.weight, self.warmup_updates = weight, warmup_updates
        self.adversary = Adversary(task.embedding_dim, _HIDDEN, len(names), _DROPOUT)

    @classmethod
    def from_options(cls, cfg: AdversaryConfig, task: EmotionTask) -> Self:
        weight: float = getattr(cfg, f"{cls.column}_adversary_weight")
        return cls(task, weight, cfg.adversary_warmup_updates)

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        progress = min(1.0, batch.update / self.warmup_updates) if self.warmup_updates else 1.0
        self.adversary.reversal.scale = reversal_scale(progress) if self.warmup_updates else 1.0
        embedding = batch.output.embedding
        weight = next(self.adversary.parameters())
        logits = self.adversary(embedding.to(weight.dtype))
        groups = batch.annotations[self.column]
        known = groups >= 0
        rows = losses.cross_entropy(logits, groups.clamp_min(0)).masked_fill(~known, 0.0)
        right = (logits.detach().argmax(dim=1) == groups).sum()  # an unknown group, -1, never is
        return self.weight * batch.primary.mean_weight * rows.sum(), {
            # An auxiliary target of the column logs {column}_loss.
            **mean_of(f"{self.column}_adversary_loss", rows.detach().sum(), known.sum()),
            **mean_of(f"{self.column}_adversary_accuracy", right, known.sum()),
        }


class SpeakerAdversary(AdversaryTerm):
    """Of ``--speaker-adversary-weight``."""

    column = "speaker"


class CorpusAdversary(AdversaryTerm):
    """Of ``--corpus-adversary-weight``."""

    column = "corpus"
