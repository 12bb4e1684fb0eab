"""Which options of a training differ from their defaults, as a model card tells them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.dataclass.configs import OptimizationConfig
from fairseq.optim import OPTIMIZER_DATACLASS_REGISTRY
from fairseq.optim.lr_scheduler import LR_SCHEDULER_DATACLASS_REGISTRY
from omegaconf import OmegaConf

from emo_fairseq.fusion_options import FUSIONS, fusion_name
from emo_fairseq.modalities import MODALITIES
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.tasks.config import EmotionPredictionConfig

# Where something lay on the machine of the training, or what is told in a place of its own.
_NOT_TOLD = {"_name", "data", "data_raw", "cache_dir", "save_predictions", "fold", "tpu"}
_FOLLOWS = "${"  # an option that repeats another one's value


def changed_options(config: Any, modalities: Sequence[str]) -> dict[str, dict[str, str]]:
    """By group (task, model and so on) the options that differ, as text.

    Of files and folders only the last part of the path is told; sizes of modalities and fusions
    that the model has not are not.

    Args:
        config: the whole configuration of a checkpoint.
        modalities: that the model reads.
    """
    not_told = _NOT_TOLD | _without_effect(config.model, modalities)
    groups = {
        "task": EmotionPredictionConfig,
        "model": RobertaEMOConfig,
        "criterion": CRITERION_DATACLASS_REGISTRY.get(_name(config, "criterion")),
        "optimizer": OPTIMIZER_DATACLASS_REGISTRY.get(_name(config, "optimizer")),
        "lr_scheduler": LR_SCHEDULER_DATACLASS_REGISTRY.get(_name(config, "lr_scheduler")),
        "optimization": OptimizationConfig,
    }
    found = {}
    for group, schema in groups.items():
        given = config.get(group)
        if given is None or schema is None:
            continue
        named = {"name": str(given["_name"])} if given.get("_name") else {}
        changed = {**named, **dict(_changed(given, _defaults(schema), not_told))}
        if changed:
            found[group] = changed
    return found


def _name(config: Any, group: str) -> str:
    return str((config.get(group) or {}).get("_name"))


def _defaults(schema: type) -> Mapping[str, Any]:
    found = {}
    for one in fields(schema):
        factory = one.default_factory
        found[one.name] = one.default if factory is MISSING else factory()
    return found


def _without_effect(model: Any, modalities: Sequence[str]) -> set[str]:
    unread = [f"{name}_" for name in MODALITIES if name not in modalities]
    chosen = FUSIONS[fusion_name(model, len(modalities))]
    others = {name for names in FUSIONS.values() for name in names if name not in chosen}
    return others | {
        one.name for one in fields(RobertaEMOConfig) if one.name.startswith(tuple(unread))
    }


def _changed(
    given: Any, defaults: Mapping[str, Any], not_told: Collection[str]
) -> Iterator[tuple[str, str]]:
    values = OmegaConf.to_container(OmegaConf.create(given), enum_to_str=True)
    assert isinstance(values, dict)
    for name, value in sorted(values.items(), key=lambda one: str(one[0])):
        default = defaults.get(str(name))
        follows = isinstance(default, str) and default.startswith(_FOLLOWS)
        same = value is None or _said(value) == _said(default)
        if name not in defaults or name in not_told or same or follows:
            continue
        yield str(name), _portable(str(value))


def _said(value: Any) -> str:
    """A list as fairseq keeps it and a tuple as it writes its default are the same."""
    return str(value).strip("[]()")


def _portable(value: str) -> str:
    """A value without the folders of the machine that it was given on.

    >>> _portable("hf:/home/me/models/mpnet"), _portable("models/start.pt"), _portable("0.1")
    ('hf:mpnet', 'start.pt', '0.1')
    """
    kind, colon, place = value.rpartition(":")
    return f"{kind}{colon}{Path(place).name}" if "/" in place else value
