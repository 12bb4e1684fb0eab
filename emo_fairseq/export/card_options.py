"""Which options of a training differ from their defaults, as a model card tells them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.dataclass.configs import OptimizationConfig
from fairseq.dataclass.utils import merge_with_parent
from fairseq.optim import OPTIMIZER_DATACLASS_REGISTRY
from fairseq.optim.lr_scheduler import LR_SCHEDULER_DATACLASS_REGISTRY
from omegaconf import OmegaConf

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.models.architectures import ARCHITECTURES, fill_from_architecture
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.options.fusion import (
    FUSIONS,
    fusion_name,
)
from emo_fairseq.options.of_model import (
    MODEL_RULES,
    SIZES,
)
from emo_fairseq.options.of_task import (
    TASK_BY_MODEL_RULES,
    TASK_RULES,
)
from emo_fairseq.options.rule import Run
from emo_fairseq.tasks.config import EmotionPredictionConfig

# Where something lay on the machine of the training, or what is told in a place of its own.
_NOT_TOLD = {"_name", "data", "data_raw", "cache_dir", "save_predictions", "fold", "tpu"}
_FOLLOWS = "${"  # an option that repeats another one's value


def changed_options(config: Any, cards: Mapping[str, EncoderSpec]) -> dict[str, dict[str, str]]:
    """By group (task, model and so on) the options that differ, as text.

    Of files and folders only the last part of the path is told; options that do not act on this
    model are not. A size that the architecture or ``scratch:SIZE`` says is a default.

    Args:
        config: the whole configuration of a checkpoint.
        cards: of the encoders.
    """
    not_told = _NOT_TOLD | _without_effect(config, cards)
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
        defaults = dict(_defaults(schema))
        if group == "model":
            defaults |= _sizes(named.get("name"), cards)
        changed = {**named, **dict(_changed(given, defaults, not_told))}
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


def _sizes(architecture: str | None, cards: Mapping[str, EncoderSpec]) -> dict[str, Any]:
    """What the named architecture fills in where the command line says nothing."""
    name = architecture if architecture in ARCHITECTURES else None
    filled = OmegaConf.create({"_name": name})
    fill_from_architecture(filled, cards)
    return {str(size): value for size, value in filled.items() if size != "_name"}


def _without_effect(config: Any, cards: Mapping[str, EncoderSpec]) -> set[str]:
    """Options that nothing in the model obeys, by the rules that refuse them in training."""
    task = merge_with_parent(EmotionPredictionConfig(), OmegaConf.create(config.task), True)
    model = merge_with_parent(RobertaEMOConfig(), OmegaConf.create(config.model), True)
    chosen = FUSIONS[fusion_name(model, len(cards))]
    others = {name for names in FUSIONS.values() for name in names if name not in chosen}
    run = Run(cards, task, model)
    rules = (*TASK_RULES, *MODEL_RULES, *TASK_BY_MODEL_RULES, *SIZES)
    return others.union(*(rule.options for rule in rules if not rule.acts(run)))


def _changed(
    given: Any, defaults: Mapping[str, Any], not_told: Collection[str]
) -> Iterator[tuple[str, str]]:
    values = OmegaConf.to_container(OmegaConf.create(given), enum_to_str=True)
    assert isinstance(values, dict)
    for name, value in sorted(values.items(), key=lambda one: str(one[0])):
        default = defaults.get(str(name))
        follows = isinstance(default, str) and default.startswith(_FOLLOWS)
        same = value is None or _parts(value) == _parts(default)
        if name not in defaults or name in not_told or same or follows:
            continue
        yield str(name), _portable(str(value))


def _parts(value: Any) -> list[float | str]:
    """What is said, however it is written: a list, or the tuple that is a default of fairseq's.

    >>> _parts([0.9, 0.999]) == _parts("(0.9,0.999)"), _parts(0.0) == _parts(0)
    (True, True)
    """
    return [_number(part.strip()) for part in str(value).strip("[]()").split(",")]


def _number(said: str) -> float | str:
    try:
        return float(said)
    except ValueError:
        return said


def _portable(value: str) -> str:
    """A value without the folders of the machine that it was given on.

    >>> _portable("hf:/home/me/models/mpnet"), _portable("models/start.pt"), _portable("0.1")
    ('hf:mpnet', 'start.pt', '0.1')
    """
    kind, colon, place = value.rpartition(":")
    return f"{kind}{colon}{Path(place).name}" if "/" in place else value
