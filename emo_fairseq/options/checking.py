"""Check options by their rules: numbers out of range, and options without effect, are refused.

The rules are in the metadata of the config dataclasses; see :mod:`emo_fairseq.options.option`. An
option that has its default is taken for one that is not given.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.option_values import FROZEN, FULL
from emo_fairseq.options.conditions import Condition, OptionContext
from emo_fairseq.options.option import Rule, flag, rules_of

logger = logging.getLogger(__name__)


def check_options(context: OptionContext, cfg: object, schema: type) -> None:
    """Check one group of options: the task's, the model's, the criterion's or the optimizer's.

    Conditions on what is not yet in the context are passed over; check the group again once it is.

    Args:
        context: what the conditions depend on.
        cfg: the options as they were given.
        schema: their dataclass, which has the rules.

    Raises:
        UsageError: an option is out of its range (``option-out-of-range``), or would have no effect
            (``option-idle``).
    """
    rules = rules_of(schema)
    check_ranges(cfg, schema)
    given = {n: rule for n, rule in rules.items() if rule.is_given(getattr(cfg, n, None))}
    refused: dict[str, list[str]] = {}  # options by the reason why they do not act
    warned_of: dict[str, list[str]] = {}
    for name, condition in idle_options(context, given).items():
        by_reason = warned_of if condition.only_warns else refused
        by_reason.setdefault(condition.reason(context), []).append(name)
    for reason, names in refused.items():
        it = "it" if len(names) == 1 else "them"
        raise UsageError(f"{_do_not_act(names, reason)}; leave {it} out", "option-idle")
    for reason, names in warned_of.items():
        logger.warning("%s", _do_not_act(names, reason))


def check_ranges(cfg: object, schema: type) -> None:
    """Check the numbers of one group of options; None is an option that is not given.

    Raises:
        UsageError: one is out of its range.
    """
    for name, rule in rules_of(schema).items():
        value = getattr(cfg, name, None)
        if rule.range is not None and value is not None and value not in rule.range:
            why = rule.range.why.format(value)
            raise UsageError(
                f"{flag(name)} {value}: {why}give {rule.range.describe()}", "option-out-of-range"
            )


def idle_options(context: OptionContext, rules: Mapping[str, Rule]) -> dict[str, Condition]:
    """Return the options that have no effect, each with the first condition that it violates."""
    idle = {}
    for name, rule in rules.items():
        violated = next((x for x in rule.acts if x.is_violated(context)), None)
        if violated is not None:
            idle[name] = violated
    return idle


def check_nothing_stays_random(
    cfg: Any, task_cfg: Any, encoders: Mapping[str, EncoderSpec]
) -> None:
    """Check that a new training keeps no random weights: what is frozen comes from somewhere.

    Raises:
        UsageError: an encoder from scratch, or a fusion, is not trained and not initialized.
    """
    context = OptionContext(encoders, task_cfg, model=cfg)
    if task_cfg.init_from:
        return
    for name in encoders:
        tuning = context.tuning(name)
        is_random = context.is_built_here(name) and not getattr(task_cfg, f"init_{name}_from")
        if tuning != FULL and is_random:
            raise UsageError(
                f"--{name}-tuning {tuning}: the {name} encoder has random weights, which it would "
                f"keep; add --init-from or --init-{name}-from CHECKPOINT, or train it",
                "weights-random",
            )
    if str(cfg.fusion_tuning) == FROZEN:
        raise UsageError(
            "--fusion-tuning frozen: the fusion has random weights, which it would keep; add "
            "--init-from CHECKPOINT, or train it",
            "weights-random",
        )


def _do_not_act(names: Sequence[str], reason: str) -> str:
    return f"{', '.join(map(flag, names))} {'does' if len(names) == 1 else 'do'} not act: {reason}"
