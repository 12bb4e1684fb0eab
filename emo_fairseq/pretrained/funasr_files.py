"""Checkpoints of FunASR: emotion2vec and emotion2vec+, whose options are in a file beside them.

FunASR has the audio branch of fairseq's data2vec 2.0 under the same names, without its teacher, and
with a classifier `proj`. A folder holds `model.pt`, the weights alone or under a key, and:

    model: Emotion2vec
    model_conf: {embed_dim: 768, normalize: true, modalities: {audio: {...}}, ...}
    scope_map: ["d2v_model.", none]    # a prefix of names in the file, and what it is in the model
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field
from torch import Tensor

from data_prep.files.documents import ForeignDocument, JsonObject, load_yaml
from emo_fairseq.compat.size_limits import check_sizes
from emo_fairseq.compat.torch_files import load_torch_file
from emo_fairseq.errors import UsageError

CONFIG_FILE = "config.yaml"
MODEL = "data2vec_multi"  # fairseq's name of it

_NAME = "Emotion2vec"
_REMEDY = "fetch the model again"
_WEIGHTS = ("state_dict", "model_state_dict", "model")  # where they are inside of others
_ADDED = "module."  # by data-parallel training
_NONE = ("", "none")
_PREFIXES = ("modality_encoders.AUDIO.", "blocks.", "norm.")  # of what is built


class FunASRConfig(ForeignDocument):
    """Schema of config.yaml, of which more is there."""

    model: str
    model_conf: JsonObject
    scope_map: list[str | None] = Field(default_factory=list)


class FunASRModel(NamedTuple):
    """Options and weights, as of a checkpoint of fairseq.

    Attributes:
        config: options of the model.
        task: options of the task.
        weights: of the encoder, by name.
        others: names of the other weights, such as those of the classifier.
    """

    config: dict[str, Any]
    task: dict[str, Any]
    weights: dict[str, Tensor]
    others: list[str]


def read_funasr(file: Path, state: Mapping[str, Any]) -> FunASRModel | None:
    """Return the model of a file that holds weights alone; None without FunASR's config.yaml.

    Raises:
        UsageError: config.yaml is invalid, or of a model that is not supported.
    """
    path = file.parent / CONFIG_FILE
    if not path.is_file():
        return None
    config = load_yaml(path, FunASRConfig, remedy=_REMEDY)
    if config.model != _NAME:
        raise UsageError(
            f"{path}: the model {config.model} of FunASR is not supported; give an {_NAME}",
            "encoder-unsupported",
        )
    check_sizes(config.model_conf, f"{path}: model_conf.", _REMEDY)
    weights: dict[str, Tensor] = {}
    others = []
    prefixes = [_ADDED, *_prefixes_of(path, config.scope_map)]
    for name, value in _unwrapped(state).items():
        own = _without(name, prefixes)
        if own.startswith(_PREFIXES) and isinstance(value, Tensor):
            weights[own] = value
        else:
            others.append(name)
    options = {name: value for name, value in config.model_conf.items() if value is not None}
    task = {"normalize": bool(options.pop("normalize", False))}
    return FunASRModel(options, task, weights, others)


def read_projection(file: Path) -> tuple[Tensor, Tensor] | None:
    """Return weight (K, C) and bias (K,) of the classifier of a file; None where it has none."""
    state = load_torch_file(file)
    if not isinstance(state, Mapping) or not (file.parent / CONFIG_FILE).is_file():
        return None
    tensors = {name.removeprefix(_ADDED): value for name, value in _unwrapped(state).items()}
    weight, bias = tensors.get("proj.weight"), tensors.get("proj.bias")
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
        return None
    return weight, bias


def _unwrapped(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the weights inside of a file by name."""
    for name in _WEIGHTS:
        inner = state.get(name)
        state = inner if isinstance(inner, Mapping) else state
    return state


def _prefixes_of(path: Path, scope_map: Sequence[str | None]) -> list[str]:
    """Return the prefixes of names in the file that the model does not have."""
    words = [(word or "").strip() for word in scope_map]
    pairs = list(zip(words[::2], words[1::2], strict=False))
    if len(words) % 2 or any(inside.lower() not in _NONE for _, inside in pairs):
        raise UsageError(
            f"{path}: scope_map {', '.join(words)} does not only remove prefixes of names, which "
            f"is not supported; {_REMEDY}",
            "encoder-unsupported",
        )
    return [prefix for prefix, _ in pairs if prefix.lower() not in _NONE]


def _without(name: str, prefixes: Sequence[str]) -> str:
    """Return a name without prefixes.

    >>> _without("module.d2v_model.norm.bias", ["module.", "d2v_model."])
    'norm.bias'
    """
    for prefix in prefixes:
        name = name.removeprefix(prefix)
    return name
