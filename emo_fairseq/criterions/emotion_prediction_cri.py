"""Criterion ``emotion_prediction_cri``: the seed's name; picks by target."""

from collections.abc import Callable, Mapping
from typing import Any

from fairseq.criterions import register_criterion
from fairseq.dataclass import FairseqDataclass

from emo_fairseq.criterions.emotion_classification import (
    EmotionClassificationConfig,
    EmotionClassificationCriterion,
)
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.emotion_regression import (
    EmotionRegressionConfig,
    EmotionRegressionCriterion,
)


def _classification(task: Any) -> EmotionCriterion:
    return EmotionClassificationCriterion(EmotionClassificationConfig(), task)


def _regression(loss: str) -> Callable[[Any], EmotionCriterion]:
    return lambda task: EmotionRegressionCriterion(
        EmotionRegressionConfig(regression_loss=loss), task
    )


# The seed's losses: it scored CMU's sentiment by absolute error, anything else real by squared.
_PICKS: Mapping[str, Callable[[Any], EmotionCriterion]] = {
    "emotion": _classification,
    "sentiment": _classification,
    "binary_emotion": _classification,
    "sentiment_score": _regression("l1"),
    "vad": _regression("mse"),
}


@register_criterion("emotion_prediction_cri", dataclass=FairseqDataclass)
class EmotionPredictionCriterion(EmotionCriterion):
    """Never built itself: stands for the criterion that the target asks for, in its plain form."""

    @classmethod
    def build_criterion(cls, cfg: FairseqDataclass, task: Any) -> EmotionCriterion:
        return _PICKS[task.target.name](task)
