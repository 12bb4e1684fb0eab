"""Dropout on CPUs whose masks come from one bulk draw of random bits.

torch draws a mask on the CPU in one thread from a Mersenne Twister, 6 ns an element: 6 to 16 % of
an update of MiniLM or MPNet. SFC64 of NumPy, seeded by torch's generator, needs 0.6 ns. A run is
resumed exactly as before, since the seed is the only draw from that generator, and fairseq seeds it
for every update; activation checkpointing restores it likewise.
"""

import numpy as np
import torch
from fairseq.modules.fairseq_dropout import FairseqDropout
from torch import Tensor, nn
from torch.nn.functional import dropout

_LEVELS = 2**16  # of a random number
_IN_A_WORD = 4  # numbers of 16 bits in what the generator yields


def bulk_dropout(x: Tensor, p: float) -> Tensor:
    """Drop elements with probability `p`, rounded to 1/65536, and scale the others.

    >>> x = torch.ones(1000, 1000)
    >>> round(float((bulk_dropout(x, 0.25) == 0).float().mean()), 2)
    0.25

    Args:
        x: of any shape and floating-point type. On other devices than the CPU, torch's own dropout
            is used.
        p: in [0, 1].

    Returns:
        A new tensor, whose expectation is `x`.
    """
    n_dropped = round(p * _LEVELS)
    if x.device.type != "cpu" or n_dropped in (0, _LEVELS):
        return dropout(x, p)
    seed = int(torch.empty((), dtype=torch.int64).random_())
    words = np.random.SFC64(seed).random_raw(-(-x.numel() // _IN_A_WORD))
    numbers = torch.from_numpy(words.view(np.int16)[: x.numel()]).view(x.shape)
    # Compared as floats, which hold them exactly: torch has no vectorized mask of short integers.
    kept = numbers.to(torch.float32).ge_(n_dropped - _LEVELS // 2)
    return x * kept.mul_(_LEVELS / (_LEVELS - n_dropped)).to(x.dtype)


class _BulkDropout(nn.Dropout):
    def forward(self, x: Tensor) -> Tensor:
        return bulk_dropout(x, self.p) if self.training and self.p > 0 else x


class _BulkFairseqDropout(FairseqDropout):
    def forward(self, x: Tensor, inplace: bool = False) -> Tensor:
        acts = self.p > 0 and (self.training or self.apply_during_inference)
        return bulk_dropout(x, self.p) if acts else x


_BULK: dict[type[nn.Module], type[nn.Module]] = {
    nn.Dropout: _BulkDropout,
    FairseqDropout: _BulkFairseqDropout,
}


def use_bulk_dropout(module: nn.Module) -> None:
    """Let the dropouts of a model draw their masks in bulk.

    Args:
        module: modified in place. Names, rates and their later changes stay as they are; dropout
            that is no module, such as that inside of torch's attention, is still torch's.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    >>> use_bulk_dropout(model)
    >>> model[1]
    _BulkDropout(p=0.5, inplace=False)
    """
    for part in module.modules():
        if (bulk := _BULK.get(type(part))) is not None:
            part.__class__ = bulk
