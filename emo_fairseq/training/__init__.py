"""How a model is trained: the optimizer, learning rates, freezing, memory.

Importing this package registers the optimizers with fairseq.
"""

from emo_fairseq.training import adamw

__all__ = ["adamw"]
