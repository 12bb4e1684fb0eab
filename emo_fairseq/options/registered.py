"""The options of all parts of this package, from the registries of fairseq."""

import functools
from collections.abc import Mapping

from emo_fairseq.options.option import Kind, rules_of

_OURS = "emo_fairseq."
# Of fairseq's own options those that are not settings of a training. Tables of runs know which
# others do not matter to them.
_FAIRSEQ: Mapping[str, Kind] = {
    "checkpoint.continue_once": Kind.OTHER_RUN,
    "checkpoint.finetune_from_model": Kind.OTHER_RUN,
    "checkpoint.restore_file": Kind.OTHER_RUN,
}


def registered_schemas() -> dict[str, dict[str, type]]:
    """Return the config dataclasses by group of fairseq's configuration and by registered name.

    Registers the parts of this package if that has not been done.
    """
    import emo_fairseq

    emo_fairseq.register()
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
    from fairseq.models import MODEL_DATACLASS_REGISTRY
    from fairseq.optim import OPTIMIZER_DATACLASS_REGISTRY
    from fairseq.tasks import TASK_DATACLASS_REGISTRY

    registries = {
        "task": TASK_DATACLASS_REGISTRY,
        "model": MODEL_DATACLASS_REGISTRY,
        "criterion": CRITERION_DATACLASS_REGISTRY,
        "optimizer": OPTIMIZER_DATACLASS_REGISTRY,
    }
    return {
        group: {
            str(name): schema
            for name, schema in registry.items()
            if schema.__module__.startswith(_OURS)
        }
        for group, registry in registries.items()
    }


def kind_of(name: str) -> Kind:
    """Return what an option describes, by its place in the configuration of a run.

    >>> kind_of("task.init_from"), kind_of("common.seed")
    (<Kind.OTHER_RUN: 'other run'>, <Kind.SETTING: 'setting'>)
    """
    return _kinds().get(name, Kind.SETTING)


@functools.cache
def _kinds() -> Mapping[str, Kind]:
    ours = {
        f"{group}.{name}": rule.kind
        for group, schemas in registered_schemas().items()
        for schema in schemas.values()
        for name, rule in rules_of(schema).items()
    }
    return {**_FAIRSEQ, **ours}
