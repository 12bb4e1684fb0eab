"""Write the model of a checkpoint as a model folder."""

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import emo_fairseq
from data_prep.files.digests import file_digest
from data_prep.files.hub import parse_hub_name
from data_prep.files.yaml_values import dump_yaml
from data_prep.messages import error_code, sentence
from data_prep.tokens.folder import TOKENIZER_FILE, read_card
from data_prep.tokens.vq_wav2vec import PATH_FILE
from emo_fairseq.encoder_spec import PRETRAINED, EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.export.replacing import check_replaceable, replace_folder
from emo_fairseq.inference.input_processor import InputProcessor
from emo_fairseq.inference.model_folder.config import ALLOW_LEAK, FORMAT
from emo_fairseq.inference.model_folder.files import CONFIG_FILE, FEATURES_FILE, WEIGHTS_FILE
from emo_fairseq.inference.model_folder.records import seal
from emo_fairseq.modalities import MODALITIES
from emo_fairseq.option_values import FULL, LORA
from emo_fairseq.task_state import TaskState

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

# Of the state in a checkpoint.
_KEPT_STATE = (
    "labels",
    "class_counts",
    "auxiliary_labels",
    "frame_statistics",
    "normalize_by",
    "corpus",
    "fold",
    "provenance",
)
_QUANTIZER_FILE = "vq-wav2vec.safetensors"


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
        merge_lora: merge LoRA's updates into the weights.
        finish: is given the new folder before it replaces the old one, and may write a card into
            it.

    Returns:
        `out`.

    Raises:
        UsageError: no checkpoint of this task, tokenizers of another model, `out` holds other
            things, or there is no LoRA to merge.
    """
    from emo_fairseq.inference.checkpoint import (
        build_checkpoint_model,
        find_processor,
        read_checkpoint,
    )
    from emo_fairseq.models.build import plain

    checkpoint, out = Path(checkpoint), Path(out)
    check_out(out)
    saved = read_checkpoint(checkpoint)
    state, model = build_checkpoint_model(saved, checkpoint)
    processor = find_processor(saved, state, None if data is None else Path(data))
    model.leave_out(())
    tensors: dict[str, Any] = model.state_dict()
    model_options = plain(saved["cfg"].model)
    if merge_lora:
        tensors, model_options = _merge_lora(checkpoint, tensors, model_options)
    task_options, task_state = plain(saved["cfg"].task), saved.get("task_state", {})
    content = FolderContent(state, task_options, model_options, task_state, tensors, processor)
    write_folder(content, out, finish)
    for modality, reason in processor.missing.items():
        logger.warning("%s: cannot predict from %s, it lacks %s", out, modality, reason)
    return out


def check_out(out: Path) -> None:
    """Raise a `UsageError` if a folder holds other things than a model."""
    check_replaceable(out, "a model", CONFIG_FILE, {"format", "front_end"})


class FolderContent(NamedTuple):
    """What is written into a model folder.

    Attributes:
        state: what the model reads and predicts.
        task_options: of the task, as plain values.
        model_options: of the model, all of them, as plain values.
        task_state: `state` as a checkpoint holds it.
        tensors: the weights, by name.
        processor: tokenizers and feature extractors.
    """

    state: TaskState
    task_options: Mapping[str, Any]
    model_options: Mapping[str, Any]
    task_state: Mapping[str, Any]
    tensors: "Mapping[str, Tensor]"
    processor: InputProcessor


def write_folder(
    content: FolderContent, out: Path, finish: Callable[[Path], object] | None = None
) -> None:
    """Write a model folder; see :func:`write_model_folder`."""
    from emo_fairseq.pretrained.weights import write_tensors

    config = {
        "format": FORMAT,
        "emo_fairseq": emo_fairseq.__version__,
        "task": _task_options(content.task_options, content.state),
        "model": {**content.model_options, "checkpoint_weights": "all"},
        "state": _portable_state(content.task_state),
        "front_end": _processor_config(content.processor),
    }
    text = json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False)
    with replace_folder(out) as folder:
        _write_processor(content.processor, folder)
        write_tensors(folder / WEIGHTS_FILE, content.tensors)
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
        seal(folder)
        if finish is not None:
            finish(folder)


def _merge_lora(
    checkpoint: Path, tensors: "Mapping[str, Tensor]", options: Mapping[str, Any]
) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    from emo_fairseq.modules.lora import is_adapter, merged_state_dict

    if not any(map(is_adapter, tensors)):
        raise UsageError(
            f"{checkpoint}: no encoder has LoRA; there is nothing to merge", "lora-missing"
        )
    merged = dict(options)
    for modality in MODALITIES:
        if str(options.get(f"{modality}_tuning")) == LORA:
            merged[f"{modality}_tuning"] = FULL
    return merged_state_dict(tensors), merged


def _task_options(options: Mapping[str, Any], state: TaskState) -> dict[str, Any]:
    """Select the task's options that act after the training, without the folders of encoders."""
    specs = {name: options.get(f"{name}_encoder") for name in state.modalities}
    return {
        **state.options.model_dump(),
        ALLOW_LEAK: bool(options.get(ALLOW_LEAK)),  # fairseq-validate checks for leaks again
        **{f"{name}_encoder": portable_spec(spec) for name, spec in specs.items() if spec},
    }


