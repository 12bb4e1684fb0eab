"""Activation checkpointing (Chen et al. 2016, arXiv:1604.06174): less memory, one more forward."""

import functools
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_activations(blocks: Iterable[nn.Module]) -> None:
    """Store only the inputs of blocks in the forward pass, and recompute the rest in the backward.

    Outputs, gradients, dropout masks and names in state dicts are unchanged. In evaluation, and
    without gradients, nothing is recomputed.

    Args:
        blocks: transformer layers of any library, modified in place. In a container without a
            forward of its own, such as ``nn.ModuleList``, its members are.

    >>> layer = nn.TransformerEncoderLayer(8, 2, 16)
    >>> checkpoint_activations([layer])
    >>> layer(torch.ones(3, 1, 8)).sum().backward()
    """
    for block in blocks:
        if type(block).forward is nn.Module.forward:
            checkpoint_activations(block.children())
        else:
            # On the instance, as a partial of the block: a deep copy (fairseq's EMA) refers to
            # the copy then, where a closure would still compute with this block.
            block.forward = functools.partial(_forward, block)


def _forward(block: nn.Module, *args: Any, **kwargs: Any) -> Any:
    forward = type(block).forward
    if not (block.training and torch.is_grad_enabled()):
        return forward(block, *args, **kwargs)
    # The reentrant form needs an input that requires a gradient, which the output of frozen
    # embeddings does not.
    return checkpoint(forward, block, *args, use_reentrant=False, **kwargs)
