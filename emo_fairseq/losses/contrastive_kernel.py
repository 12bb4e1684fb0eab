"""The similarities of the contrastive loss, a slab of rows at a time, with their gradient.

Nothing of size (M, M) is held. With u and w as in :class:`ContrastiveRows`, E_ia = exp(s_ia),
Z_i = sum_{a != i} E_ia and r_i = u_i / sum_p w_p, the loss and its slope are

    sum_i u_i log Z_i  -  sum_{i < a} Q_ia s_ia            Q_ia = [same class] (r_i w_a + w_i r_a)
    d loss / d s_ia  =  E_ia (u_i / Z_i + u_a / Z_a) - Q_ia   for every pair i < a, once

Both E and Q are symmetric, so half of each is enough: a slab is some own rows against themselves
and all rows after them, and its column sums complete the Z of those.

              columns 0 .. n_own        .. n_known
    slab 0    [square|  ahead            |         ]       the other rows come last, as columns
    slab 1            [square|  ahead    |         ]       only: they are nobody's anchor here
    slab 2                    [square    |         ]

The first walk over the slabs finds Z; the second, for which each but the last is made again, the
gradient. That is 2 M^2 D multiplications, where autograd needs 3 and keeps several (M, M).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emo_fairseq.losses.precision import full_precision

SLAB_ELEMENTS = 2**20  # of each of the three buffers, unless the caller says how many rows
STEEPEST = {torch.float32: 70.0, torch.float64: 680.0}  # largest 1 / temperature: exp(s) is finite


class ContrastiveRows(NamedTuple):
    """Who is compared with whom, and how much it counts; all but `order` in the kernel's order.

    That order is: own anchors that have a positive, the other rows of known class, the rest.
    """

    order: Tensor | None  # (M,), row of the caller's at each place; None means as they are
    n_own: int
    n_known: int
    columns: Tensor  # (4, n_known), float64: small ids of the classes; u and r, 0 but for own; w


class ContrastiveKernel(torch.autograd.Function):
    """The loss; its gradient is found with it, in `forward`, and only scaled in `backward`."""

    @staticmethod
    def forward(
        ctx: Any, embeddings: Tensor, rows: ContrastiveRows, temperature: float, block: int | None
    ) -> Tensor:
        loss, gradient = loss_and_gradient(embeddings, rows, temperature, block)
        ctx.save_for_backward(gradient)
        ctx.dtype = embeddings.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        # Not kept in half precision: its small entries live on the loss scale, which comes here.
        return (gradient * scale).to(ctx.dtype), None, None, None


def loss_and_gradient(
    embeddings: Tensor,
    rows: ContrastiveRows,
    temperature: float,
    block: int | None,
    need_gradient: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Scalar loss and, if needed, its gradient (M, D), both in full precision.

    Args:
        embeddings: (M, D), of any floating type and length; a row of zeros has no direction: it is
            similar to none, and its gradient is 0.
        rows: what to compare.
        temperature: above 1 / 680.
        block: rows of a slab; None means :data:`SLAB_ELEMENTS`.
        need_gradient: without, half the work is saved.
    """
    device = embeddings.device.type
    # What autocast would change is written in place here, which it leaves alone: this is for later.
    if torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            return loss_and_gradient(embeddings, rows, temperature, block, need_gradient)
    precision = full_precision(embeddings[:0]).dtype
    dtype = precision if 1.0 / temperature <= STEEPEST[precision] else torch.float64
    if rows.n_own == 0:
        nothing = torch.zeros_like(embeddings, dtype=precision)
        return nothing.new_zeros(()), nothing
    ordered = embeddings if rows.order is None else embeddings.index_select(0, rows.order)
    ordered = ordered.to(dtype)  # (M, D)
    inverse_length = _inverse_length(ordered)  # (M, 1)
    directions = ordered * inverse_length
    del ordered
    slabs = _Slabs(directions, rows, temperature, block)
    loss = slabs.loss().to(precision)
    if not need_gradient:
        return loss, None
    gradient = slabs.gradient()  # (M, D), by direction
    # Only what turns a direction counts: d z / d e = (1 - z z^T) / |e|. Of known rows: the others
    # may be NaN.
    turned, z = gradient[: rows.n_known], directions[: rows.n_known]
    along = (turned * z).sum(dim=1, keepdim=True)  # (n_known, 1)
    turned.addcmul_(z, along, value=-1.0).mul_(inverse_length[: rows.n_known] / temperature)
    if rows.order is not None:
        gradient = directions.index_copy_(0, rows.order, gradient)
    return loss, gradient.to(precision)


