"""Multimodal emotion recognition for fairseq: pass this folder as ``--user-dir``.

Importing the package does nothing else. fairseq's commands import its ``tasks`` and ``models``
next, which registers everything; a program that uses fairseq's functions itself calls
:func:`register` first. :func:`fit` trains from Python.
"""

import importlib
from typing import Any

__all__ = ["fit", "register"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Return :func:`emo_fairseq.fitting.fit`, whose module is loaded where it is used."""
    if name != "fit":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module("emo_fairseq.fitting").fit


def register() -> None:
    """Apply :mod:`emo_fairseq.compat`, and register task, model, criterions and optimizer.

    A second call changes nothing.
    """
    from emo_fairseq import compat
    from emo_fairseq.compat.deferred_imports import import_fairseq

    import_fairseq()
    from emo_fairseq.compat.configs_on_demand import configs_on_demand  # which imports Hydra

    compat.apply()
    with configs_on_demand():
        from emo_fairseq import criterions, models, training  # noqa: F401
        from emo_fairseq.tasks import emotion_prediction  # noqa: F401
    from emo_fairseq.training import progress_bar

    progress_bar.apply()
