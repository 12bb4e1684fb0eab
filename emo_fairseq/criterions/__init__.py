"""Criterions: what is minimised, and the sums that metrics are derived from."""

from emo_fairseq.criterions import (
    emotion_classification,
    emotion_prediction_cri,
    emotion_regression,
)

__all__ = ["emotion_classification", "emotion_prediction_cri", "emotion_regression"]
