"""Resolve the checkpoint or model folder that a path on the command line names."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"  # of a model folder
_OF_TRAINING = ("checkpoint_best.pt", "checkpoint_last.pt")


def is_model_folder(path: Path) -> bool:
    """Whether `path` is what ``emotion-recognize export`` writes."""
    return (path / CONFIG_FILE).is_file() and (path / WEIGHTS_FILE).is_file()


def find_checkpoint(path: Path, takes_folders: bool = True) -> Path:
    """The checkpoint that is meant: a file, or of a training's folder the best, else the last.

    Args:
        path: what was given.
        takes_folders: whether a model folder would have done, too.

    Raises:
        UsageError: there is none.
    """
    if path.is_file():
        return path
    for name in _OF_TRAINING:
        if (path / name).is_file():
            if name != _OF_TRAINING[0]:
                logger.warning(
                    "%s: there is no %s, so %s is taken, which no set has chosen",
                    path,
                    _OF_TRAINING[0],
                    name,
                )
            return path / name
    there = "no checkpoint in it" if path.is_dir() else "there is no such file or folder"
    if is_model_folder(path):
        there = "it is a model folder"
    others = ", a folder of --save-dir, or a model folder" if takes_folders else None
    raise UsageError(f"{path}: {there}; give a checkpoint{others or ' or a folder of --save-dir'}")


# -- Whether a model can be asked at all, from what lies beside it ---------------------------------


def check_answerable(place: Path, modalities: Sequence[str], missing: Mapping[str, str]) -> None:
    """Refuse a model that could read nothing of what it would be given.

    Args:
        place: of the model, for the message.
        modalities: that it reads.
        missing: for each that cannot be computed what it lacks.

    Raises:
        UsageError: none of them can be computed.
    """
    if not {*modalities} <= missing.keys():
        return
    lacks = "; ".join(f"{name} lacks {missing[name]}" for name in modalities)
    raise UsageError(
        f"{place}: nothing that the model reads can be computed: {lacks} (--data DATA names it)"
    )
