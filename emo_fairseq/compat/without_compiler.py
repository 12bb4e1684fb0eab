"""Functions of torch that import parts of its compiler although nothing is compiled.

The methods of optimizers import the compiler when they are first called, to keep it out of
themselves, and the check of attention's padding mask imports its symbolic shapes, with sympy: two
seconds and 100 MB of every training. Here they do not; in a process that has imported the compiler,
they are torch's own.
"""

import sys
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

import torch

from emo_fairseq.compat.patching import wrap

_COMPILER = "torch._dynamo"
_DISABLED = "torch._compile"  # whose functions import the compiler and disable it
_STEP = "_use_grad"  # the function around steps, which imports the compiler


def apply() -> None:
    """Replace the functions. A second call changes nothing."""
    wrap(torch, "_check_with", _unless_true)
    optimizers = [x for x in vars(torch.optim).values() if isinstance(x, type)]
    for optimizer in optimizers:
        for name, method in list(vars(optimizer).items()):
            plain = getattr(method, "__wrapped__", None)
            if plain is None or not isinstance(method, FunctionType):
                continue
            if method.__globals__["__name__"] == _DISABLED:
                wrap(optimizer, name, partial(_unless_compiled, plain))
            elif method.__code__.co_name == _STEP:
                wrap(optimizer, name, partial(_unless_compiled, _with_gradients(plain)))


def _unless_compiled(plain: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return (original if _COMPILER in sys.modules else plain)(*args, **kwargs)

    return call


def _unless_true(check: Callable[..., None]) -> Callable[..., None]:
    """Return a check of a condition that is looked into only where it does not hold, or may not."""

    def call(error_type: type[Exception], cond: Any, message: Callable[[], str]) -> None:
        if cond is not True:  # False, or symbolic
            check(error_type, cond, message)

    return call


def _with_gradients(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return a step that records gradients only if the optimizer is differentiable."""

    def call(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step(self, *args, **kwargs)

    return call
