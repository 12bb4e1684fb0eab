"""Multimodal emotion recognition for fairseq: pass this folder as ``--user-dir``.

Importing the package applies :mod:`emo_fairseq.compat` and registers the task, the model with its
architectures, the criterions and the optimizer. It does nothing else.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emo_fairseq import compat, criterions, models, tasks, training

__all__ = ["compat", "criterions", "models", "register", "tasks", "training"]
__version__ = "0.1.0"


def register() -> None:
    """Do what importing the package does; a second time changes nothing."""
    from emo_fairseq import compat

    compat.apply()
    from emo_fairseq import criterions, models, tasks, training  # noqa: F401


# The console command answers --help before torch is imported, and calls this itself.
if Path(sys.argv[0] if sys.argv else "").stem != "emotion-recognize":
    register()
