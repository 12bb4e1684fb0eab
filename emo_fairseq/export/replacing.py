"""A model folder written beside the old one, which gives way only when all is there."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from data_prep.tokens.folder import TOKENIZER_FILE
from emo_fairseq.inference.folder_records import CONFIG_FILE
from emo_fairseq.inference.model_folder import FEATURES_FILE
from emo_fairseq.types import MODALITIES

UNFINISHED = ".unfinished"  # in the folder, so that moving out of it is renaming
_OF_A_MODEL = ("README.md", "model.onnx*")  # what was made of the old weights alone


@contextlib.contextmanager
def replace_folder(out: Path) -> Iterator[Path]:
    """An empty folder whose contents take the place of the model in `out` at the end.

    If anything is raised, `out` stays as it was, or is not made. What is in it and of no model
    stays, too. A run that is killed while the files are moved leaves no ``config.json``, so that
    nobody takes what is there for a model.
    """
    new = out / UNFINISHED
    was_there, was_cut_short = out.exists(), new.exists()
    _remove(new)
    new.mkdir(parents=True)
    try:
        yield new
    except BaseException:
        shutil.rmtree(new if was_there else out, ignore_errors=True)
        if was_cut_short:
            new.mkdir()  # it still is
        raise
    _remove_model(out)
    written = sorted(new.iterdir(), key=lambda file: file.name == CONFIG_FILE)  # that one last
    for file in written:
        _remove(out / file.name)
        file.rename(out / file.name)
    new.rmdir()


def _remove_model(out: Path) -> None:
    (out / CONFIG_FILE).unlink(missing_ok=True)  # from here on this is no model folder
    for pattern in _OF_A_MODEL:
        for stale in out.glob(pattern):
            stale.unlink()
    for modality in MODALITIES:
        (out / FEATURES_FILE.format(modality)).unlink(missing_ok=True)
        if (out / modality / TOKENIZER_FILE).is_file():
            _remove(out / modality)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
