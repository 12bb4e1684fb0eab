"""Options of a checkpoint that differ from their defaults."""

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
from emo_fairseq.models.architectures import default_sizes
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.option_values import default_fusion
from emo_fairseq.options.checking import idle_options
from emo_fairseq.options.conditions import OptionContext
from emo_fairseq.options.option import Kind, names_of_kind, rules_of
from emo_fairseq.tasks.config import EmotionPredictionConfig


def non_default_options(
    config: Any, encoders: Mapping[str, EncoderSpec]
) -> dict[str, dict[str, str]]:
    """Return, by group (task, model and so on), the options that differ from their defaults.

    Files and folders are named without their path; options that do not act on this model are left
    out. A size that the architecture or ``scratch:SIZE`` sets is a default.
    """
    left_out = _options_left_out(config, encoders)
    groups = {
        "task": EmotionPredictionConfig,
        "model": RobertaEMOConfig,
        "criterion": CRITERION_DATACLASS_REGISTRY.get(_name(config, "criterion")),
        "optimizer": OPTIMIZER_DATACLASS_REGISTRY.get(_name(config, "optimizer")),
        "lr_scheduler": LR_SCHEDULER_DATACLASS_REGISTRY.get(_name(config, "lr_scheduler")),
        "optimization": OptimizationConfig,
    }
    by_group = {}
    for group, schema in groups.items():
        options = config.get(group)
        if options is None or schema is None:
            continue
        name = {"name": str(options["_name"])} if options.get("_name") else {}
        defaults = _defaults(schema)
        if group == "model":
            defaults |= default_sizes(name.get("name"), encoders)
            defaults["fusion"] = default_fusion(len(encoders))
        if changed := {**name, **dict(_changed(options, defaults, left_out))}:
            by_group[group] = changed
    return by_group


def _name(config: Any, group: str) -> str:
    return str((config.get(group) or {}).get("_name"))


def _defaults(schema: type) -> dict[str, Any]:
    return {
        field.name: field.default if field.default_factory is MISSING else field.default_factory()
        for field in fields(schema)
    }


def _options_left_out(config: Any, encoders: Mapping[str, EncoderSpec]) -> set[str]:
    """Return options that had no effect, and those of the data and of the output."""
    task = merge_with_parent(EmotionPredictionConfig(), OmegaConf.create(config.task), True)
    model = merge_with_parent(RobertaEMOConfig(), OmegaConf.create(config.model), True)
    context = OptionContext(encoders, task, model=model)
    rules = rules_of(EmotionPredictionConfig) | rules_of(RobertaEMOConfig)
    not_settings = names_of_kind(EmotionPredictionConfig, Kind.DATA, Kind.OUTPUT)
    return {"_name", *idle_options(context, rules), *not_settings}


def _changed(
    options: Any, defaults: Mapping[str, Any], left_out: Collection[str]
) -> Iterator[tuple[str, str]]:
    values = OmegaConf.to_container(OmegaConf.create(options), enum_to_str=True)
    assert isinstance(values, dict)
    for name, value in sorted(values.items(), key=lambda item: str(item[0])):
        if name not in defaults or name in left_out or value is None:
            continue
        default = defaults[name]
        is_reference = isinstance(default, str) and default.startswith("${")  # to another option
        if not is_reference and _parts(value) != _parts(default):
            yield str(name), _without_folders(str(value))


def _parts(value: Any) -> list[float | str]:
    """Return the parts of a value in any notation: a list, or a tuple as fairseq's defaults are.

    >>> _parts([0.9, 0.999]) == _parts("(0.9,0.999)"), _parts(0.0) == _parts(0)
    (True, True)
    """
    return [_number(part.strip()) for part in str(value).strip("[]()").split(",")]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _without_folders(value: str) -> str:
    """Return a value without the folders of a path in it.

    >>> _without_folders("hf:/home/me/models/mpnet"), _without_folders("models/start.pt")
    ('hf:mpnet', 'start.pt')
    >>> _without_folders("0.1")
    '0.1'
    """
    kind, colon, path = value.rpartition(":")
    return f"{kind}{colon}{Path(path).name}" if "/" in path else value
