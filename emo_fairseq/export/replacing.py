"""Replace the model in a folder by another one, whole or not at all."""

import contextlib
import shutil
from collections.abc import Iterator, Set
from pathlib import Path

from data_prep.errors import ManifestError
from data_prep.files.documents import JsonObject, load_json
from data_prep.tokens.folder import TOKENIZER_FILE
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.files import (
    CARD_FILE,
    CONFIG_FILE,
    ENSEMBLE_FILE,
    FEATURES_FILE,
    INTERFACE_FILE,
    is_of_graph,
)
from emo_fairseq.modalities import MODALITIES

_INDEXES = (CONFIG_FILE, ENSEMBLE_FILE)  # without which nothing is read of a folder
UNFINISHED = ".unfinished"  # in the folder, so that moving out of it is renaming


def check_replaceable(out: Path, what: str, index: str, keys: Set[str]) -> None:
    """Raise a `UsageError` if a folder holds other things than a model of the kind to be written.

    It may be empty, or one whose writing was cut short.

    Args:
        out: the folder, which need not be there.
        what: is written, for the message.
        index: its file in JSON.
        keys: that this has.
    """
    if not out.exists():
        return
    if out.is_dir():
        if (out / UNFINISHED).exists() or not any(out.iterdir()):
            return
        with contextlib.suppress(ManifestError):
            if keys <= load_json(out / index, JsonObject, remedy="").keys():
                return
    raise UsageError(
        f"{out}: holds other things than {what}; give another folder", "folder-not-empty"
    )


@contextlib.contextmanager
def replace_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder, whose contents replace the model in `out` at the end.

    If anything is raised, `out` stays as it was, or is not made. What is in it and of no model
    stays, too. A run that is killed while the files are moved leaves no ``config.json``, so that
    nobody takes what is there for a model.
    """
    new = out / UNFINISHED
    existed, was_cut_short = out.exists(), new.exists()
    _remove(new)
    new.mkdir(parents=True)
    try:
        yield new
    except BaseException:
        shutil.rmtree(new if existed else out, ignore_errors=True)
        if was_cut_short:
            new.mkdir()  # it still is
        raise
    _remove_model(out)
    written = sorted(new.iterdir(), key=lambda file: file.name in _INDEXES)  # that one last
    for file in written:
        _remove(out / file.name)
        file.rename(out / file.name)
    new.rmdir()


def _remove_model(out: Path) -> None:
    for name in _INDEXES:
        (out / name).unlink(missing_ok=True)  # from here on this is no model folder
    for stale in (out / CARD_FILE, out / INTERFACE_FILE, *out.glob("model.*onnx*")):
        if stale.name in (CARD_FILE, INTERFACE_FILE) or is_of_graph(stale.name):
            stale.unlink(missing_ok=True)
    for modality in MODALITIES:
        (out / FEATURES_FILE.format(modality)).unlink(missing_ok=True)
        if (out / modality / TOKENIZER_FILE).is_file():
            _remove(out / modality)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
