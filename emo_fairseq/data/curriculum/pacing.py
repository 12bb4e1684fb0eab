"""The share of the rows that each epoch of a curriculum has (``--curriculum-pacing``)."""

import math
from collections.abc import Callable


def _linear(epoch: int, n_epochs: int) -> float:
    return (epoch + 1) / n_epochs


def _sqrt(epoch: int, n_epochs: int) -> float:
    return math.sqrt((epoch + 1) / n_epochs)


def _log(epoch: int, n_epochs: int) -> float:
    return math.log(epoch + 2) / math.log(n_epochs + 1)


def _exponential(epoch: int, n_epochs: int) -> float:
    # The exponent is 0 in the last epoch of the curriculum, also where that is the first.
    return float(n_epochs) ** -((n_epochs - 1 - epoch) / max(n_epochs - 1, 1))


def _none(epoch: int, n_epochs: int) -> float:
    return 1.0


PACINGS: dict[str, Callable[[int, int], float]] = {
    "linear": _linear,
    "sqrt": _sqrt,
    "log": _log,
    "exponential": _exponential,
    "none": _none,
}


def share_of_epoch(pacing: str, epoch: int, n_epochs: int) -> float:
    """Return the share of the ordered train set that is in an epoch; it rises to 1.

    >>> [round(share_of_epoch("linear", epoch, 4), 2) for epoch in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]

    With e the epoch and T the length of the curriculum:

    ===========  ==========================  ==================================================
    linear       (e+1) / T
    sqrt         sqrt((e+1) / T)             adds less and less, so that new rows are seen equally
                                             often (Platanios et al. 2019, Competence-based CL)
    log          log(e+2) / log(T+1)         the same, from a lower start
    exponential  T^(-(T-1-e) / (T-1))        starts at 1/T as linear does and grows by the same
                                             factor every epoch (Hacohen & Weinshall 2019), without
                                             a constant to choose
    none         1
    ===========  ==========================  ==================================================

    Args:
        pacing: a name of `PACINGS`.
        epoch: counted from 0.
        n_epochs: T, 1 or more; the share is 1 in epoch T-1 and ever after.
    """
    return min(1.0, PACINGS[pacing](epoch, n_epochs))


def rows_of_share(share: float, n_rows: int) -> int:
    """Return the number of rows of a share, rounded up: a share above 0 is at least one row.

    A millionth of a row is an error of floating point: seven of 25 epochs are 7 of 25 rows, though
    ``7 / 25 * 25 > 7``.

    >>> rows_of_share(7 / 25, 25)
    7
    """
    return min(n_rows, math.ceil(share * n_rows - 1e-6))
