"""Configuration, weights and digests of Hugging Face models, in a folder or on the hub."""

import hashlib
import importlib
import json
import math
import pickle
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import safetensors
import torch
from pydantic import Field
from torch import Tensor, nn

from data_prep.files.documents import (
    FileName,
    ForeignDocument,
    JsonObject,
    load_json,
)
from data_prep.files.model_folders import model_folder
from emo_fairseq.compat.deferred_imports import import_transformers, import_transformers_models
from emo_fairseq.compat.size_limits import (
    Stored,
    build_within,
    check_sizes,
    check_stored,
)
from emo_fairseq.compat.torch_files import (
    check_torch_file,
    refuse_non_finite,
)
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.pretrained.weights import (
    log_not_taken,
    refuse_misfits,
    weights_file_digest,
)

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_INDEX = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_NOT_KEPT = ("_name_or_path", "transformers_version")  # of a configuration
_FETCH_AGAIN = "fetch the model again"
_PRECISION = {"dtype": "float32"}  # whatever the stored dtype: with --fp16, fairseq casts


class WeightIndex(ForeignDocument):
    """Index of a sharded model: the file of each tensor."""

    weight_map: Annotated[dict[str, FileName], Field(min_length=1)]


# -- Configuration ---------------------------------------------------------------------------------


def read_config(source: str) -> Any:
    """Read the configuration of a model.

    Raises:
        UsageError: there is none, or its sizes exceed the limits.
    """
    folder = model_folder(source)
    _check_config(source)
    try:
        return transformers().AutoConfig.from_pretrained(folder)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        _error_of("huggingface_hub.errors", "StrictDataclassError"),
    ) as error:
        raise UsageError(
            f"hf:{source}: no model of Hugging Face there ({_reason(error)})", "encoder-missing"
        ) from error


def _check_config(source: str) -> None:
    """Check the sizes in config.json against limits, and against the shapes of the weights.

    transformers parses it without limits, and allocates whatever it claims.
    """
    settings = check_json(source, "config.json")
    file = f"{source}/config.json: "
    check_sizes(settings, file, _FETCH_AGAIN)
    if shapes := _stored_shapes(source):
        check_stored(settings, shapes, file, _FETCH_AGAIN)


def check_json(source: str, name: str) -> JsonObject:
    """Load a JSON file of the model with limits, before transformers loads it without.

    Returns:
        Its content; empty where there is no such file, which transformers reports.

    Raises:
        UsageError: it is not a JSON object.
    """
    file = _find(source, name)
    if file is None:
        return {}
    return load_json(file, JsonObject, remedy=_FETCH_AGAIN)


def _stored_shapes(source: str) -> dict[str, list[int]]:
    """Return the shapes of the tensors of a safetensors file by name; empty without one."""
    file = _find(source, _WEIGHTS[0])
    if file is None:
        return {}
    try:
        with safetensors.safe_open(str(file), framework="pt") as opened:
            names = opened.keys()
            return {name: opened.get_slice(name).get_shape() for name in names}
    except (safetensors.SafetensorError, OSError):
        return {}  # reported by read_weights


def config_to_state(config: Any) -> dict[str, Any]:
    """Convert a configuration of transformers to plain values, in single precision."""
    settings: dict[str, Any] = json.loads(config.to_json_string(use_diff=False)) | _PRECISION
    return {name: value for name, value in settings.items() if name not in _NOT_KEPT}


def config_from_state(state: Mapping[str, Any]) -> Any:
    """Convert the result of :func:`config_to_state` back to a configuration."""
    settings = {**state, **_PRECISION}
    return transformers().AutoConfig.for_model(settings.pop("model_type"), **settings)


# -- Weights ---------------------------------------------------------------------------------------


def read_weights(
    encoder_spec: EncoderSpec, config: Any, not_taken: Sequence[str], inside: str = ""
) -> dict[str, Tensor]:
    """Read the weights of an encoder, in single precision, under its own names.

    Args:
        encoder_spec: the encoder, which names the folder.
        config: configuration of transformers.
        not_taken: prefixes of weights that are not of the encoder, such as heads.
        inside: prefix of the encoder's weights, where it is a part of the model.

    Raises:
        UsageError: the folder is missing, or parameters are missing, unexpected or of another
            shape.
    """
    model, report = _read_model(encoder_spec, config)
    weights: dict[str, Tensor] = model.state_dict()
    excluded = tuple(not_taken)

    def is_taken(name: str) -> bool:
        return name.startswith(inside) and not name.startswith(excluded)

    unexpected = [
        key.removeprefix(f"{model.base_model_prefix}.") for key in report["unexpected_keys"]
    ]
    known = [name for name in unexpected if name.startswith(excluded)]
    refuse_misfits(
        encoder_spec.spec,
        {
            "lacks": list(filter(is_taken, report["missing_keys"])),
            "has, beside those of the model,": [n for n in unexpected if n not in known],
            "has in another shape": [n for n, *_ in report["mismatched_keys"] if is_taken(n)],
        },
    )
    log_not_taken(encoder_spec.spec, list(known) + [name for name in weights if not is_taken(name)])
    taken = {name.removeprefix(inside): weights[name] for name in weights if is_taken(name)}
    refuse_non_finite(taken, encoder_spec.spec)
    return taken


