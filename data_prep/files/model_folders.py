"""Folders of Hugging Face models: a sentence for one that does not exist."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from data_prep.errors import CodedError

_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")  # such as FacebookAI/roberta-base
_CODE = "encoder-missing"


def check_model_folder(source: str | Path) -> None:
    """Refuse a source of a pretrained model that is neither a folder nor a name on the hub.

    transformers takes every text for a name on the hub, and reports one that is not by its rules.

    Raises:
        CodedError: it is a file, or no such folder exists and the hub can have no such name.
    """
    path = Path(source)
    if path.is_file():
        raise CodedError(
            f"hf:{source}: is a file; give the folder that holds config.json and the tokenizer",
            _CODE,
        )
    if not path.is_dir() and not _HUB_NAME.fullmatch(str(source)):
        raise missing_model(source)


def missing_model(source: str | Path) -> CodedError:
    """Return the error for a model that was not found, with a folder of a similar name.

    >>> str(missing_model("models/robrta-base")).partition(";")[0]
    'hf:models/robrta-base: there is no such folder, and none of that name was loaded from the hub'
    """
    path = Path(source)
    on_hub = ", and none of that name was loaded from the hub"
    on_hub = on_hub if _HUB_NAME.fullmatch(str(source)) else ""
    folders = [x.name for x in path.parent.glob("[!.]*/")] if path.parent.is_dir() else []
    similar = difflib.get_close_matches(path.name, folders, n=1)
    nearest = f", such as {path.parent / similar[0]}" if similar else ""
    return CodedError(
        f"hf:{source}: there is no such folder{on_hub}; give the folder of a pretrained "
        f"model{nearest}",
        _CODE,
    )
