"""Criterion ``emotion_distillation``: the primary loss, and the distance to a teacher."""

from dataclasses import dataclass
from typing import Any, Optional

from fairseq.criterions import register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.criterions.any_target import AnyTargetConfig, primary_loss
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.criterions.terms.distillation import DIST, KD, METHODS, TEACHER, Distillation
from emo_fairseq.criterions.terms.options import TermsConfig, build_terms
from emo_fairseq.criterions.terms.term import Term
from emo_fairseq.errors import UsageError
from emo_fairseq.options.conditions import PREDICTS_LABELS, Condition
from emo_fairseq.options.option import NOT_NEGATIVE, POSITIVE, Kind, option
from emo_fairseq.types import TargetKind

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
    """Who the teacher is, and how the student learns from it."""

    teacher_predictions: Optional[str] = option(
        None,
        "what fairseq-validate --save-predictions wrote of the train split",
        kind=Kind.OTHER_RUN,
    )
    teacher_checkpoint: Optional[str] = option(
        None,
        "a checkpoint of this task, whose predictions are computed once when training starts",
        kind=Kind.OTHER_RUN,
    )
    teacher_data: Optional[str] = option(
        None,
        "the data dir that the checkpoint reads (default: --data)",
        acts=_HAS_CHECKPOINT,
        kind=Kind.OTHER_RUN,
    )
    distillation: ChoiceEnum(list(METHODS)) = option(  # type: ignore[valid-type]
        KD, "kd: Kullback-Leibler; dist: correlations"
    )
    distillation_weight: float = option(
        1.0, "weight of the distance to the teacher", within=POSITIVE
    )
    distillation_temperature: float = option(
        2.0, "softens the predictions of both", within=POSITIVE, acts=PREDICTS_LABELS
    )
    dist_intra_weight: float = option(
        1.0,
        "dist: weight of the relation between utterances",
        within=NOT_NEGATIVE,
        acts=_IS_DIST,
    )


@dataclass
class EmotionDistillationConfig(DistillationConfig, AnyTargetConfig, TermsConfig):
    """The primary loss, the distance to the teacher, and what is added to them."""


@register_criterion("emotion_distillation", dataclass=EmotionDistillationConfig)
class EmotionDistillationCriterion(EmotionCriterion):
    """Primary loss + weight x distance to what a teacher says of the same utterances.

    A teacher may see more than the student does: text and speech, say.
    """

    def __init__(self, cfg: EmotionDistillationConfig, task: EmotionTask) -> None:
        terms: list[Term] = []
        if task.is_training:
            terms = [_distillation(cfg, task)]
        super().__init__(task, primary_loss(cfg, task), [*terms, *build_terms(cfg, task)])


def _distillation(cfg: Any, task: EmotionTask) -> Distillation:
    _check(cfg, task)
    if cfg.teacher_predictions:
        provide = task.teacher_from_predictions(cfg.teacher_predictions)
    else:
        provide = task.teacher_from_checkpoint(cfg.teacher_checkpoint, cfg.teacher_data)
    task.annotate(TEACHER, provide)
    return Distillation(
        str(cfg.distillation),
        cfg.distillation_weight,
        cfg.distillation_temperature,
        cfg.dist_intra_weight,
        task.target.kind is TargetKind.CONTINUOUS,
    )


def _check(cfg: Any, task: EmotionTask) -> None:
    if bool(cfg.teacher_predictions) == bool(cfg.teacher_checkpoint):
        raise UsageError(
            "--criterion emotion_distillation has no teacher, or two: give --teacher-checkpoint or "
            "--teacher-predictions"
        )
    if task.target.kind is TargetKind.BINARY_PER_LABEL:
        raise UsageError(
            f"--target {task.target.name}: its yes/no questions are no distribution over labels to "
            "be distilled; use --target emotion"
        )
    is_dist = str(cfg.distillation) == DIST
    if is_dist and (task.target.kind is TargetKind.CONTINUOUS or len(task.labels) < 3):
        raise UsageError(
            "--distillation dist correlates three labels at least, which --target "
            f"{task.target.name} has not; use --distillation kd"
        )
