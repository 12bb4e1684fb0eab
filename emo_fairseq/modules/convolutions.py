"""Stacks of convolutions over raw samples: wav2vec's notation, output lengths, receptive field."""

import ast
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from emo_fairseq.errors import UsageError

ConvLayer = tuple[int, int, int]  # channels, kernel, stride

_MAX_REPEATS = 100  # of one list of layers


def parse_conv_layers(text: str, where: str) -> list[ConvLayer]:
    """Parse wav2vec's notation ``[(512, 10, 5)] + [(512, 3, 2)] * 4`` without evaluating code.

    Args:
        text: sums of lists of (channels, kernel, stride), each optionally times a number.
        where: the option or file that holds the text, named in the error message.

    Returns:
        (channels, kernel, stride) of each layer.

    Raises:
        UsageError: the text is anything else.

    >>> parse_conv_layers("[(8, 10, 5)] + [(8, 3, 2)] * 2", "--speech-conv-layers")
    [(8, 10, 5), (8, 3, 2), (8, 3, 2)]
    """
    layers: list[ConvLayer] = []
    try:
        for term in text.split("+"):
            listed, _, times = term.partition("*")
            repeats = int(times) if times.strip() else 1
            if not 0 < repeats <= _MAX_REPEATS:
                raise ValueError(f"repeated {repeats} times")
            layers += ast.literal_eval(listed.strip()) * repeats
        well_formed = all(
            len(layer) == 3 and all(isinstance(n, int) and n > 0 for n in layer) for layer in layers
        )
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        well_formed = False
    if not (layers and well_formed):
        raise UsageError(
            f"{where} {text!r}: write [(channels, kernel, stride), ...], "
            "with + between lists and * after one to repeat it",
            "convolutions-syntax",
        )
    return layers


def count_frames(lengths: Tensor, layers: Iterable[Sequence[int]]) -> Tensor:
    """Return how many output frames see no padding, for each number of samples.

    Args:
        lengths: numbers of samples, of any shape.
        layers: (channels, kernel, stride) of each convolution.

    Returns:
        Numbers of frames, of the same shape.

    >>> count_frames(torch.tensor([400, 16_000]), [(8, 10, 5)] + [(8, 3, 2)] * 4 + [(8, 2, 2)] * 2)
    tensor([ 1, 49])
    """
    for _, kernel, stride in layers:
        lengths = torch.div(lengths - kernel, stride, rounding_mode="floor") + 1
    return lengths


def receptive_field(layers: Sequence[Sequence[int]]) -> int:
    """Return the receptive field of one output frame, in samples.

    >>> receptive_field([(8, 10, 5)] + [(8, 3, 2)] * 4 + [(8, 2, 2)] * 2)
    400
    """
    n_samples = 1
    for _, kernel, stride in reversed(layers):
        n_samples = (n_samples - 1) * stride + kernel
    return n_samples
