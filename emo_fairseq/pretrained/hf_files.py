"""Folders (or hub names) of Hugging Face models: their configuration, weights and digests."""

import hashlib
from pathlib import Path
from typing import Any

from data_prep.token_folder import file_digest
from emo_fairseq.data.naming import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.pretrained.hf_extra import transformers

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_INDEX = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_UNUSED = ("pooler.",)  # parameters that no fusion reads: their absence is no fault
_KEYS_NAMED = 3


def read_config(place: str) -> Any:
    """The configuration. Raises a `UsageError` if there is none."""
    try:
        return transformers().AutoConfig.from_pretrained(place)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"hf:{place}: no model of Hugging Face there ({reason})") from error


def read_model(place: str) -> Any:
    """The model with its weights, in single precision.

    Raises:
        UsageError: a parameter is missing, or has another shape than the configuration says.
    """
    try:
        model, found = transformers().AutoModel.from_pretrained(
            place, dtype="float32", output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"hf:{place}: the weights cannot be read ({reason})") from error
    missing = [
        str(key)
        for kind in ("missing_keys", "mismatched_keys")
        for key in found[kind]
        if not str(key).startswith(_UNUSED)
    ]
    if missing:
        raise UsageError(
            f"hf:{place}: the weights lack {len(missing)} parameters of the model, or have them "
            f"in another shape: {first_few(sorted(missing), _KEYS_NAMED)}; fetch the model again"
        )
    return model


def weights_digest(place: str) -> str:
    """SHA-256 of the weights file; of several shards, of their digests in order.

    Raises:
        UsageError: there is no weights file.
    """
    for name in _WEIGHTS:
        if (file := _find(place, name)) is not None:
            return file_digest(file)
    for name in _INDEX:
        if (index := _find(place, name)) is not None:
            shards = sorted(index.parent.glob(f"{name.split('.')[0]}-*"))
            joined = "".join(file_digest(shard) for shard in shards)
            return hashlib.sha256(joined.encode()).hexdigest()
    raise UsageError(f"hf:{place}: holds none of {', '.join(_WEIGHTS)}; fetch the model again")


def _find(place: str, name: str) -> Path | None:
    if Path(place).is_dir():
        file = Path(place) / name
        return file if file.exists() else None
    found = transformers().utils.cached_file(
        place, name, _raise_exceptions_for_missing_entries=False
    )
    return None if found is None else Path(found)
