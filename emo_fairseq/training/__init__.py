"""Optimizer, learning rates, freezing and activation checkpointing.

Importing this package registers the optimizers with fairseq.
"""

from emo_fairseq.training import adamw

__all__ = ["adamw"]
