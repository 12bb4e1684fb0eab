"""Criterion ``emotion_prediction_cri``: the plain loss of any target, under its legacy name."""

from collections.abc import Mapping

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
from emo_fairseq.criterions.task_protocol import EmotionTask

# BERT-like (Siriwardhana et al. 2020) has absolute error on CMU's sentiment, squared on the rest.
_REGRESSION_LOSSES: Mapping[str, str] = {"sentiment_score": "l1"}


@register_criterion("emotion_prediction_cri", dataclass=FairseqDataclass)
class EmotionPredictionCriterion(EmotionCriterion):
    """Never built itself: stands for the criterion that the target asks for, in its plain form."""

    @classmethod
    def build_criterion(cls, cfg: FairseqDataclass, task: EmotionTask) -> EmotionCriterion:
        if task.target.has_labels:
            return EmotionClassificationCriterion(EmotionClassificationConfig(), task)
        loss = _REGRESSION_LOSSES.get(task.target.name, "mse")
        return EmotionRegressionCriterion(EmotionRegressionConfig(regression_loss=loss), task)
