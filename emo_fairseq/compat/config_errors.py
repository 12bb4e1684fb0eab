"""Errors of options in YAML that a task, a model or a criterion does not have, as one sentence."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import fairseq.dataclass.utils
import fairseq.models
import fairseq.registry
import fairseq.tasks
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from emo_fairseq.compat.patching import wrap
from emo_fairseq.compat.precision import apply_precision
from emo_fairseq.compat.run_options import check_training
from emo_fairseq.errors import UsageError

_CORRECT = "correct it where it was given"


def apply() -> None:
    """Replace the functions of fairseq that this module is about."""
    # The other modules import the function of the first by name.
    for module in (fairseq.dataclass.utils, fairseq.tasks, fairseq.models, fairseq.registry):
        wrap(module, "merge_with_parent", _name_options)
    wrap(fairseq.tasks, "setup_task", _name_task)


def _name_options(merge: Callable[..., Any]) -> Callable[..., Any]:
    """Name the option that is unknown or of another type, and those that are spelt alike."""

    def merge_with_parent(dc: Any, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return merge(dc, cfg, *args, **kwargs)
        except OmegaConfBaseException as error:
            described = dc if isinstance(dc, type) else type(dc)
            name = str(cfg.get("_name") or described.__name__)
            known = [field.name for field in fields(dc)]
            raise UsageError(
                option_sentence(error, _section_of(described), name, known), "config-invalid"
            ) from error

    return merge_with_parent


def _section_of(described: type) -> str:
    """Return the section of the configuration that a dataclass describes; empty if unknown."""
    sections = {
        "task": fairseq.tasks.TASK_DATACLASS_REGISTRY,
        "model": fairseq.models.MODEL_DATACLASS_REGISTRY,
        **{
            name: registry["dataclass_registry"]
            for name, registry in fairseq.registry.REGISTRIES.items()
        },
    }
    return next((name for name, known in sections.items() if described in known.values()), "")


def option_sentence(
    error: OmegaConfBaseException, section: str, name: str, known: Sequence[str]
) -> str:
    """Return the message for an option that is unknown or of another type.

    Args:
        error: of OmegaConf.
        section: of the configuration, such as ``task``; empty where it is not known.
        name: of the task, model, criterion, ...
        known: the options that it has.
    """
    key = str(getattr(error, "full_key", None) or getattr(error, "key", "") or "")
    option = ".".join(filter(None, [section or name, key]))
    if key.partition(".")[0].partition("[")[0] in known:
        reason = str(error).strip().partition("\n")[0]
        return f"{option}: {reason}; {_CORRECT}"
    alike = difflib.get_close_matches(key, known, n=3)
    meant = f" (is it {' or '.join(alike)}?)" if alike else ""
    return f"{option}: {name} has no such option{meant}; {_CORRECT}"


def _name_task(setup: Callable[..., Any]) -> Callable[..., Any]:
    """Name a task that is not registered, and check the options of fairseq-hydra-train.

    fairseq-train checks them earlier; Hydra's command imports the plugin right before the task.
    """

    def setup_task(cfg: Any, **kwargs: Any) -> Any:
        if cfg is None:
            raise UsageError(
                "task is missing: add task: {_name: emotion_prediction}, with its options",
                "task-unknown",
            )
        name = getattr(cfg, "_name", None) or getattr(cfg, "task", None)
        if isinstance(name, str) and name not in fairseq.tasks.TASK_REGISTRY:
            raise UsageError(f"task._name: there is no task {name}; {_CORRECT}", "task-unknown")
        parent = cfg._get_parent() if isinstance(cfg, DictConfig) else None
        if parent is not None and HydraConfig.initialized() and not kwargs.get("from_checkpoint"):
            check_training(parent)
            apply_precision(parent)
        return setup(cfg, **kwargs)

    return setup_task