def _read_model(encoder_spec: EncoderSpec, config: Any) -> tuple[Any, dict[str, Any]]:
    """Return the model with its weights, and transformers' report of mismatches."""
    shapes = _stored_shapes(encoder_spec.source)
    stored = Stored(len(shapes), sum(map(math.prod, shapes.values())))
    try:
        # Parts that are not stored, such as the decoder of a Whisper's encoder, are built, too.
        with build_within(stored, encoder_spec.spec, _FETCH_AGAIN) if shapes else nullcontext():
            model, report = models_of_transformers().AutoModel.from_pretrained(
                model_folder(encoder_spec.source),
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported by refuse_misfits
            )
    except (
        OSError,
        ValueError,
        KeyError,
        RuntimeError,
        EOFError,
        pickle.UnpicklingError,
        struct.error,
        _error_of("safetensors", "SafetensorError"),
    ) as error:
        raise UsageError(
            f"{encoder_spec.spec}: the weights cannot be read ({_reason(error)})",
            "weights-unreadable",
        ) from error
    return model, report


def weights_digest(source: str) -> str:
    """Return the SHA-256 of the weights file; for several shards, that of their digests.

    Raises:
        UsageError: there is no weights file, it is damaged, or it cannot be read.
    """
    files = find_weights(source)
    for file in files:
        check_torch_file(file)
    digests = list(map(weights_file_digest, files))
    if len(digests) == 1 and files[0].name in _WEIGHTS:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def find_weights(source: str) -> list[Path]:
    """Return the weights file, or the shards in order.

    Raises:
        UsageError: there is none.
    """
    for name in _WEIGHTS:
        if (file := _find(source, name)) is not None:
            return [file]
    for name in _INDEX:
        if (index := _find(source, name)) is not None:
            return [_find(source, shard) or index.parent / shard for shard in _shards(index)]
    raise UsageError(
        f"hf:{source}: the weights are missing (none of {', '.join(_WEIGHTS)}); "
        "fetch the model again",
        "weights-missing",
    )


def _shards(index: Path) -> list[str]:
    shards = load_json(index, WeightIndex, remedy=_FETCH_AGAIN)
    return sorted(set(shards.weight_map.values()))


def _find(source: str, name: str) -> Path | None:
    file = model_folder(source) / name
    return file if file.exists() else None


# -- Errors ----------------------------------------------------------------------------------------


def _error_of(library: str, name: str) -> type[Exception]:
    """Return an error class of a library that is installed with transformers."""
    transformers()  # raises if it is not installed
    error: type[Exception] = getattr(importlib.import_module(library), name)
    return error


def _reason(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


# -- transformers, an optional dependency ----------------------------------------------------------


def models_of_transformers() -> Any:
    """Import and return the library with what its models share, which takes a second.

    Raises:
        UsageError: it is not installed.
    """
    library = transformers()
    import_transformers_models()
    return library


def transformers() -> Any:
    """Import and return the library, only when an encoder needs it.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return import_transformers()
    except ImportError as error:
        raise UsageError(
            "encoders hf:... need the library transformers: `pip install -e .[hf]`",
            "library-missing",
        ) from error


# -- Hidden states, independent of the version of transformers -------------------------------------


@contextmanager
def recorded_states(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect the hidden states of a forward pass.

    Args:
        layers: L layers of the model.

    Yields:
        A list, filled by the forward pass with L + 1 tensors: the input of the first layer and the
        output of each.
    """
    hidden_states: list[Tensor] = []

    def before(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        hidden_states.append(arguments[0])

    def after(layer: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        hidden_states.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layers[0].register_forward_pre_hook(before)]
    hooks += [layer.register_forward_hook(after) for layer in layers]
    try:
        yield hidden_states
    finally:
        for hook in hooks:
            hook.remove()
