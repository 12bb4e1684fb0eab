"""``--help`` of fairseq's commands."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from fairseq import options

from emo_fairseq.compat.patching import wrap

_HELP = ("-h", "--help")


def apply() -> None:
    """Apply all that this module says."""
    wrap(options, "parse_args_and_arch", _help_with_all_options)


def _help_with_all_options(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``--help`` list the options of the task, the model and the criterion, too.

    fairseq parses once to learn which those are and adds them; but argparse prints the help in that
    first pass, and leaves.
    """

    def parse_args_and_arch(parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> Any:
        find = parser.parse_known_args

        def find_names(words: Sequence[str] | None = None, namespace: Any = None) -> Any:
            vars(parser).pop("parse_known_args", None)  # the first pass alone
            words = sys.argv[1:] if words is None else words
            return find([word for word in words if word not in _HELP], namespace)

        parser.parse_known_args = find_names  # type: ignore[method-assign,assignment]
        return parse(parser, *args, **kwargs)

    return parse_args_and_arch
