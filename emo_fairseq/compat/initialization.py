"""Building a model without the random values that a state dict replaces."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_RANDOM = {
    Tensor.normal_,
    Tensor.uniform_,
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
    nn.init.normal_,
    nn.init.trunc_normal_,
    nn.init.uniform_,
    nn.init.xavier_normal_,
    nn.init.xavier_uniform_,
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
        if func in _RANDOM:
            filled = args[0] if args else options["tensor"]
            if isinstance(filled, nn.Parameter):
                filled.data.zero_()
                return filled
        return func(*args, **options)