def portable_spec(spec: str) -> str:
    """Return an encoder's spec without the folders of its path, or with its name on the hub.

    >>> portable_spec("hf:/home/me/models/mpnet"), portable_spec("features:wavlm")
    ('hf:mpnet', 'features:wavlm')
    >>> portable_spec("hf:microsoft/wavlm-base@main")
    'hf:microsoft/wavlm-base@main'
    """
    kind, _, path = spec.partition(":")
    is_on_hub = kind == "hf" and not Path(path).exists() and parse_hub_name(path) is not None
    return f"{kind}:{Path(path).name}" if kind in PRETRAINED and not is_on_hub else spec


def _portable_encoder(encoder: EncoderSpec) -> dict[str, Any]:
    return replace(encoder, spec=portable_spec(encoder.spec)).to_state()


def _portable_state(task_state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's state as plain values without paths."""
    state = {name: task_state[name] for name in _KEPT_STATE if name in task_state}
    state["encoders"] = {
        name: _portable_encoder(EncoderSpec(**encoder))
        for name, encoder in task_state.get("encoders", {}).items()
    }
    state["vocabulary"] = {
        name: {**entry, "source": f"{name}/{Path(str(entry['source'])).name}"}
        for name, entry in task_state.get("vocabulary", {}).items()
    }
    if prototypes := task_state.get("prototypes"):  # for readers, the model does not use them
        state["prototypes"] = {str(name): _to_plain(value) for name, value in prototypes.items()}
    return state


def _to_plain(value: Any) -> Any:
    """Return tensors as nested lists; NaN, a class without prototype, as None."""
    if hasattr(value, "tolist"):
        return _to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_to_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(name): _to_plain(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _processor_config(processor: InputProcessor) -> dict[str, Any]:
    return {
        "tokenizers": list(processor.tokenizers),
        "missing": dict(processor.missing),
        "cleans_text": processor.normalizes_text,
        "features": {
            modality: {
                "settings": dict(spec.settings),
                "card": None if spec.encoder is None else _portable_encoder(spec.encoder),
                "reads_tokens": spec.tokenizer is not None,
            }
            for modality, spec in processor.extractors.items()
        },
    }


def _write_processor(processor: InputProcessor, out: Path) -> None:
    from emo_fairseq.pretrained.weights import write_tensors

    tokenizers = dict(processor.tokenizers)
    for modality, spec in processor.extractors.items():
        if spec.weights is not None:
            write_tensors(out / FEATURES_FILE.format(modality), spec.weights)
        if spec.tokenizer is not None:
            tokenizers[modality] = spec.tokenizer
    for modality, folder in tokenizers.items():
        try:
            copy_tokenizer(folder, out / modality)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{folder}: the tokenizer cannot be copied to {out / modality}: {sentence(error)}",
                error_code(error) or "tokenizer-unreadable",
            ) from error


def copy_tokenizer(folder: Path, out: Path) -> None:
    """Copy a tokenizer's own files out of a token folder; the tokens stay behind.

    A quantizer that tokens come from, which a token folder only points at, is put there too, its
    weights alone.

    Args:
        folder: ``text/NAME`` or ``speech/NAME`` of a data dir.
        out: the folder that is to hold the files.

    Raises:
        ValueError: the quantizer's checkpoint is gone, or is another one.
    """
    card = read_card(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name in card["files"]:
        (out / name).write_bytes((folder / name).read_bytes())
    settings = dict(card["settings"])
    if (folder / PATH_FILE).is_file():
        from data_prep.tokens.vq_wav2vec import find_checkpoint
        from emo_fairseq.pretrained.fairseq_vq import write_quantizer

        checkpoint = find_checkpoint(folder, settings["checkpoint"])
        write_quantizer(checkpoint, out / _QUANTIZER_FILE)
        (out / PATH_FILE).write_text(f"{_QUANTIZER_FILE}\n", encoding="utf-8")
        settings["checkpoint"] = file_digest(out / _QUANTIZER_FILE)
    text = dump_yaml({**card, "settings": settings, "splits": {}})
    (out / TOKENIZER_FILE).write_text(text, encoding="utf-8")
