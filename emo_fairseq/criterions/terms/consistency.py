"""R-Drop: two passes with their own dropout shall agree."""

from collections.abc import Callable, Mapping

from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.scoring import mean_of
from emo_fairseq.criterions.terms.term import PRIMARY_LOSS, Statistics, Term, TrainingBatch
from emo_fairseq.types import TargetKind


class RDrop(Term):
    """Mean of the primary losses of both passes + weight x their disagreement (Wu et al. 2021).

    Args:
        weight: alpha in the paper, which takes 1 to 5.
        kind: of the target.
    """

    def __init__(self, weight: float, kind: TargetKind) -> None:
        super().__init__()
        self.weight = weight
        self.disagreement = _DISAGREEMENTS[kind]

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
    TargetKind.BINARY_PER_LABEL: _of_pairs,
    TargetKind.CONTINUOUS: losses.squared_difference,
}
