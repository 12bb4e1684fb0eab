"""Distillation: the distance between the outputs of a model and those of a teacher."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional, Self

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.scoring import mean_of
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.criterions.terms.term import Statistics, Term, TrainingBatch
from emo_fairseq.errors import UsageError
from emo_fairseq.options.conditions import PREDICTS_LABELS, Condition
from emo_fairseq.options.option import NOT_NEGATIVE, POSITIVE, Kind, option
from emo_fairseq.targets import TargetKind

TEACHER = "teacher"
KD, DIST = "kd", "dist"
METHODS = (KD, DIST)


_HAS_CHECKPOINT = Condition(
    lambda context: context.criterion.teacher_checkpoint is not None,
    "there is no --teacher-checkpoint",
    needs="criterion",
)
_IS_DIST = Condition(
    lambda context: str(context.criterion.distillation) == DIST,
    "--distillation is not dist",
    needs="criterion",
)


@dataclass
class DistillationConfig(FairseqDataclass):
    """The teacher, and the distance to it."""

    teacher_predictions: Optional[str] = option(
        None,
        "predictions of the teacher on the train split, by fairseq-validate --save-predictions",
        kind=Kind.OTHER_RUN,
    )
    teacher_checkpoint: Optional[str] = option(
        None,
        "checkpoint of this task, whose predictions are computed once when training starts",
        kind=Kind.OTHER_RUN,
    )
    teacher_data: Optional[str] = option(
        None,
        "data dir that the teacher's checkpoint reads (default: --data)",
        acts=_HAS_CHECKPOINT,
        kind=Kind.OTHER_RUN,
    )
    distillation: ChoiceEnum(list(METHODS)) = option(  # type: ignore[valid-type]
        KD, "distance to the teacher: kd, Kullback-Leibler divergence; dist, correlations"
    )
    distillation_weight: float = option(
        1.0, "weight of the distance to the teacher", within=POSITIVE
    )
    distillation_temperature: float = option(
        2.0,
        "temperature that softens the predictions of both",
        within=POSITIVE,
        acts=PREDICTS_LABELS,
    )
    dist_intra_weight: float = option(
        1.0,
        "dist: weight of the relation between utterances",
        within=NOT_NEGATIVE,
        acts=_IS_DIST,
    )


class Distillation(Term):
    """Weight x the distance to the outputs of the teacher, an annotation of the train split.

    A teacher may read more than the student does, such as text and speech.

    Args:
        method: "kd" (Hinton et al. 2015) or "dist" (Huang et al. 2022) for labels; the distance
            of numbers is their squared error.
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

    @classmethod
    def from_options(cls, cfg: DistillationConfig, task: EmotionTask) -> Self:
        _check_target(cfg, task)
        if cfg.teacher_predictions and not cfg.teacher_checkpoint:
            outputs = task.teacher_from_predictions(cfg.teacher_predictions)
        elif cfg.teacher_checkpoint and not cfg.teacher_predictions:
            outputs = task.teacher_from_checkpoint(cfg.teacher_checkpoint, cfg.teacher_data)
        else:
            raise UsageError(
                "--criterion emotion_distillation has no teacher, or two: give "
                "--teacher-checkpoint or --teacher-predictions",
                "teacher-not-single",
            )
        task.annotate(TEACHER, outputs)
        return cls(
            str(cfg.distillation),
            cfg.distillation_weight,
            cfg.distillation_temperature,
            cfg.dist_intra_weight,
            task.target.kind is TargetKind.CONTINUOUS,
        )

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
        # A relation over the batch: it counts once for each utterance with outputs of the teacher.
        intra = losses.dist_intra(logits, teacher, self.temperature).mean()
        known = ~teacher.isnan().any(dim=1)
        return inter + self.intra_weight * torch.where(known, intra, 0.0)


def _check_target(cfg: DistillationConfig, task: EmotionTask) -> None:
    """Check that the outputs of the target can be distilled, by the given method."""
    if task.target.kind is TargetKind.BINARY_PER_LABEL:
        raise UsageError(
            f"--target {task.target.name}: its yes/no questions are no distribution over labels to "
            "be distilled; use --target emotion",
            "distillation-unsupported",
        )
    is_dist = str(cfg.distillation) == DIST
    if is_dist and (task.target.kind is TargetKind.CONTINUOUS or len(task.labels) < 3):
        raise UsageError(
            "--distillation dist correlates three or more labels, which --target "
            f"{task.target.name} does not have; use --distillation kd",
            "distillation-unsupported",
        )
