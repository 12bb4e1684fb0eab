"""The lower layers of a model of Hugging Face, run by the model's own code.

A model passes its input through a list of layers. A view of the model, with its own list of some of
them, runs these alone: it shares every module below the list, and so all parameters.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


def view_of_lower_layers(
    model: nn.Module, path: str, n_layers: int, after: Sequence[str], states: list[Tensor]
) -> nn.Module:
    """Return a view of a model that runs its lowest layers alone.

    It is made for one call, so that several threads may run the model, and whatever has replaced a
    layer since, such as a wrapper that shards it, is part of it.

    Args:
        model: holds the list of layers.
        path: name of the list in the model: ``encoder.layer``.
        n_layers: N > 0, number of the layers that run.
        after: names of the modules after the last layer, which are left out.
        states: a call of the view appends the input of the first layer and the output of each,
            N + 1 tensors.
    """
    view = holder = _shallow_copy(model)
    *parents, name = path.split(".")
    for parent in parents:
        holder._modules[parent] = holder = _shallow_copy(holder.get_submodule(parent))
    layers = list(holder.get_submodule(name).children())[:n_layers]
    holder._modules[name] = nn.ModuleList(_Recorded(layer, states) for layer in layers)
    for name in after:
        assert "." not in name
        view._modules[name] = nn.Identity()
    return view


def _shallow_copy(module: nn.Module) -> nn.Module:
    """Return a module with the same contents, whose parts can be replaced."""
    copied = module.__class__.__new__(module.__class__)
    copied.__dict__ = {**module.__dict__, "_modules": dict(module._modules)}
    return copied


class _Recorded(nn.Module):
    """A layer that appends its output to a list, and before the first one its input."""

    def __init__(self, layer: nn.Module, states: list[Tensor]) -> None:
        super().__init__()
        self._layer = layer
        self._states = states

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # a setting of the layer, which its model reads
            return getattr(super().__getattr__("_layer"), name)

    def forward(self, state: Tensor, *arguments: Any, **options: Any) -> Any:
        """Run the layer."""
        if not self._states:
            self._states.append(state)
        output = self._layer(state, *arguments, **options)
        self._states.append(output[0] if isinstance(output, tuple) else output)
        return output
