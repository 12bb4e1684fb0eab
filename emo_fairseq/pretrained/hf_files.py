"""Folders (or hub names) of Hugging Face models: their configuration, weights and digests."""

import hashlib
import importlib
import json
import pickle
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import safetensors
import torch
from pydantic import Field
from torch import Tensor, nn

from data_prep.errors import ManifestError
from data_prep.files.documents import (
    FileName,
    ForeignDocument,
    JsonObject,
    load_json,
)
from emo_fairseq.compat.size_limits import (
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
_PRECISION = {"dtype": "float32"}  # whatever the weights are stored in: fairseq casts, if asked to


class WeightIndex(ForeignDocument):
    """In which file beside it each tensor of a large model lies."""

    weight_map: Annotated[dict[str, FileName], Field(min_length=1)]


# -- configuration ---------------------------------------------------------------------------------


def read_config(place: str) -> Any:
    """The configuration. Raises a `UsageError` if there is none, or it claims sizes of no model."""
    _check_config(place)
    try:
        return transformers().AutoConfig.from_pretrained(place)
    except (
        *(OSError, ValueError, KeyError, TypeError, AttributeError),
        _error_of("huggingface_hub.errors", "StrictDataclassError"),
    ) as error:
        raise UsageError(
            f"hf:{place}: no model of Hugging Face there ({_reason(error)})", "encoder-missing"
        ) from error


def _check_config(place: str) -> None:
    """Hold config.json to bounds, and to the names and shapes of the weights where they are there.

    transformers parses it without limits, and builds whatever it claims.
    """
    settings = check_json(place, "config.json")
    file = f"{place}/config.json: "
    check_sizes(settings, file, _FETCH_AGAIN)
    if shapes := _stored_shapes(place):
        check_stored(settings, shapes, file, _FETCH_AGAIN)


def check_json(place: str, name: str) -> JsonObject:
    """Load one of the model's JSON files within bounds, before transformers does without.

    Returns:
        Its content; empty where there is no such file, which transformers reports.

    Raises:
        UsageError: it is no JSON object.
    """
    file = _find(place, name)
    if file is None:
        return {}
    try:
        return load_json(file, JsonObject, remedy=_FETCH_AGAIN)
    except ManifestError as error:
        raise UsageError(str(error), error.code) from error


def _stored_shapes(place: str) -> dict[str, list[int]]:
    """The shapes of the tensors by name, from the header of a safetensors file; else empty."""
    file = _find(place, _WEIGHTS[0])
    if file is None:
        return {}
    try:
        with safetensors.safe_open(str(file), framework="pt") as opened:
            names = opened.keys()
            return {name: opened.get_slice(name).get_shape() for name in names}
    except (safetensors.SafetensorError, OSError):
        return {}  # which is refused where the weights are read


def config_to_state(config: Any) -> dict[str, Any]:
    """A configuration as plain values, for a card; in single precision."""
    settings: dict[str, Any] = json.loads(config.to_json_string(use_diff=False)) | _PRECISION
    return {name: value for name, value in settings.items() if name not in _NOT_KEPT}


def config_from_state(state: Mapping[str, Any]) -> Any:
    """The inverse of :func:`config_to_state`."""
    settings = {**state, **_PRECISION}
    return transformers().AutoConfig.for_model(settings.pop("model_type"), **settings)


# -- weights ---------------------------------------------------------------------------------------


def read_weights(
    card: EncoderSpec, config: Any, not_taken: Sequence[str], inside: str = ""
) -> dict[str, Tensor]:
    """The weights of an encoder, in single precision, under its own names.

    Args:
        card: names the folder.
        config: of transformers.
        not_taken: beginnings of the names of what others built around the encoder.
        inside: the beginning of the names of the encoder, where the model has more parts.

    Raises:
        UsageError: the folder is gone, or lacks a parameter of the model, or has it in another
            shape, or has others.
    """
    model, found = _read_model(card, config)
    weights: dict[str, Tensor] = model.state_dict()
    around = tuple(not_taken)

    def is_taken(name: str) -> bool:
        return name.startswith(inside) and not name.startswith(around)

    unexpected = [
        key.removeprefix(f"{model.base_model_prefix}.") for key in found["unexpected_keys"]
    ]
    known = [name for name in unexpected if name.startswith(around)]
    refuse_misfits(
        card.spec,
        {
            "lacks": list(filter(is_taken, found["missing_keys"])),
            "has, beside those of the model,": [n for n in unexpected if n not in known],
            "has in another shape": [n for n, *_ in found["mismatched_keys"] if is_taken(n)],
        },
    )
    log_not_taken(card.spec, [*known, *(name for name in weights if not is_taken(name))])
    taken = {name.removeprefix(inside): weights[name] for name in weights if is_taken(name)}
    refuse_non_finite(taken, card.spec)
    return taken


def _read_model(card: EncoderSpec, config: Any) -> tuple[Any, dict[str, Any]]:
    """The model with its weights, and what transformers has to report of them."""
    try:
        model, found = transformers().AutoModel.from_pretrained(
            card.source,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told, by our own sentence
        )
    except (
        *(OSError, ValueError, KeyError, RuntimeError, EOFError),
        *(pickle.UnpicklingError, struct.error, _error_of("safetensors", "SafetensorError")),
    ) as error:
        raise UsageError(
            f"{card.spec}: the weights cannot be read ({_reason(error)})", "weights-unreadable"
        ) from error
    return model, found


def weights_digest(place: str) -> str:
    """SHA-256 of the weights file; of several shards, of their digests in order.

    Raises:
        UsageError: there is no weights file, it is damaged, or it cannot be read.
    """
    files = find_weights(place)
    for file in files:
        check_torch_file(file)
    digests = list(map(weights_file_digest, files))
    if len(digests) == 1 and files[0].name in _WEIGHTS:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def find_weights(place: str) -> list[Path]:
    """The weights file, or the shards in order. Raises a `UsageError` if there is none."""
    for name in _WEIGHTS:
        if (file := _find(place, name)) is not None:
            return [file]
    for name in _INDEX:
        if (index := _find(place, name)) is not None:
            return [_find(place, shard) or index.parent / shard for shard in _shards(index)]
    raise UsageError(
        f"hf:{place}: the weights cannot be read (there is none of {', '.join(_WEIGHTS)}); "
        "fetch the model again",
        "weights-missing",
    )


def _shards(index: Path) -> list[str]:
    try:
        found = load_json(index, WeightIndex, remedy=_FETCH_AGAIN)
    except ManifestError as error:
        raise UsageError(str(error), error.code) from error
    return sorted(set(found.weight_map.values()))


def _find(place: str, name: str) -> Path | None:
    if Path(place).is_dir():
        file = Path(place) / name
        return file if file.exists() else None
    try:
        found = transformers().utils.cached_file(
            place, name, _raise_exceptions_for_missing_entries=False
        )
    except (OSError, ValueError):
        return None
    return None if found is None else Path(found)


# -- errors ----------------------------------------------------------------------------------------


def _error_of(library: str, name: str) -> type[Exception]:
    """Of a library that comes with transformers, and so may not be there either."""
    transformers()  # says so
    error: type[Exception] = getattr(importlib.import_module(library), name)
    return error


def _reason(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


# -- transformers, which is an extra ---------------------------------------------------------------


def transformers() -> Any:
    """The library itself, imported only where an encoder asks for it.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(
            "encoders hf:... need the library transformers: `pip install -e .[hf]`",
            "library-missing",
        ) from error


# -- What the layers of a model of Hugging Face say, whichever version collects it how -------------


@contextmanager
def recorded_states(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """A list that fills while the model runs: what enters the first layer, what leaves each."""
    found: list[Tensor] = []

    def before(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        found.append(arguments[0])

    def behind(layer: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layers[0].register_forward_pre_hook(before)]
    hooks += [layer.register_forward_hook(behind) for layer in layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
