"""Building a model without the random values that a state dict replaces."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

# By name: transformers puts functions of its own in the place of those of torch.nn.init.
_RANDOM = {
    "normal_",
    "uniform_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "trunc_normal_",
    "xavier_normal_",
    "xavier_uniform_",
}


class SkipRandomParameters(TorchFunctionMode):
    """Fill parameters with zeros where they would be drawn at random.

    Within ``with SkipRandomParameters():`` a model is built whose parameters are all loaded
    afterwards. Drawing those of a large encoder takes seconds. Buffers are drawn, since a state
    dict need not hold them.

    >>> import torch
    >>> before = torch.get_rng_state()
    >>> with SkipRandomParameters():
    ...     layer = nn.Linear(3, 2)
    >>> torch.equal(torch.get_rng_state(), before)
    True
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch; zero a parameter that it would fill at random."""
        options = kwargs or {}
        if getattr(func, "__name__", "") in _RANDOM:
            filled = args[0] if args else options["tensor"]
            if isinstance(filled, nn.Parameter):
                filled.data.zero_()
                return filled
        return func(*args, **options)