class _Slabs:
    """The two walks over the slabs; `loss` first, `gradient` after it and once.

    There is at least one own anchor.
    """

    def __init__(
        self, directions: Tensor, rows: ContrastiveRows, temperature: float, block: int | None
    ) -> None:
        self.directions = directions  # (M, D)
        self.n_own, self.n_known = rows.n_own, rows.n_known
        self.temperature = temperature
        # (n_known,) each. The classes are floats, too: they are compared straight into a buffer.
        columns = rows.columns.to(directions).unbind()
        self.classes, self.anchor_shares, self.pulls, self.pair_weights = columns
        self.sums = directions.new_zeros(rows.n_own)  # Z
        self.height = min(block or max(SLAB_ELEMENTS // rows.n_known, 1), rows.n_own)
        self.similarity, self.positive, self.spare = directions.new_empty(
            3, self.height * rows.n_known
        )

    def loss(self) -> Tensor:
        attraction = self.directions.new_zeros(())
        for start, stop in self._bounds():
            similarity, positive = self._slab(start, stop)
            square = stop - start
            product = torch.mul(similarity, positive, out=self._view(self.spare, start, stop))
            attraction.add_(product[:, :square].sum(), alpha=0.5)  # it has each pair twice
            if stop < self.n_known:
                attraction.add_(product[:, square:].sum())
            exponential = similarity.exp_().fill_diagonal_(0.0)
            self.sums[start:stop].add_(exponential.sum(dim=1))
            if stop < self.n_own:
                self.sums[stop:].add_(exponential[:, square : self.n_own - start].sum(dim=0))
        return torch.dot(self.anchor_shares[: self.n_own], self.sums.log()) - attraction

    def gradient(self) -> Tensor:
        """(M, D), by direction, times the temperature."""
        gradient = torch.zeros_like(self.directions)
        slopes = self.anchor_shares.clone()  # (n_known,), u / Z
        slopes[: self.n_own] /= self.sums
        bounds = list(self._bounds())
        for start, stop in reversed(bounds):
            if stop == self.n_own:  # the last slab still lies in the buffers
                exponential, positive = (
                    self._view(buffer, start, stop) for buffer in (self.similarity, self.positive)
                )
            else:
                similarity, positive = self._slab(start, stop)
                exponential = similarity.exp_().fill_diagonal_(0.0)
            slope = self._view(self.spare, start, stop)  # (rows, columns)
            torch.add(slopes[start:stop, None], slopes[None, start:], out=slope)
            slope.mul_(exponential).sub_(positive)
            gradient[start:stop].addmm_(slope, self.directions[start : self.n_known])
            if stop < self.n_known:
                ahead = slope[:, stop - start :].T  # (columns - rows, rows)
                gradient[stop : self.n_known].addmm_(ahead, self.directions[start:stop])
        return gradient

    def _bounds(self) -> Iterator[tuple[int, int]]:
        for start in range(0, self.n_own, self.height):
            yield start, min(start + self.height, self.n_own)

    def _slab(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Similarity s and weight Q of rows start..stop against start..n_known, in the buffers."""
        similarity, positive, same_class = (
            self._view(buffer, start, stop)
            for buffer in (self.similarity, self.positive, self.spare)
        )
        torch.addmm(
            similarity,
            self.directions[start:stop],
            self.directions[start : self.n_known].T,
            beta=0.0,
            alpha=1.0 / self.temperature,
            out=similarity,
        )
        torch.outer(self.pulls[start:stop], self.pair_weights[start:], out=positive)
        positive.addr_(self.pair_weights[start:stop], self.pulls[start:])
        torch.eq(self.classes[start:stop, None], self.classes[None, start:], out=same_class)
        positive.mul_(same_class).fill_diagonal_(0.0)
        return similarity, positive

    def _view(self, buffer: Tensor, start: int, stop: int) -> Tensor:
        rows, columns = stop - start, self.n_known - start
        return buffer[: rows * columns].view(rows, columns)


def _inverse_length(vectors: Tensor) -> Tensor:
    """(M, D) -> (M, 1), 0 for a vector of zeros; NaN for one whose length is not finite."""
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    inverse = (length / length) / length
    return inverse.masked_fill_(length == 0.0, 0.0)
