"""The task ``emotion_prediction``."""

from emo_fairseq.tasks import emotion_prediction

__all__ = ["emotion_prediction"]
