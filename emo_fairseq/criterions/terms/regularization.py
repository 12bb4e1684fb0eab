"""Regularization by another primary loss in place of the plain one: R-Drop, and mixup."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.scoring import mean_of
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.criterions.terms.term import PRIMARY_LOSS, Statistics, Term, TrainingBatch
from emo_fairseq.options.option import NOT_NEGATIVE, option
from emo_fairseq.targets import TargetKind


@dataclass
class RegularizationConfig(FairseqDataclass):
    """R-Drop and Mixup, which change the loss of the target."""

    r_drop_weight: float = option(
        0.0,
        "weight of R-Drop: the divergence of two passes with different dropout (0: none)",
        within=NOT_NEGATIVE,
    )
    mixup_alpha: float = option(
        0.0,
        "mix embeddings of two utterances by a share from Beta(alpha, alpha) (0: no Mixup)",
        within=NOT_NEGATIVE,
    )


class RDrop(Term):
    """Mean of the primary losses of both passes + weight x their disagreement (Wu et al. 2021).

    Args:
        weight: alpha in the paper, which takes 1 to 5.
        kind: of the target.
    """

    runs_model = True

    def __init__(self, weight: float, kind: TargetKind) -> None:
        super().__init__()
        self.weight = weight
        self.disagreement = _DISAGREEMENTS[kind]

    @classmethod
    def from_options(cls, cfg: RegularizationConfig, task: EmotionTask) -> Self:
        return cls(cfg.r_drop_weight, task.target.kind)

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        again = batch.model(**batch.sample["net_input"]).logits
        second = batch.primary.losses(again, batch.sample["target"])
        rows = self.disagreement(batch.output.logits, again)
        # The first pass is in the sum already, whole.
        averaged = 0.5 * (second - batch.losses).sum()
        added = averaged + self.weight * batch.primary.mean_weight * rows.sum()
        primary = 0.5 * (second + batch.losses).detach().sum()
        return added, {
            **mean_of(PRIMARY_LOSS, primary, batch.sample_size),  # of both passes, as trained on
            **mean_of("r_drop_loss", rows.detach().sum(), len(rows)),
        }


def _of_pairs(logits: Tensor, other_logits: Tensor) -> Tensor:
    """Sum over K yes/no questions, (B, 2K) -> (B,)."""
    pairs, others = logits.reshape(-1, 2), other_logits.reshape(-1, 2)  # (B * K, 2)
    return losses.symmetric_divergence(pairs, others).reshape(len(logits), -1).sum(dim=1)


_DISAGREEMENTS: Mapping[TargetKind, Callable[[Tensor, Tensor], Tensor]] = {
    TargetKind.CATEGORICAL: losses.symmetric_divergence,
    TargetKind.DISTRIBUTION: losses.symmetric_divergence,
    TargetKind.BINARY_PER_LABEL: _of_pairs,
    TargetKind.CONTINUOUS: losses.squared_difference,
}


class EmbeddingMixup(Term):
    """The primary loss of mixed embeddings in place of the plain one (Verma et al. 2019).

    Args:
        alpha: of the Beta distribution that the share is drawn from.
    """

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    @classmethod
    def from_options(cls, cfg: RegularizationConfig, task: EmotionTask) -> Self:
        return cls(cfg.mixup_alpha)

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        embedding, truth = batch.output.embedding, batch.sample["target"]
        drawn = losses.draw_mix(len(embedding), self.alpha, embedding.device)
        logits = batch.model.head(losses.mix_embeddings(embedding, drawn))
        rows = losses.mixed_loss(batch.primary.losses, logits, truth, drawn)
        # The plain losses are in the sum already.
        return (rows - batch.losses).sum(), mean_of(
            "mixup_loss", rows.detach().sum(), batch.sample_size
        )
