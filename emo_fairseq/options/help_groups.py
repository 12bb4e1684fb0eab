"""``--help`` of fairseq's commands with the options of this package first, in groups of their own.

fairseq puts the options of tasks and criterions among its own 40, and those of a model under one
heading; it shows neither defaults nor ranges.
"""

import argparse
from collections.abc import Iterator
from dataclasses import is_dataclass

from omegaconf import MISSING

from emo_fairseq.options.option import Rule, flag, rules_of
from emo_fairseq.options.registered import registered_schemas

_USAGE = (
    "%(prog)s --user-dir emo_fairseq --task emotion_prediction --data DATA [OPTION ...]\n\n"
    "The options of emo_fairseq come first, then those of fairseq."
)


def group_options(parser: argparse.ArgumentParser) -> None:
    """Let ``--help`` of a command group the options of this package.

    Args:
        parser: of the command, to which fairseq may add further options after this call.
    """
    format_help = parser.format_help

    def format_grouped_help() -> str:
        _group(parser)
        return format_help()

    parser.format_help = format_grouped_help  # type: ignore[method-assign]


def describe(rule: Rule) -> str:
    """Return the help of an option with its range and its default, unless it names this.

    >>> from emo_fairseq.options.option import PROBABILITY
    >>> describe(Rule(0.1, "dropout rate", PROBABILITY))
    'dropout rate (0 or more, and less than 1; default: 0.1)'
    """
    notes = [] if rule.range is None else [rule.range.describe()]
    is_empty = rule.default is None or rule.default is False or rule.default == MISSING
    if not is_empty and "default" not in rule.help:
        notes.append(f"default: {rule.default}")
    shown = "; ".join(filter(None, notes))
    return f"{rule.help} ({shown})" if shown else rule.help


def _group(parser: argparse.ArgumentParser) -> None:
    """Move the options into groups at the beginning; a second call changes nothing."""
    before, parser._action_groups[:] = list(parser._action_groups), []
    known = {option: action for action in parser._actions for option in action.option_strings}
    for title, about, rules in _sections():
        actions = {known[flag(name)]: rule for name, rule in rules.items() if flag(name) in known}
        if not actions:
            continue
        for group in before:
            kept = [action for action in group._group_actions if action not in actions]
            group._group_actions[:] = kept
        own = parser.add_argument_group(title, about)
        own._group_actions += actions
        for action, rule in actions.items():
            action.help = describe(rule).replace("%", "%%")
    parser._action_groups += before
    parser.usage = _USAGE


def _sections() -> Iterator[tuple[str, str, dict[str, Rule]]]:
    """Yield title, description and rules of each dataclass that declares options."""
    for part, schemas in registered_schemas().items():
        bases = dict.fromkeys(
            base for schema in schemas.values() for base in reversed(schema.__mro__)
        )
        for base in bases:
            annotated = vars(base).get("__annotations__", {})
            rules = rules_of(base) if is_dataclass(base) else {}
            own = {name: rule for name, rule in rules.items() if name in annotated}
            if own:
                title = f"{part}: {_words(base.__name__)}"
                yield title, (base.__doc__ or "").partition("\n")[0], own


def _words(name: str) -> str:
    """Return the name of a config dataclass as words.

    >>> _words("EncoderCacheConfig")
    'encoder cache'
    """
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in name.removesuffix("Config"))
    return words.strip()
