"""The primary loss that the target asks for, with the options of both kinds."""

from dataclasses import dataclass, fields
from typing import Any

from emo_fairseq.criterions.emotion_classification import (
    ClassificationLoss,
    ClassificationLossConfig,
)
from emo_fairseq.criterions.emotion_regression import RegressionLoss, RegressionLossConfig
from emo_fairseq.criterions.primary import PrimaryLoss
from emo_fairseq.errors import UsageError
from emo_fairseq.types import TargetKind


@dataclass
class AnyTargetConfig(ClassificationLossConfig, RegressionLossConfig):
    """The options of the losses of labels and of numbers."""


def primary_loss(cfg: Any, task: Any) -> PrimaryLoss:
    """Of labels or of numbers.

    Raises:
        UsageError: an option of the other kind is given.
    """
    is_continuous = task.target.kind is TargetKind.CONTINUOUS
    other = ClassificationLossConfig if is_continuous else RegressionLossConfig
    for one in fields(other):
        given = getattr(cfg, one.name, one.default)
        if one.name != "_name" and one.default not in (given, str(given)):
            raise UsageError(
                f"--{one.name.replace('_', '-')} does not act: --target {task.target.name} is "
                f"{task.target.kind.value}; leave it out"
            )
    return (RegressionLoss if is_continuous else ClassificationLoss)(cfg, task)
