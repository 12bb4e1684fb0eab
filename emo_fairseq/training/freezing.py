"""A frozen module neither learns nor drops out."""

import functools

from torch import nn


def freeze(module: nn.Module) -> None:
    """Keep a module as it is: no gradients, and evaluation mode whatever becomes of its parents.

    ``train()`` of a parent reaches each child through the child's own ``train``, so that is where
    it is stopped. fairseq calls it before every update.
    """
    module.requires_grad_(False)
    module.eval()
    # On the instance: names in state dicts, and the module's class, stay what they are.
    module.train = functools.partial(_stay_in_eval, module)  # type: ignore[method-assign]


def _stay_in_eval(module: nn.Module, mode: bool = True) -> nn.Module:
    return module
