"""Optimizers. Importing this package registers them with fairseq."""

from emo_fairseq.optim import adamw

__all__ = ["adamw"]
