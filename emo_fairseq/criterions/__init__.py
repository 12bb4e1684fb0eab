"""Criterions: what is minimized, and the sums that metrics are derived from."""

from emo_fairseq.criterions import (
    emotion_classification,
    emotion_distillation,
    emotion_prediction_cri,
    emotion_regression,
    emotion_supcon,
)

__all__ = [
    "emotion_classification",
    "emotion_distillation",
    "emotion_prediction_cri",
    "emotion_regression",
    "emotion_supcon",
]
