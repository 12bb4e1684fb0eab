"""Check the sizes that a file describes a model with against bounds and its stored tensors.

A configuration of a few bytes may describe ten million layers, or a layer of a terabyte. It is
checked before a model is built, and building stops at more parameters than the stored tensors have.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from emo_fairseq.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

MAX_COUNT = 1024  # of layers, heads and the like; the deepest published encoders have 48 layers
MAX_SIZE = 2**24  # of any other whole number in a configuration

_COUNTED = re.compile(r"(layers?|heads|depths?|blocks|groups|experts)$")
_WIDTHS = ("hidden_size", "intermediate_size")  # in any model's configuration
_WORDS = "vocab_size"  # of an encoder of speech that of a head which may not be stored
_WITHOUT_WORDS = ("whisper",)  # types of models of which the encoder alone is built
# Building may make a tensor twice (a parametrization) or throw some away (a head).
_SLACK = 4
_FEW_TENSORS, _FEW_ELEMENTS = 1024, 2**24
_ANY_TENSORS, _ANY_ELEMENTS = 2**16, 2**32  # where the tensors are not stored beside it


def check_sizes(options: Mapping[str, Any], where: str, remedy: str) -> None:
    """Raise a `UsageError` at the first number in nested options that no model can have.

    Args:
        options: plain values.
        where: the prefix of the names in messages: the file, and the key in it.
        remedy: the end of the sentence.
    """
    for name, value in _numbers(options, ""):
        limit = MAX_COUNT if _COUNTED.search(name.rstrip("[]0123456789")) else MAX_SIZE
        if abs(value) > limit:
            raise UsageError(
                f"{where}{name} is {value:.4g}, and at most {limit} is built; {remedy}",
                "size-out-of-range",
            )


def check_stored(
    options: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], where: str, remedy: str
) -> None:
    """Check the sizes in the configuration of a Hugging Face model against its tensors.

    Args:
        options: the configuration.
        shapes: of every stored tensor, by name.
        where: what names the configuration, in messages.
        remedy: the end of the sentence.

    Raises:
        UsageError: more layers than tensors, or a width above that of every tensor.
    """
    widths = {width for shape in shapes.values() for width in shape}
    has_words = options.get("model_type") not in _WITHOUT_WORDS
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        if _COUNTED.search(name) and "layers" in name and value > len(shapes):
            raise UsageError(
                f"{where}{name} is {value}, and {len(shapes)} tensors are stored; {remedy}",
                "size-not-stored",
            )
        is_odd = value not in widths if name in _WIDTHS else value > max(widths, default=0)
        if is_odd and (name in _WIDTHS or (name == _WORDS and has_words)):
            raise UsageError(
                f"{where}{name} is {value}, and no stored tensor is as wide; {remedy}",
                "size-not-stored",
            )


def _numbers(value: Any, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _numbers(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _numbers(part, f"{path}[{number}]")
    elif isinstance(value, int) and not isinstance(value, bool):
        yield path, value


class Stored(NamedTuple):
    """The numbers of tensors, and of elements, in a file."""

    n_tensors: int
    n_elements: int

    @classmethod
    def of(cls, tensors: Mapping[str, Any]) -> "Stored":
        """Count the tensors of a state dict."""
        from torch import Tensor

        shapes = [value.shape for value in tensors.values() if isinstance(value, Tensor)]
        return cls(len(shapes), sum(map(math.prod, shapes)))


@contextmanager
def build_within(stored: Stored | None, where: str, remedy: str) -> Iterator[None]:
    """Stop the building of a model that has far more parameters than are stored for it.

    Args:
        stored: the size of its state dict, or None if the tensors are elsewhere.
        where: the file that describes the model.
        remedy: the end of the sentence.

    Raises:
        UsageError: within the block, before the parameter is filled.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    max_tensors, max_elements = _ANY_TENSORS, _ANY_ELEMENTS
    if stored is not None:
        max_tensors = _SLACK * stored.n_tensors + _FEW_TENSORS
        max_elements = _SLACK * stored.n_elements + _FEW_ELEMENTS
    n_built = n_filled = 0

    def count(module: "nn.Module", name: str, parameter: "nn.Parameter | None") -> None:
        nonlocal n_built, n_filled
        if parameter is None:
            return
        n_built += 1
        n_filled += math.prod(parameter.shape)
        if n_built > max_tensors or n_filled > max_elements:
            beside = (
                "" if stored is None else f", and {stored.n_tensors} tensors are stored with it"
            )
            raise UsageError(
                f"{where}: describes a model of more than {n_filled:.3g} numbers in {n_built} "
                f"tensors{beside}; {remedy}",
                "model-too-large",
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
