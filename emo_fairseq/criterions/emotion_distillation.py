"""Criterion ``emotion_distillation``: the primary loss, and the distance to a teacher."""

import math
from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq.criterions import register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.criterions.any_target import AnyTargetConfig, primary_loss
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.terms.distillation import DIST, KD, METHODS, TEACHER, Distillation
from emo_fairseq.criterions.terms.options import TermsConfig, build_terms
from emo_fairseq.criterions.terms.term import Term
from emo_fairseq.errors import UsageError
from emo_fairseq.types import TargetKind


@dataclass
class DistillationConfig(FairseqDataclass):
    """Who the teacher is, and how the student learns from it."""

    teacher_predictions: Optional[str] = field(
        default=None,
        metadata={"help": "what fairseq-validate --save-predictions wrote of the train split"},
    )
    teacher_checkpoint: Optional[str] = field(
        default=None,
        metadata={"help": "a checkpoint of this task, asked once when training starts"},
    )
    teacher_data: Optional[str] = field(
        default=None, metadata={"help": "the data dir that the checkpoint reads (default: --data)"}
    )
    distillation: ChoiceEnum(list(METHODS)) = field(  # type: ignore[valid-type]
        default=KD, metadata={"help": "kd: Kullback-Leibler; dist: correlations"}
    )
    distillation_weight: float = field(
        default=1.0, metadata={"help": "weight of the distance to the teacher"}
    )
    distillation_temperature: float = field(
        default=2.0, metadata={"help": "softens the answers of both"}
    )
    dist_intra_weight: float = field(
        default=1.0, metadata={"help": "dist: weight of the relation between utterances"}
    )


@dataclass
class EmotionDistillationConfig(DistillationConfig, AnyTargetConfig, TermsConfig):
    """The primary loss, the distance to the teacher, and what is added to them."""


@register_criterion("emotion_distillation", dataclass=EmotionDistillationConfig)
class EmotionDistillationCriterion(EmotionCriterion):
    """Primary loss + weight x distance to what a teacher says of the same utterances.

    A teacher may see more than the student does: text and speech, say.
    """

    def __init__(self, cfg: EmotionDistillationConfig, task: Any) -> None:
        terms: list[Term] = []
        if getattr(task, "trains", False):
            terms = [_distillation(cfg, task)]
        super().__init__(task, primary_loss(cfg, task), [*terms, *build_terms(cfg, task)])


def _distillation(cfg: Any, task: Any) -> Distillation:
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


def _check(cfg: Any, task: Any) -> None:
    if bool(cfg.teacher_predictions) == bool(cfg.teacher_checkpoint):
        raise UsageError(
            "--criterion emotion_distillation has no teacher, or two: give --teacher-checkpoint or "
            "--teacher-predictions"
        )
    if cfg.teacher_data and not cfg.teacher_checkpoint:
        raise UsageError("--teacher-data does not act: there is no --teacher-checkpoint")
    if task.target.kind is TargetKind.BINARY_PER_LABEL:
        raise UsageError(
            f"--target {task.target.name}: its yes/no questions are no distribution over labels to "
            "be distilled; use --target emotion"
        )
    is_dist = str(cfg.distillation) == DIST
    if cfg.dist_intra_weight != 1.0 and not is_dist:
        raise UsageError("--dist-intra-weight does not act: it belongs to --distillation dist")
    if is_dist and (task.target.kind is TargetKind.CONTINUOUS or len(task.labels) < 3):
        raise UsageError(
            "--distillation dist correlates three labels at least, which --target "
            f"{task.target.name} has not; use --distillation kd"
        )
    if cfg.distillation_temperature != 2.0 and task.target.kind is TargetKind.CONTINUOUS:
        raise UsageError(
            f"--distillation-temperature does not act: the numbers of --target {task.target.name} "
            "are no distribution; leave it out"
        )
    for name in ("distillation_weight", "distillation_temperature"):
        if not 0 < getattr(cfg, name) < math.inf:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(cfg, name)}: give more than 0")
    if not 0 <= cfg.dist_intra_weight < math.inf:
        raise UsageError(f"--dist-intra-weight {cfg.dist_intra_weight}: give 0 or more")
