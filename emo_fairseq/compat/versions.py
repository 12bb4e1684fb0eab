"""The versions of torch that are supported."""

import torch

from emo_fairseq.errors import UsageError

_FIRST_SAFE_TORCH = (2, 6)  # before it, torch.load runs code of a file as fairseq calls it


def apply() -> None:
    """Refuse a torch that would run code of a checkpoint.

    Raises:
        UsageError: the installed torch is too old.
    """
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    if (major, minor) < _FIRST_SAFE_TORCH:
        raise UsageError(
            f"torch {torch.__version__} runs code that a checkpoint may hold; "
            "install torch 2.6 or later",
            "library-version-other",
        )
