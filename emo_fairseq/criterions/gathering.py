"""Gather the rows of all ranks, with gradients to the rank of each."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from fairseq.distributed import utils as distributed_utils
from torch import Tensor


class Gathered(NamedTuple):
    """Rows of all ranks, in the order of the ranks.

    Attributes:
        tensors: (M, ...) each, the same on every rank.
        own: which of the M rows are this rank's.
    """

    tensors: Sequence[Tensor]
    own: slice


def gather_rows(tensors: Sequence[Tensor]) -> Gathered:
    """Concatenate the rows of all ranks, which may have different numbers of rows.

    The gradient of a row is the sum of those on all ranks, so that the sum of the ranks'
    losses has the gradient that one rank with all rows would have. On one rank nothing is done.

    Args:
        tensors: (n, ...) each, of the same n; every rank passes as many tensors, of the same types.
    """
    n = len(tensors[0])
    group = distributed_utils.get_data_parallel_group()
    world = distributed_utils.get_data_parallel_world_size()
    if world == 1:
        return Gathered(tensors, slice(0, n))
    counts = [torch.zeros(1, dtype=torch.long, device=tensors[0].device) for _ in range(world)]
    dist.all_gather(counts, torch.full_like(counts[0], n), group=group)
    sizes = torch.cat(counts).tolist()  # waits for the device: their number decides on shapes
    start = sum(sizes[: dist.get_rank(group)])
    gathered = [_GatherRows.apply(tensor, sizes, start, group) for tensor in tensors]
    return Gathered(gathered, slice(start, start + n))


def sum_over_ranks(value: Tensor | float, like: Tensor) -> Tensor | float:
    """Return the sum of a number over all ranks; on one rank the number itself.

    Args:
        value: this rank's.
        like: a tensor on the device of the process group.
    """
    if distributed_utils.get_data_parallel_world_size() == 1:
        return value
    total = torch.as_tensor(value, dtype=torch.float64).detach().clone().to(like.device)
    dist.all_reduce(total, group=distributed_utils.get_data_parallel_group())
    return total


class _GatherRows(torch.autograd.Function):
    """torch's own gather with gradients needs the same number of rows on every rank."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int], start: int, group: Any) -> Tensor:
        ctx.own, ctx.group = slice(start, start + len(rows)), group
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        received = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(received, padded, group=group)
        return torch.cat([part[:size] for part, size in zip(received, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        return total[ctx.own], None, None, None
