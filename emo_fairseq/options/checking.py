"""Options that would do nothing, or keep random weights, are refused.

An option is given if it differs from its default: one that spells its default out is not seen.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.options.of_model import (
    MODEL_RULES,
    SIZES,
)
from emo_fairseq.options.of_task import (
    TASK_BY_MODEL_RULES,
    TASK_RULES,
)
from emo_fairseq.options.ranges import check_ranges
from emo_fairseq.options.rule import (
    Rule,
    Run,
)
from emo_fairseq.types import (
    FROZEN,
    FULL,
)

logger = logging.getLogger(__name__)


def check_task_options(cfg: Any, schema: type, cards: Mapping[str, EncoderSpec]) -> None:
    """See that the task's options are within their ranges, and that those given act.

    Args:
        cfg: the task's options, as the command line gave them.
        schema: their dataclass, which has the defaults.
        cards: of the encoders; its keys are the modalities that are read.

    Raises:
        UsageError: one of them would do nothing, or cannot be.
    """
    check_ranges(cfg)
    _refuse(TASK_RULES, Run(cards, cfg), cfg, schema)


def check_model_options(
    cfg: Any, schema: type, task_cfg: Any, task_schema: type, cards: Mapping[str, EncoderSpec]
) -> None:
    """The same of the model's options, before the architecture fills them in.

    And of those of the task that act by what the model's say.

    Raises:
        UsageError: one of them would do nothing, or cannot be.
    """
    check_ranges(cfg)
    run = Run(cards, task_cfg, cfg)
    _refuse(MODEL_RULES, run, cfg, schema)
    _refuse(TASK_BY_MODEL_RULES, run, task_cfg, task_schema)
    for rule in SIZES:
        if idle := _idle(rule, run, cfg, schema):
            otherwise = rule.otherwise.format(read="+".join(cards))
            logger.warning("%s: nothing to act on, %s", _flags(idle), otherwise)


def check_nothing_stays_random(cfg: Any, task_cfg: Any, cards: Mapping[str, EncoderSpec]) -> None:
    """See that a new training does not keep random weights: what is frozen comes from somewhere.

    Raises:
        UsageError: it has an encoder from scratch, or a fusion, that is not trained and is not
            initialized.
    """
    run = Run(cards, task_cfg, cfg)
    if task_cfg.init_from:
        return
    for name in cards:
        tuning = run.tuning(name)
        if tuning != FULL and run.is_own(name) and not getattr(task_cfg, f"init_{name}_from"):
            raise UsageError(
                f"--{name}-tuning {tuning}: the {name} encoder has random weights, which it would "
                f"keep; add --init-from or --init-{name}-from CHECKPOINT, or train it"
            )
    if str(cfg.fusion_tuning) == FROZEN:
        raise UsageError(
            "--fusion-tuning frozen: the fusion has random weights, which it would keep; add "
            "--init-from CHECKPOINT, or train it"
        )


def _refuse(rules: Sequence[Rule], run: Run, cfg: Any, schema: type) -> None:
    for rule in rules:
        if idle := _idle(rule, run, cfg, schema):
            some = next(iter(run.cards))
            otherwise = rule.otherwise.format(read="+".join(run.cards), some=some)
            does, it = ("does", "it") if len(idle) == 1 else ("do", "them")
            raise UsageError(f"{_flags(idle)} {does} not act: {otherwise}; leave {it} out")


def _idle(rule: Rule, run: Run, cfg: Any, schema: type) -> list[str]:
    defaults = {field.name: field.default for field in fields(schema)}
    given = [name for name in rule.options if _is_given(cfg, name, defaults)]
    return given if given and not rule.acts(run) else []


def _is_given(cfg: Any, name: str, defaults: Mapping[str, object]) -> bool:
    value = getattr(cfg, name, None)
    # A choice is fairseq's own enumeration, whose default may be a plain string.
    return value is not None and defaults[name] not in (value, str(value))


def _flags(names: Sequence[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
