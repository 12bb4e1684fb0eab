"""More dropout from an epoch on: when a curriculum has shown everything once, it is seen again."""

import logging
from collections.abc import Sequence

from torch import nn

logger = logging.getLogger(__name__)


class FinalDropout:
    """Sets some dropouts by the epoch. There is no state to save.

    Args:
        dropouts: whose rates are set.
        rate: from then on; before it, each has its own.
        after_epoch: the last epoch, counted from 1, with the rates of now.
    """

    def __init__(self, dropouts: Sequence[nn.Dropout], rate: float, after_epoch: int) -> None:
        self._first = [(dropout, dropout.p) for dropout in dropouts]
        self._rate, self._after_epoch = rate, after_epoch

    def begin_epoch(self, epoch: int) -> None:
        """Set the rates of an epoch, counted from 1."""
        has_ended = epoch > self._after_epoch
        for dropout, first in self._first:
            wanted = self._rate if has_ended else first
            if dropout.p != wanted:
                logger.info("epoch %d: dropout %g becomes %g", epoch, dropout.p, wanted)
                dropout.p = wanted
