"""Declare an option of a config dataclass together with its rule.

The rule is kept in the ``metadata`` of the dataclass field, which fairseq and Hydra pass over:

>>> from dataclasses import dataclass
>>> @dataclass
... class HeadConfig:
...     dropout: float = option(0.1, "dropout before the head", within=PROBABILITY)
>>> HeadConfig().dropout
0.1
>>> rules_of(HeadConfig)["dropout"].range.describe()
'0 or more, and less than 1'
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from emo_fairseq.options.conditions import Condition

_RULE = "rule"  # the key in a field's metadata


class Kind(enum.Enum):
    """What an option describes."""

    SETTING = "setting"  # the model, or how it is trained
    DATA = "data"  # which data are read, and from where
    OUTPUT = "output"  # what is written and where; no metric depends on it
    OTHER_RUN = "other run"  # a file that another training wrote, and what it was trained on
    LEGACY = "legacy"  # a flag of the BERT-like system, which means one of the other options


@dataclass(frozen=True)
class Range:
    """The numbers that an option may take; infinity and NaN are never among them.

    Attributes:
        least: the smallest.
        below: an upper bound that is not reached.
        above: a lower bound that is not reached.
        most: the largest.
        why: what is wrong with other numbers, with ``{}`` for the number.
    """

    least: float = -math.inf
    below: float = math.inf
    above: float = -math.inf
    most: float = math.inf
    why: str = ""

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most and self.above < value < self.below

    def describe(self) -> str:
        """Return the bounds in words.

        >>> Range(above=0, most=1).describe()
        'more than 0, and at most 1'
        """
        bounds = {
            "{:g} or more": self.least,
            "more than {:g}": self.above,
            "less than {:g}": self.below,
            "at most {:g}": self.most,
        }
        words = [text.format(bound) for text, bound in bounds.items() if math.isfinite(bound)]
        return ", and ".join(words)


PROBABILITY = Range(0, below=1)
NOT_NEGATIVE = Range(0)
POSITIVE = Range(above=0)
WIDTH = Range(
    1, most=2**16, why="a size of {} gives a constant output, or does not fit into memory; "
)
WIDTH_OR_0 = Range(0, most=2**16)
LAYERS = Range(0, most=1000)


@dataclass(frozen=True)
class Rule:
    """What is known of an option beside its type.

    Attributes:
        default: its value if it is not given.
        help: what ``--help`` prints.
        range: the numbers that it may take; None for any, and for options that are no numbers.
        acts: it has an effect if all of these hold.
        kind: what it describes.
    """

    default: Any
    help: str
    range: Range | None = None
    acts: Sequence[Condition] = ()
    kind: Kind = Kind.SETTING

    def is_given(self, value: object) -> bool:
        """Return whether a value differs from the default; an explicit default does not count."""
        # A choice is fairseq's own enumeration, whose default may be a plain string.
        return value is not None and self.default not in (value, str(value))


def option(
    default: Any,
    help_text: str,
    *,
    within: Range | None = None,
    acts: Condition | Sequence[Condition] = (),
    kind: Kind = Kind.SETTING,
) -> Any:
    """Return the dataclass field of an option; see :class:`Rule`."""
    conditions = (acts,) if isinstance(acts, Condition) else tuple(acts)
    rule = Rule(default, help_text, within, conditions, kind)
    return field(default=default, metadata={"help": help_text, _RULE: rule})


def rules_of(schema: type) -> dict[str, Rule]:
    """Return the rule of each option of a config dataclass, by the name of the field."""
    return {x.name: x.metadata[_RULE] for x in fields(schema) if _RULE in x.metadata}


def flag(name: str) -> str:
    """Return an option as it is written on a command line.

    >>> flag("lora_rank")
    '--lora-rank'
    """
    return f"--{name.replace('_', '-')}"


def names_of_kind(schema: type, *kinds: Kind) -> set[str]:
    """Return the options of a config dataclass that describe one of these."""
    return {name for name, rule in rules_of(schema).items() if rule.kind in kinds}
