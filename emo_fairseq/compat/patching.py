"""Replace a function of fairseq in its module or class, once."""

import functools
import sys
from collections.abc import Callable
from typing import Any

_MARK = "_replaced_by_emo_fairseq"


def wrap(owner: Any, name: str, wrapper: Callable[[Any], Callable[..., Any]]) -> None:
    """Replace ``owner.name`` by ``wrapper(original)``, unless this wrapper has done so before.

    Args:
        owner: a module or a class.
        name: of one of its functions.
        wrapper: takes the original and returns what is called instead of it.
    """
    original = getattr(owner, name)
    applied = getattr(original, _MARK, ())
    if wrapper in applied:
        return
    replacement = functools.wraps(original)(wrapper(original))
    setattr(replacement, _MARK, (*applied, wrapper))
    is_static = isinstance(vars(owner).get(name), staticmethod)
    setattr(owner, name, staticmethod(replacement) if is_static else replacement)


def wrap_in_training(name: str, wrapper: Callable[[Any], Callable[..., Any]]) -> None:
    """Replace a function of fairseq-train; in a process of another command do nothing."""
    if (module := sys.modules.get("fairseq_cli.train")) is not None:
        wrap(module, name, wrapper)
