"""A checkpoint as a model folder; :mod:`emo_fairseq.inference.model_folder` says what that is."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import emo_fairseq
from data_prep.errors import ManifestError
from data_prep.files.documents import (
    JsonObject,
    load_json,
)
from data_prep.messages import sentence
from emo_fairseq.encoder_spec import (
    PRETRAINED,
    EncoderSpec,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.export.replacing import UNFINISHED, replace_folder
from emo_fairseq.export.tokenizer_files import copy_tokenizer
from emo_fairseq.inference.folder_records import CONFIG_FILE, seal
from emo_fairseq.inference.loading import LoadedModel, model_of, plain, read_checkpoint
from emo_fairseq.inference.model_folder import (
    FEATURES_FILE,
    FORMAT,
    WEIGHTS_FILE,
)
from emo_fairseq.modules.lora import is_adapter, merged_state_dict
from emo_fairseq.pretrained.tensor_files import write_tensors
from emo_fairseq.types import (
    FULL,
    LORA,
    MODALITIES,
)

logger = logging.getLogger(__name__)

# Of the state.
_KEPT = (
    "labels",
    "class_counts",
    "auxiliary_labels",
    "frame_statistics",
    "corpus",
    "fold",
    "provenance",
)
_PROTOTYPES = "prototypes"  # of the state too: for readers, the model does not ask for them


def write_model_folder(
    checkpoint: str | Path,
    data: str | Path | None,
    out: str | Path,
    *,
    merge_lora: bool = False,
    finish: Callable[[Path], object] | None = None,
) -> Path:
    """Write the model of a checkpoint into a folder that needs nothing beside it.

    A model that is there already is replaced, with its card and its graph, once all is written; if
    something is refused before that, it stays as it was.

    Args:
        checkpoint: such as ``checkpoint_best.pt``.
        data: the data dir with the tokenizers; by default the one that it was trained on.
        out: the folder; if it is there, a model folder or empty.
        merge_lora: put LoRA's updates into the weights.
        finish: is given the new folder before it takes its place, and may write a card into it.

    Returns:
        `out`.

    Raises:
        UsageError: no checkpoint of this task, tokenizers of another model, `out` holds other
            things, or there is no LoRA to merge.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    if out.exists() and not (out.is_dir() and _is_ours(out)):
        raise UsageError(f"{out}: holds other things than a model; give another folder")
    saved = read_checkpoint(checkpoint)
    loaded = model_of(saved, checkpoint, None if data is None else Path(data))
    loaded.model.leave_out(())
    tensors: dict[str, Tensor] = loaded.model.state_dict()
    options = plain(saved["cfg"].model) | {"checkpoint_weights": "all"}
    if merge_lora:
        tensors, options = _merged(checkpoint, tensors, options)
    config = {
        "format": FORMAT,
        "emo_fairseq": emo_fairseq.__version__,
        "task": _portable(plain(loaded.task.cfg)),
        "model": options,
        "state": _state(saved.get("task_state", {})),
        "front_end": _front_end_state(loaded),
    }
    text = json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False)
    with replace_folder(out) as folder:
        _write(loaded, tensors, text, folder)
        if finish is not None:
            finish(folder)
    for modality, what in loaded.front_end.missing.items():
        logger.warning("%s: cannot predict from %s, it lacks %s", out, modality, what)
    return out


def _is_ours(folder: Path) -> bool:
    """Whether a folder is empty, a model folder, or one whose writing was cut short."""
    if (folder / UNFINISHED).exists() or not any(folder.iterdir()):
        return True
    try:
        config = load_json(folder / CONFIG_FILE, JsonObject, remedy="")
    except ManifestError:
        return False
    return {"format", "front_end"} <= config.keys()


def _merged(
    checkpoint: Path, tensors: Mapping[str, Tensor], options: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not any(map(is_adapter, tensors)):
        raise UsageError(f"{checkpoint}: no encoder has LoRA; there is nothing to merge")
    merged = dict(options)
    for modality in MODALITIES:
        if str(options.get(f"{modality}_tuning")) == LORA:
            merged[f"{modality}_tuning"] = FULL
    return merged_state_dict(tensors), merged


def _write(loaded: LoadedModel, tensors: Mapping[str, Tensor], config: str, out: Path) -> None:
    tokenizers = dict(loaded.tokenizers)
    for modality, recipe in loaded.front_end.recipes.items():
        if recipe.weights is not None:
            write_tensors(out / FEATURES_FILE.format(modality), recipe.weights)
        if recipe.tokenizer is not None:
            tokenizers[modality] = recipe.tokenizer
    for modality, folder in tokenizers.items():
        _copy_tokenizer(folder, out / modality)
    write_tensors(out / WEIGHTS_FILE, tensors)
    (out / CONFIG_FILE).write_text(config, encoding="utf-8")
    seal(out)


def _copy_tokenizer(folder: Path, out: Path) -> None:
    try:
        copy_tokenizer(folder, out)
    except (OSError, ValueError) as error:
        what = f"{folder}: the tokenizer cannot be copied to {out}"
        raise UsageError(f"{what}: {sentence(error)}") from error


def _portable(options: dict[str, Any]) -> dict[str, Any]:
    """The task's options, with the names of encoders in place of where they lay."""
    for modality in MODALITIES:
        spec = options.get(f"{modality}_encoder")
        if spec is not None:
            options[f"{modality}_encoder"] = portable_spec(spec)
    return options


def portable_spec(spec: str) -> str:
    """An encoder's spec without the folders it lay in.

    >>> portable_spec("hf:/home/me/models/mpnet"), portable_spec("features:wavlm")
    ('hf:mpnet', 'features:wavlm')
    """
    kind, _, place = spec.partition(":")
    return f"{kind}:{Path(place).name}" if kind in PRETRAINED else spec


def _portable_card(card: EncoderSpec) -> dict[str, Any]:
    return replace(card, spec=portable_spec(card.spec)).to_state()


def _state(task_state: Mapping[str, Any]) -> dict[str, Any]:
    """What a task's state tells of the model, as plain values without places."""
    kept = {name: task_state[name] for name in _KEPT if name in task_state}
    encoders = {
        name: _portable_card(EncoderSpec(**card))
        for name, card in task_state.get("encoders", {}).items()
    }
    vocabulary = {
        name: {**entry, "source": f"{name}/{Path(str(entry['source'])).name}"}
        for name, entry in task_state.get("vocabulary", {}).items()
    }
    found = {**kept, "encoders": encoders, "vocabulary": vocabulary}
    if prototypes := task_state.get(_PROTOTYPES):
        found[_PROTOTYPES] = {str(name): _plain(value) for name, value in prototypes.items()}
    return found


def _plain(value: Any) -> Any:
    """Tensors as nested lists; NaN, a class without prototype, as None."""
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    is_number = isinstance(value, float)
    return None if is_number and not torch.isfinite(torch.tensor(value)) else value


def _front_end_state(loaded: LoadedModel) -> dict[str, Any]:
    front_end = loaded.front_end
    return {
        "tokenizers": list(loaded.tokenizers),
        "missing": dict(front_end.missing),
        "cleans_text": front_end.cleans_text,
        "features": {
            modality: {
                "settings": dict(recipe.settings),
                "card": None if recipe.card is None else _portable_card(recipe.card),
                "reads_tokens": recipe.tokenizer is not None,
            }
            for modality, recipe in front_end.recipes.items()
        },
    }
