"""LoRA and DoRA adapters in the format of peft: adapter_config.json, adapter_model.safetensors.

``peft.PeftModel.from_pretrained(base_model, folder)`` loads what :func:`write_adapter` writes, and
:func:`load_adapter` loads what ``model.save_pretrained(folder)`` wrote. The names are those of the
layers in the encoder of the library that it comes from, after ``base_model.model.``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn

from data_prep.errors import ManifestError
from data_prep.files.documents import ForeignDocument, load_json
from data_prep.files.replacing import replacing
from emo_fairseq.compat.torch_files import refuse_non_finite
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.lora import LowRankUpdate, adapted_layers
from emo_fairseq.pretrained.weights import refuse_misfits, write_tensors

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

_SAVE_AGAIN = "give a folder that peft's save_pretrained wrote"
_PREFIX = "base_model.model."
# Of a layer in peft's file: of the update here.
_PARTS: Mapping[str, str] = {
    "lora_A.weight": "lora_A",
    "lora_B.weight": "lora_B",
    "lora_magnitude_vector": "lora_magnitude_vector",
}


def library_model(backbone: nn.Module) -> nn.Module:
    """Return the model of an encoder as its library builds it, whose names an adapter has.

    Raises:
        UsageError: it is not of Hugging Face, whose layers peft supports.
    """
    model = getattr(backbone, "model", None)
    if not isinstance(model, nn.Module) or not hasattr(model, "config"):
        raise UsageError(
            "adapters in peft's format are of Hugging Face encoders; give hf:FOLDER as the encoder",
            "adapter-other",
        )
    return model


class AdapterConfig(ForeignDocument):
    """What of adapter_config.json determines the computation of LoRA.

    The layers follow from the names of the weights.
    """

    peft_type: str
    r: int = Field(ge=1)
    lora_alpha: float = Field(gt=0)
    lora_dropout: float = 0.0
    bias: str = "none"
    use_dora: bool = False
    use_rslora: bool = False
    fan_in_fan_out: bool = False
    rank_pattern: dict[str, Any] | None = None
    alpha_pattern: dict[str, Any] | None = None
    modules_to_save: list[str] | None = None


def write_adapter(folder: Path, module: nn.Module, base_model: str = "") -> list[str]:
    """Write the updates of an encoder.

    Args:
        folder: is created; an adapter in it is replaced.
        module: has LoRA; its layers are named as peft will find them.
        base_model: where peft loads the pretrained model from, by name or path.

    Returns:
        The names of the adapted layers.

    Raises:
        UsageError: the module has no LoRA.
    """
    updates = dict(adapted_layers(module))
    if not updates:
        raise UsageError("the encoder has no LoRA; there is no adapter to write", "lora-missing")
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(
        folder / WEIGHTS_FILE,
        {
            f"{_PREFIX}{name}.{theirs}": getattr(update, ours).detach()
            for name, update in updates.items()
            for theirs, ours in _PARTS.items()
            if getattr(update, ours) is not None
        },
    )
    first = next(iter(updates.values()))
    rank = first.lora_A.size(0)
    config = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": base_model,
        "r": rank,
        "lora_alpha": float(first.scale) * rank,
        "lora_dropout": first.dropout,
        "target_modules": list(updates),
        "bias": "none",
        "fan_in_fan_out": False,
        "use_dora": first.lora_magnitude_vector is not None,
        "inference_mode": True,
    }
    with replacing(folder / CONFIG_FILE) as part:
        part.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return list(updates)


def read_adapter_config(folder: Path) -> AdapterConfig:
    """Read the configuration of an adapter.

    Raises:
        UsageError: there is none, or it is not LoRA or DoRA of linear layers.
    """
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise UsageError(
            f"{folder}: has no {CONFIG_FILE}; {_SAVE_AGAIN}",
            "adapter-unreadable",
        )
    try:
        config = load_json(file, AdapterConfig, remedy=_SAVE_AGAIN)
    except ManifestError as error:
        raise UsageError(str(error), "adapter-unreadable") from error
    supported = {
        "peft_type": config.peft_type == "LORA",
        "bias": config.bias == "none",
        "use_rslora": not config.use_rslora,
        "fan_in_fan_out": not config.fan_in_fan_out,
        "rank_pattern": not config.rank_pattern,
        "alpha_pattern": not config.alpha_pattern,
        "modules_to_save": not config.modules_to_save,
    }
    for name, is_supported in supported.items():
        if not is_supported:
            raise UsageError(
                f"{file}: {name} {getattr(config, name)} is not supported; give an adapter of LoRA "
                "or DoRA with one rank, one alpha and no trained biases",
                "adapter-unsupported",
            )
    return config


def load_adapter(module: nn.Module, folder: Path) -> None:
    """Load an adapter into an encoder that has LoRA of the same kind in the same layers.

    Raises:
        UsageError: the files are faulty, or of other layers, rank, alpha or kind; names the option
            to change.
    """
    config = read_adapter_config(folder)
    updates = dict(adapted_layers(module))
    for update in updates.values():
        _check_same(folder, config, update)
    file = folder / WEIGHTS_FILE
    try:
        stored = load_file(file)
    except (OSError, safetensors.SafetensorError) as error:
        raise UsageError(
            f"{file}: cannot be read ({error}); {_SAVE_AGAIN}",
            "adapter-unreadable",
        ) from error
    refuse_non_finite(stored, str(file))
    own: dict[str, Tensor] = {
        f"{_PREFIX}{name}.{theirs}": getattr(update, ours).data
        for name, update in updates.items()
        for theirs, ours in _PARTS.items()
        if getattr(update, ours) is not None
    }
    layers = {name.removeprefix(_PREFIX).rpartition(".lora_")[0] for name in stored}
    if layers != updates.keys():
        raise UsageError(
            f"{file}: adapts {len(layers)} layers ({_named(layers)}), and LoRA here "
            f"{len(updates)} ({_named(updates)}); give its layers as --lora-targets",
            "adapter-other",
        )
    refuse_misfits(
        str(file),
        {
            "lacks": [name for name in own if name not in stored],
            "has, beside those of LoRA,": [name for name in stored if name not in own],
            "has in another shape": [
                name for name in own if name in stored and stored[name].shape != own[name].shape
            ],
        },
    )
    for name, tensor in own.items():
        tensor.copy_(stored[name])


def _check_same(folder: Path, config: AdapterConfig, update: LowRankUpdate) -> None:
    rank = update.lora_A.size(0)
    options = {
        "--lora-rank": (config.r, rank),
        "--lora-alpha": (config.lora_alpha, round(float(update.scale) * rank, 6)),
        "--lora-dora": (config.use_dora, update.lora_magnitude_vector is not None),
    }
    for option, (theirs, ours) in options.items():
        if theirs != ours:
            raise UsageError(
                f"{folder}: the adapter has {option} {theirs}, here it is {ours}; give the same",
                "adapter-other",
            )


def _named(layers: Any) -> str:
    ordered = sorted(layers)
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"
