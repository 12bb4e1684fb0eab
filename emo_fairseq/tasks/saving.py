"""What scoring writes to files that it is told of, and where."""

from pathlib import Path
from typing import Any

from emo_fairseq.errors import UsageError, check_writable

_OPTIONS = ("save_predictions", "save_embeddings", "save_attention")


def refuse_saving(cfg: Any) -> None:
    """Raise a `UsageError` for a file that a training would never write."""
    for flag in _files(cfg):
        raise UsageError(f"{flag} belongs to fairseq-validate; leave it out here")


def check_places(cfg: Any) -> None:
    """Raise a `UsageError`, before anything is scored, for a file that cannot be written."""
    for flag, file in _files(cfg).items():
        check_writable(file, flag)


def _files(cfg: Any) -> dict[str, Path]:
    given = {option: getattr(cfg, option, None) for option in _OPTIONS}
    return {f"--{name.replace('_', '-')}": Path(file) for name, file in given.items() if file}
