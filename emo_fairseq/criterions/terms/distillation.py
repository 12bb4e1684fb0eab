"""The distillation term: a student draws near to what a teacher says of the same utterances."""

from collections.abc import Callable

import torch
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.scoring import mean_of
from emo_fairseq.criterions.terms.term import Statistics, Term, TrainingBatch

TEACHER = "teacher"
KD, DIST = "kd", "dist"
METHODS = (KD, DIST)


class Distillation(Term):
    """Weight x the distance to the teacher, who is an annotation of the train split.

    Args:
        method: "kd" (Hinton et al. 2015) or "dist" (Huang et al. 2022) for labels; numbers are
            drawn together by their squared error.
        weight: of the term.
        temperature: of both distributions.
        intra_weight: of DIST's relation between the utterances of a rank's batch, beside that
            between classes.
        is_continuous: whether the outputs are numbers.
    """

    def __init__(
        self,
        method: str,
        weight: float,
        temperature: float,
        intra_weight: float,
        is_continuous: bool,
    ) -> None:
        super().__init__()
        self.weight, self.temperature, self.intra_weight = weight, temperature, intra_weight
        distances: dict[str, Callable[[Tensor, Tensor], Tensor]] = {KD: self._kd, DIST: self._dist}
        self.distance = losses.teacher_squared_error if is_continuous else distances[method]

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        teacher = batch.annotations[TEACHER]
        rows = self.distance(batch.output.logits, teacher)  # (B,)
        known = ~teacher.isnan().any(dim=1)
        logged = mean_of("distillation_loss", (rows.detach() * known).sum(), known.sum())
        return self.weight * batch.primary.mean_weight * rows.sum(), logged

    def _kd(self, logits: Tensor, teacher: Tensor) -> Tensor:
        return losses.teacher_divergence(logits, teacher, self.temperature)

    def _dist(self, logits: Tensor, teacher: Tensor) -> Tensor:
        inter = losses.dist_inter(logits, teacher, self.temperature)
        # A relation over the batch, which counts once an utterance that the teacher knows.
        intra = losses.dist_intra(logits, teacher, self.temperature).mean()
        known = ~teacher.isnan().any(dim=1)
        return inter + self.intra_weight * torch.where(known, intra, 0.0)
