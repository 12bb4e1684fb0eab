"""Multimodal emotion recognition for fairseq: pass this folder as ``--user-dir``.

Importing the package does nothing else. fairseq's commands import its ``tasks`` and ``models``
next, which registers everything; a program that uses fairseq's functions itself calls
:func:`register` first.
"""

__all__ = ["register"]
__version__ = "0.1.0"


def register() -> None:
    """Apply :mod:`emo_fairseq.compat`, and register task, model, criterions and optimizer.

    A second call changes nothing.
    """
    from emo_fairseq import compat

    compat.apply()
    from emo_fairseq import criterions, models, training  # noqa: F401
    from emo_fairseq.tasks import emotion_prediction  # noqa: F401
    from emo_fairseq.training import progress_bar

    progress_bar.apply()
