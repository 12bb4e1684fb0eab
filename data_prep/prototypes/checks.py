"""What prototypes reveal of the annotation behind them: axes turned round, copied or constant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from data_prep.manifest.records import AXES
from data_prep.prototypes.maths import Floats
from data_prep.prototypes.published import canonical_label
from data_prep.prototypes.records import Centroids

FLIPPED_BELOW = -0.5  # correlation of two corpora's prototypes; the published case has -0.94
MIN_SHARED = 3  # classes: through two points any correlation is 1 or -1
SAME_VALUE = 1e-6
SAME_SHARE = 0.99  # of the rows, on which two axes are one column
SAME_DECIMALS = 4  # of the prototypes


def polarity_warnings(corpora: Mapping[str, Centroids]) -> Iterator[str]:
    """The axes on which the classes of two corpora lie the other way round.

    Classes are matched by name or synonym, and pairs that share fewer than three left out.
    """
    for (first, one), (second, other) in combinations(corpora.items(), 2):
        ours, theirs = ({canonical_label(k): v for k, v in c.items()} for c in (one, other))
        shared = [label for label in ours if label in theirs]
        if len(shared) < MIN_SHARED:
            continue
        for axis in AXES:
            r = _correlation(
                np.array([getattr(ours[label], axis) for label in shared]),
                np.array([getattr(theirs[label], axis) for label in shared]),
            )
            if r < FLIPPED_BELOW:
                yield (
                    f"{axis} looks turned round between {first} and {second}: their prototypes of "
                    f"{', '.join(shared)} correlate at {r:.2f}; compare how each corpus was scaled"
                )


def _correlation(x: Floats, y: Floats) -> float:
    """Pearson's r, NaN for a constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else float("nan")


def axis_warnings(where: str, vad: Floats, prototypes: Floats) -> Iterator[str]:
    """The axes that are constant, or the same column as another.

    Args:
        where: what the rows are, for the message.
        vad: (N, 3), complete rows only.
        prototypes: (K, 3) of those rows, NaN for a class without one.
    """
    if len(vad) < 2:
        return
    constant = np.ptp(vad, axis=0) < SAME_VALUE  # (3,)
    for axis in np.flatnonzero(constant):
        value = f"{vad[0, axis]:.4g}"
        yield f"{where}: {AXES[axis]} is {value} in every row: no annotation, or a filled-in value"
    rounded = np.round(prototypes[~np.isnan(prototypes).any(axis=1)], SAME_DECIMALS)
    for i, j in combinations(range(len(AXES)), 2):
        if constant[i] or constant[j]:
            continue
        share = np.mean(np.abs(vad[:, i] - vad[:, j]) < SAME_VALUE)
        copied = share >= SAME_SHARE
        if copied or _agree(rounded, i, j):
            of = f"{share:.1%} of the rows" if copied else "the prototypes of all classes"
            yield f"{where}: {AXES[j]} repeats {AXES[i]} in {of}: one column may be written twice"


def _agree(rounded: npt.NDArray[np.float64], i: int, j: int) -> bool:
    """Whether two columns of (K, 3) are one; of a single class that would be chance."""
    return len(rounded) > 1 and bool((rounded[:, i] == rounded[:, j]).all())
