"""Folders of Hugging Face models: on disk, or downloaded from the hub."""

from __future__ import annotations

import difflib
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.files.hub import download, encoder_files, parse_hub_name

_CODE = "encoder-missing"


def model_folder(source: str | Path) -> Path:
    """Return the folder of a pretrained model: a local one, or that of ORG/NAME[@REVISION].

    Raises:
        CodedError: it is a file; there is no such folder, and the hub can have no such name; or it
            could not be downloaded, see :func:`data_prep.files.hub.download`.
    """
    path = Path(source)
    if path.is_dir():
        return path
    if path.is_file():
        raise CodedError(
            f"hf:{source}: is a file; give the folder that holds config.json and the tokenizer",
            _CODE,
        )
    if parse_hub_name(str(source)) is None:
        raise missing_model(source)
    try:
        return download(str(source), encoder_files)
    except CodedError as error:
        if nearest := _similar_folder(path):
            raise CodedError(
                f"{error}; or did you mean the folder {nearest}?", error.code
            ) from None
        raise


def missing_model(source: str | Path) -> CodedError:
    """Return the error for a folder that does not exist, with one of a similar name.

    >>> str(missing_model("./models/robrta-base"))
    'hf:./models/robrta-base: there is no such folder; give the folder of a pretrained model'
    """
    nearest = _similar_folder(Path(source))
    return CodedError(
        f"hf:{source}: there is no such folder; give the folder of a pretrained model"
        + (f", such as {nearest}" if nearest else ""),
        _CODE,
    )


def _similar_folder(path: Path) -> Path | None:
    folders = [x.name for x in path.parent.glob("[!.]*/")] if path.parent.is_dir() else []
    similar = difflib.get_close_matches(path.name, folders, n=1)
    return path.parent / similar[0] if similar else None
