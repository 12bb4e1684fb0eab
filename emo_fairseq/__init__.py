"""Multimodal emotion recognition for fairseq: pass this folder as ``--user-dir``.

Importing the package applies :mod:`emo_fairseq.compat` and registers the task, the model with its
architectures, the criterions and the optimizer. It does nothing else.
"""

from emo_fairseq import compat

compat.apply()

from emo_fairseq import criterions, models, optim, tasks  # noqa: E402

__all__ = ["criterions", "models", "optim", "tasks"]
__version__ = "0.1.0"
