"""The boundary tokens of a row of ids, and its limit."""

from collections.abc import Sequence

import numpy as np

from data_prep.tokens.folder import SpecialIds
from emo_fairseq.errors import UsageError

BOUNDARIES = 2  # tokens of each row: the initial one and the last separator


def check_max_tokens(max_tokens: int) -> None:
    """Raise a `UsageError` if a limit has no room for the boundary tokens."""
    if max_tokens < BOUNDARIES:
        raise UsageError(
            f"a limit of {max_tokens} tokens has no room for <s> and </s>", "max-tokens-too-small"
        )


def with_boundaries(
    ids: Sequence[int] | np.ndarray, specials: SpecialIds, max_tokens: int
) -> np.ndarray:
    """Return ids that begin with the initial token and end with the separator.

    Either is added where the ids lack it; between them they are truncated at their end.

    >>> with_boundaries([5, 6, 7, 2], SpecialIds(), max_tokens=4).tolist()
    [0, 5, 6, 2]

    Args:
        ids: (T,) of a row, as an array, a list or a tensor.
        specials: ids of the boundary tokens.
        max_tokens: length of the longest result, 2 or more.
    """
    body = np.asarray(ids, dtype=np.int64)
    if len(body) and body[0] == specials.init:
        body = body[1:]
    if len(body) and body[-1] == specials.separator:
        body = body[:-1]
    whole = np.empty(min(len(body) + BOUNDARIES, max_tokens), dtype=np.int64)
    whole[0], whole[-1] = specials.init, specials.separator
    whole[1:-1] = body[: max_tokens - BOUNDARIES]
    return whole
