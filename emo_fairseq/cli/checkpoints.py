"""Resolve the checkpoint or model folder that a path on the command line names."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.files.hub import local_folder
from emo_fairseq.checkpoint_files import BEST, LAST
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.files import is_ensemble, is_model_folder

logger = logging.getLogger(__name__)


def is_model(path: Path) -> bool:
    """Return whether `path` is a model folder, an ensemble, or a folder of trainings."""
    is_training = any((path / name).is_file() for name in (BEST, LAST))
    is_exported = is_model_folder(path) or is_ensemble(path)
    return is_exported or is_training or bool(_trained_folders(path))


def check_exists(path: Path) -> None:
    """Raise a `UsageError` if there is neither a checkpoint nor a folder at the path of a model."""
    if not path.exists():
        raise UsageError(
            f"{path}: there is no such file or folder; give a checkpoint, a folder of --save-dir, "
            "or a model folder",
            "checkpoint-missing",
        )


def local_model(path: Path) -> Path:
    """Return the path of a model on this machine; ``hf:ORG/NAME`` is downloaded.

    Raises:
        UsageError: there is nothing at the path.
        CodedError: the model cannot be downloaded, see :func:`data_prep.files.hub.download`.
    """
    path = local_folder(path)
    check_exists(path)
    return path


def find_model(path: Path) -> Path:
    """Return the model folder that a path is, else the checkpoint of :func:`find_checkpoint`.

    Raises:
        UsageError: there is neither.
    """
    return path if is_model_folder(path) or is_ensemble(path) else find_checkpoint(path)


def find_checkpoint(path: Path, takes_folders: bool = True) -> Path:
    """Return the checkpoint of a path: a file, or of a --save-dir folder the best, else the last.

    A folder of ``train --output`` that holds one training is taken for the folder in it.

    Raises:
        UsageError: there is no checkpoint.
    """
    if path.is_file():
        return path
    for name in (BEST, LAST):
        if (path / name).is_file():
            if name != BEST:
                logger.warning(
                    "%s: there is no %s; %s is loaded, which no validation has selected",
                    path,
                    BEST,
                    name,
                )
            return path / name
    trained = _trained_folders(path)
    if len(trained) == 1:
        return find_checkpoint(trained[0], takes_folders)
    problem = "no checkpoint in it" if path.is_dir() else "there is no such file or folder"
    if trained:
        problem = f"it holds {len(trained)} trainings ({', '.join(x.name for x in trained)})"
    if is_model_folder(path):
        problem = "it is a model folder"
    if is_ensemble(path):
        problem = "it is an ensemble of the model folders in its folder members"
    others = ", a folder of --save-dir, or a model folder"
    if not takes_folders:
        others = " or a folder of --save-dir"
    raise UsageError(f"{path}: {problem}; give a checkpoint{others}", "checkpoint-missing")


def _trained_folders(path: Path) -> list[Path]:
    """Return the folders directly in `path` that hold a checkpoint."""
    return sorted({file.parent for name in (BEST, LAST) for file in path.glob(f"*/{name}")})


def check_supported_inputs(
    path: Path, modalities: Sequence[str], missing: Mapping[str, str], data: Path | None = None
) -> None:
    """Raise if none of a model's modalities can be preprocessed.

    Raises:
        UsageError: none of them can be preprocessed.
    """
    if not {*modalities} <= missing.keys():
        return
    lacks = "; ".join(f"{name} lacks {missing[name]}" for name in modalities)
    remedy = "--data DATA names it" if data is None else f"--data {data} does not"
    raise UsageError(
        f"{path}: no input of the model can be preprocessed: {lacks} ({remedy})",
        "modalities-unsupported",
    )
