"""Change dropout from an epoch on, such as the one after which a curriculum repeats its data."""

import logging
from collections.abc import Sequence

from torch import nn

logger = logging.getLogger(__name__)


class FinalDropout:
    """Set the rate of dropouts by the epoch. There is no state to save.

    Args:
        dropouts: modules whose rate is set.
        rate: the rate after `after_epoch`.
        after_epoch: last epoch, counted from 1, with the initial rates.

    >>> dropout = nn.Dropout(0.1)
    >>> schedule = FinalDropout([dropout], rate=0.5, after_epoch=2)
    >>> schedule.begin_epoch(3)
    >>> dropout.p
    0.5
    """

    def __init__(self, dropouts: Sequence[nn.Dropout], rate: float, after_epoch: int) -> None:
        self._initial = [(dropout, dropout.p) for dropout in dropouts]
        self._rate, self._after_epoch = rate, after_epoch

    def begin_epoch(self, epoch: int) -> None:
        """Set the rates of an epoch, counted from 1."""
        has_ended = epoch > self._after_epoch
        for dropout, initial in self._initial:
            rate = self._rate if has_ended else initial
            if dropout.p != rate:
                logger.info("epoch %d: dropout changed from %g to %g", epoch, dropout.p, rate)
                dropout.p = rate
