"""The criterions that ``--criterion`` names: a primary loss, and the terms that may be added to it.

Checkpoints hold the names of the classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fairseq.criterions import register_criterion
from fairseq.dataclass import FairseqDataclass

from emo_fairseq.criterions.classification_loss import ClassificationLoss, ClassificationLossConfig
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.primary_loss import PrimaryLoss
from emo_fairseq.criterions.regression_loss import RegressionLoss, RegressionLossConfig
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.criterions.terms.contrastive import ContrastiveConfig
from emo_fairseq.criterions.terms.distillation import DistillationConfig
from emo_fairseq.criterions.terms.registry import TermsConfig, build_terms
from emo_fairseq.targets import TargetKind


@dataclass
class EmotionClassificationConfig(ClassificationLossConfig, TermsConfig):
    """The loss of labels, and the terms of any criterion."""


@register_criterion("emotion_classification", dataclass=EmotionClassificationConfig)
class EmotionClassificationCriterion(EmotionCriterion):
    """Cross-entropy, and its weighted and focal forms."""

    def __init__(self, cfg: EmotionClassificationConfig, task: EmotionTask) -> None:
        super().__init__(
            task, ClassificationLoss(cfg, task), build_terms(cfg, task, EmotionClassificationConfig)
        )


@dataclass
class EmotionRegressionConfig(RegressionLossConfig, TermsConfig):
    """The loss of numbers, and the terms of any criterion."""


@register_criterion("emotion_regression", dataclass=EmotionRegressionConfig)
class EmotionRegressionCriterion(EmotionCriterion):
    """Squared error, absolute error, 1 - CCC, and mixtures of them."""

    def __init__(self, cfg: EmotionRegressionConfig, task: EmotionTask) -> None:
        super().__init__(
            task, RegressionLoss(cfg, task), build_terms(cfg, task, EmotionRegressionConfig)
        )


# -- of any target ---------------------------------------------------------------------------------


@dataclass
class AnyTargetConfig(ClassificationLossConfig, RegressionLossConfig):
    """The options of the losses of labels and of numbers."""


def _primary_loss(cfg: AnyTargetConfig, task: EmotionTask) -> PrimaryLoss:
    """Return the loss that the target needs: of labels or of numbers."""
    is_continuous = task.target.kind is TargetKind.CONTINUOUS
    return (RegressionLoss if is_continuous else ClassificationLoss)(cfg, task)


@dataclass
class EmotionSupConConfig(ContrastiveConfig, AnyTargetConfig, TermsConfig):
    """The primary loss, the contrastive one, and the terms of any criterion."""


@register_criterion("emotion_supcon", dataclass=EmotionSupConConfig)
class EmotionSupConCriterion(EmotionCriterion):
    """Primary loss + lambda x :func:`emo_fairseq.losses.supervised_contrastive`."""

    def __init__(self, cfg: EmotionSupConConfig, task: EmotionTask) -> None:
        super().__init__(
            task, _primary_loss(cfg, task), build_terms(cfg, task, EmotionSupConConfig)
        )


@dataclass
class EmotionDistillationConfig(DistillationConfig, AnyTargetConfig, TermsConfig):
    """The primary loss, the distance to a teacher, and the terms of any criterion."""


@register_criterion("emotion_distillation", dataclass=EmotionDistillationConfig)
class EmotionDistillationCriterion(EmotionCriterion):
    """Primary loss + weight x distance to the outputs of a teacher for the same utterances."""

    def __init__(self, cfg: EmotionDistillationConfig, task: EmotionTask) -> None:
        super().__init__(
            task, _primary_loss(cfg, task), build_terms(cfg, task, EmotionDistillationConfig)
        )


# BERT-like (Siriwardhana et al. 2020) has absolute error on CMU's sentiment, squared on the rest.
_LEGACY_REGRESSION_LOSSES: Mapping[str, str] = {"sentiment_score": "l1"}


@register_criterion("emotion_prediction_cri", dataclass=FairseqDataclass)
class EmotionPredictionCriterion(EmotionCriterion):
    """The plain loss of any target, under its legacy name; builds the criterion of the target."""

    @classmethod
    def build_criterion(cls, cfg: FairseqDataclass, task: EmotionTask) -> EmotionCriterion:
        if task.target.has_labels:
            return EmotionClassificationCriterion(EmotionClassificationConfig(), task)
        loss = _LEGACY_REGRESSION_LOSSES.get(task.target.name, "mse")
        return EmotionRegressionCriterion(EmotionRegressionConfig(regression_loss=loss), task)
