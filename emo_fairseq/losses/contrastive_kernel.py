"""Kernel of the contrastive loss and its gradient, computed in slabs of rows.

No tensor of size (M, M) is held. With u and w as in :class:`ContrastiveRows`, E_ia = exp(s_ia),
Z_i = sum_{a != i} E_ia and r_i = u_i / sum_p w_p, the loss and its slope are

    sum_i u_i log Z_i  -  sum_{i < a} Q_ia s_ia            Q_ia = [same class] (r_i w_a + w_i r_a)
    d loss / d s_ia  =  E_ia (u_i / Z_i + u_a / Z_a) - Q_ia   for every pair i < a, once

Both E and Q are symmetric, so half of each suffices: a slab compares some own rows with themselves
and all rows after them, and its column sums complete the Z of those.

              columns 0 .. n_own        .. n_known
    slab 0    [square|  ahead            |         ]       the other rows come last, only as
    slab 1            [square|  ahead    |         ]       columns: they are not anchors here
    slab 2                    [square    |         ]

The first pass over the slabs computes Z; the second, which recomputes each but the last, the
gradient. That takes 2 M^2 D multiplications, where autograd takes 3 and keeps several (M, M).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emo_fairseq.losses.precision import full_precision

SLAB_ELEMENTS = 2**20  # of each of the three buffers, unless the caller sets the number of rows
STEEPEST = {torch.float32: 70.0, torch.float64: 680.0}  # largest 1 / temperature: exp(s) is finite


class ContrastiveRows(NamedTuple):
    """Classes and weights of the rows, in the kernel's order.

    The order is: own anchors that have a positive, other rows of known class, the rest.

    Attributes:
        order: (M,), the caller's row at each position; None = unchanged.
        n_own: number of own anchors that have a positive.
        n_known: number of rows of known class.
        columns: (4, n_known), float64: class ids; u and r, 0 except for own rows; w.
    """

    order: Tensor | None
    n_own: int
    n_known: int
    columns: Tensor


class ContrastiveKernel(torch.autograd.Function):
    """The loss as an autograd function; `forward` computes the gradient, `backward` scales it."""

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
        # Kept in full precision: small entries underflow before the loss scale is applied here.
        return (gradient * scale).to(ctx.dtype), None, None, None


def loss_and_gradient(
    embeddings: Tensor,
    rows: ContrastiveRows,
    temperature: float,
    block: int | None,
    need_gradient: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Compute the scalar loss and, if needed, its gradient (M, D), both in full precision.

    Args:
        embeddings: (M, D), of any floating type and length; a row of zeros has similarity 0 to all
            and gradient 0.
        rows: classes and weights.
        temperature: above 1 / 680.
        block: rows of a slab; None = as many as :data:`SLAB_ELEMENTS` allows.
        need_gradient: False saves half the work.

    Returns:
        The loss, and its gradient or None.
    """
    device = embeddings.device.type
    # Today's operations write in place, which autocast does not change; disabled for later ones.
    if torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            return loss_and_gradient(embeddings, rows, temperature, block, need_gradient)
    precision = full_precision(embeddings[:0]).dtype
    dtype = precision if 1.0 / temperature <= STEEPEST[precision] else torch.float64
    if rows.n_own == 0:
        gradient = torch.zeros_like(embeddings, dtype=precision)
        return gradient.new_zeros(()), gradient
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
    # Through the normalization: d z / d e = (1 - z z^T) / |e|. For known rows only: the others may
    # be NaN.
    known, z = gradient[: rows.n_known], directions[: rows.n_known]
    along = (known * z).sum(dim=1, keepdim=True)  # (n_known, 1)
    known.addcmul_(z, along, value=-1.0).mul_(inverse_length[: rows.n_known] / temperature)
    if rows.order is not None:
        gradient = directions.index_copy_(0, rows.order, gradient)
    return loss, gradient.to(precision)


class _Slabs:
    """The two passes over the slabs: call `loss` first, then `gradient` at most once.

    There must be at least one own anchor.
    """

    def __init__(
        self, directions: Tensor, rows: ContrastiveRows, temperature: float, block: int | None
    ) -> None:
        self.directions = directions  # (M, D)
        self.n_own, self.n_known = rows.n_own, rows.n_known
        self.temperature = temperature
        # (n_known,) each. The classes are floats too, as they are compared into a float buffer.
        columns = rows.columns.to(directions).unbind()
        self.classes, self.anchor_shares, self.ratios, self.pair_weights = columns
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
            attraction.add_(product[:, :square].sum(), alpha=0.5)  # each pair is in it twice
            if stop < self.n_known:
                attraction.add_(product[:, square:].sum())
            exponential = similarity.exp_().fill_diagonal_(0.0)
            self.sums[start:stop].add_(exponential.sum(dim=1))
            if stop < self.n_own:
                self.sums[stop:].add_(exponential[:, square : self.n_own - start].sum(dim=0))
        return torch.dot(self.anchor_shares[: self.n_own], self.sums.log()) - attraction

    def gradient(self) -> Tensor:
        """Return the gradient by direction, (M, D), times the temperature."""
        gradient = torch.zeros_like(self.directions)
        slopes = self.anchor_shares.clone()  # (n_known,), u / Z
        slopes[: self.n_own] /= self.sums
        bounds = list(self._bounds())
        for start, stop in reversed(bounds):
            if stop == self.n_own:  # the last slab is still in the buffers
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
        """Compute s and Q of rows start..stop with rows start..n_known, in the buffers."""
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
        torch.outer(self.ratios[start:stop], self.pair_weights[start:], out=positive)
        positive.addr_(self.pair_weights[start:stop], self.ratios[start:])
        torch.eq(self.classes[start:stop, None], self.classes[None, start:], out=same_class)
        positive.mul_(same_class).fill_diagonal_(0.0)
        return similarity, positive

    def _view(self, buffer: Tensor, start: int, stop: int) -> Tensor:
        rows, columns = stop - start, self.n_known - start
        return buffer[: rows * columns].view(rows, columns)


def _inverse_length(vectors: Tensor) -> Tensor:
    """Return (M, 1) for (M, D): 0 for a vector of zeros, NaN where the length is not finite."""
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    inverse = (length / length) / length
    return inverse.masked_fill_(length == 0.0, 0.0)
