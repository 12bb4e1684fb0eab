"""Moving averages of the parameters of a module, as MoCo's momentum encoder has them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.func import functional_call


class MovingAverage(nn.Module):
    """The module with moving averages in place of its trained parameters.

    He et al. 2020, "Momentum contrast for unsupervised visual representation learning", eq. 2:

        average <- momentum * average + (1 - momentum) * parameter

    The averages begin with the parameters, need no gradient, and are saved with the module that
    holds this one. Frozen parameters and buffers are those of the module itself.

    Args:
        module: is not held; it is passed again to :meth:`follow` and :meth:`forward`.
        momentum: 0 or more, and less than 1; 0.999 in the paper.
    """

    def __init__(self, module: nn.Module, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        trained = {name: x for name, x in module.named_parameters() if x.requires_grad}
        self.names = list(trained)
        self.averages = nn.ParameterList(
            nn.Parameter(parameter.detach().clone(), requires_grad=False)
            for parameter in trained.values()
        )
        self._followed: int | None = None  # the update before which the averages were updated last

    @torch.no_grad()
    def follow(self, module: nn.Module, update: int) -> None:
        """Update the averages before the first batch of an update of the training.

        Args:
            module: after the updates so far.
            update: number of the updates so far; with 0 the averages are the parameters.
        """
        if update and update != self._followed:
            parameters = dict(module.named_parameters())
            for name, average in zip(self.names, self.averages, strict=True):
                average.lerp_(parameters[name], 1.0 - self.momentum)
        self._followed = update

    @torch.no_grad()
    def forward(self, module: nn.Module, *args: Any, **options: Any) -> Any:
        """Return the output of the module, whose mode is its own, without a gradient."""
        averages: Mapping[str, Any] = dict(zip(self.names, self.averages, strict=True))
        return functional_call(module, averages, args, options)  # type: ignore[arg-type]
