"""Activation checkpointing (Chen et al. 2016, arXiv:1604.06174): memory for a second forward."""

import functools
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_activations(blocks: Iterable[nn.Module]) -> None:
    """Let blocks keep only their inputs for the backward pass, and compute the rest again there.

    Outputs, gradients and names in state dicts stay what they are; dropout draws the same numbers
    again. In evaluation, and where no gradients are wanted, nothing changes.

    Args:
        blocks: transformer layers of any library. Of a container without a forward of its own, as
            ``nn.ModuleList``, the members are taken.
    """
    for block in blocks:
        if type(block).forward is nn.Module.forward:
            checkpoint_activations(block.children())
        else:
            # On the instance, as a partial that names the block: a deep copy (fairseq's EMA makes
            # one) then refers to the copy, where a closure would go on computing with this block.
            block.forward = functools.partial(_forward, block)


def _forward(block: nn.Module, *args: Any, **kwargs: Any) -> Any:
    forward = type(block).forward
    if not (block.training and torch.is_grad_enabled()):
        return forward(block, *args, **kwargs)
    # The reentrant form would want an input that requires a gradient, which frozen embeddings do
    # not give.
    return checkpoint(forward, block, *args, use_reentrant=False, **kwargs)
