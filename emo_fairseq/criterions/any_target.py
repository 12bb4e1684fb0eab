"""The primary loss that the target asks for, with the options of both kinds."""

from dataclasses import dataclass

from emo_fairseq.criterions.emotion_classification import (
    ClassificationLoss,
    ClassificationLossConfig,
)
from emo_fairseq.criterions.emotion_regression import RegressionLoss, RegressionLossConfig
from emo_fairseq.criterions.primary import PrimaryLoss
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.types import TargetKind


@dataclass
class AnyTargetConfig(ClassificationLossConfig, RegressionLossConfig):
    """The options of the losses of labels and of numbers."""


def primary_loss(cfg: AnyTargetConfig, task: EmotionTask) -> PrimaryLoss:
    """Return the loss of labels or of numbers."""
    is_continuous = task.target.kind is TargetKind.CONTINUOUS
    return (RegressionLoss if is_continuous else ClassificationLoss)(cfg, task)
