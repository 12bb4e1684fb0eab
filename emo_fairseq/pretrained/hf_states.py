"""What the layers of a model of Hugging Face say, whichever version collects it how."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def recorded_states(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """A list that fills while the model runs: what enters the first layer, what leaves each."""
    found: list[Tensor] = []

    def before(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        found.append(arguments[0])

    def behind(layer: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layers[0].register_forward_pre_hook(before)]
    hooks += [layer.register_forward_hook(behind) for layer in layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
