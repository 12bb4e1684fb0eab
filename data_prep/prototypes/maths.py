"""Class prototypes in VAD space and the distance of a row to its own: pure functions of arrays.

A prototype is the mean (or median, axis by axis) of the valence, arousal and dominance of a class's
rows; a row's difficulty is its Euclidean distance to the prototype of its class. What is missing
stays missing: NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

STATISTICS: dict[str, Callable[..., Floats]] = {"mean": np.mean, "median": np.median}


def fit(vad: Floats, labels: Ids, n_classes: int, statistic: str = "mean") -> Floats:
    """Return the prototype of every class, (K, 3); NaN without a row that has all three axes.

    Args:
        vad: (N, 3) valence, arousal, dominance; NaN = missing.
        labels: (N,) class ids, -1 = missing.
        n_classes: K.
        statistic: "mean", or "median" of each axis.

    Raises:
        ValueError: an unknown statistic, shapes that do not belong together, a label above K - 1.
    """
    if statistic not in STATISTICS:
        raise ValueError(f"statistic is {statistic!r}; choose one of {', '.join(STATISTICS)}")
    _check_rows(vad, labels, n_classes)
    usable = is_usable(vad, labels)
    prototypes = np.full((n_classes, vad.shape[1]), np.nan)
    for label in np.unique(labels[usable]):
        prototypes[label] = STATISTICS[statistic](vad[usable & (labels == label)], axis=0)
    return prototypes


def fit_by_domain(
    vad: Floats, labels: Ids, domains: Ids, n_classes: int, n_domains: int, statistic: str = "mean"
) -> Floats:
    """Return the prototypes of each domain and, last, of all rows together: (Dm + 1, K, 3).

    The last slice is what the domain id -1, unknown, finds. See `fit` for the rest.

    Args:
        vad: (N, 3)
        labels: (N,)
        domains: (N,) ids of the corpora that the rows come from, -1 = unknown.
        n_classes: K.
        n_domains: Dm.
        statistic: "mean" or "median".
    """
    _check_ids("domain", domains, len(labels), n_domains)
    of_domain = [
        fit(vad[domains == domain], labels[domains == domain], n_classes, statistic)
        for domain in range(n_domains)
    ]
    return np.stack([*of_domain, fit(vad, labels, n_classes, statistic)])


def difficulties(
    vad: Floats, labels: Ids, prototypes: Floats, domains: Ids | None = None
) -> Floats:
    """Return each row's Euclidean distance to the prototype of its class, (N,).

    NaN where an axis is missing, the label is, or the class has no prototype.

    Args:
        vad: (N, 3), NaN = missing.
        labels: (N,), -1 = missing.
        prototypes: (K, 3); or (Dm + 1, K, 3) with `domains`, the last slice being of all rows.
        domains: (N,), -1 = unknown: measured in the last slice.

    Raises:
        ValueError: shapes or ids that do not belong together.
    """
    if (prototypes.ndim == 3) != (domains is not None):
        raise ValueError(
            f"prototypes of shape {prototypes.shape} {'with' if domains is not None else 'without'}"
            " domains; give (K, 3) alone, or (Dm + 1, K, 3) with a domain for each row"
        )
    _check_rows(vad, labels, prototypes.shape[-2])
    if domains is None:
        own = prototypes[labels]  # (N, 3); label -1 takes any, and is put out below
    else:
        _check_ids("domain", domains, len(labels), len(prototypes) - 1)
        own = prototypes[domains, labels]
    distances: Floats = np.linalg.norm(vad - own, axis=1)  # NaN in, NaN out
    return np.where(labels >= 0, distances, np.nan)


def is_usable(vad: Floats, labels: Ids) -> npt.NDArray[np.bool_]:
    """Return which rows have a label and all three axes, (N,)."""
    usable: npt.NDArray[np.bool_] = (labels >= 0) & ~np.isnan(vad).any(axis=1)
    return usable


def _check_rows(vad: Floats, labels: Ids, n_classes: int) -> None:
    if vad.ndim != 2 or vad.shape[1] != 3:
        raise ValueError(f"vad is of shape {vad.shape}, not (N, 3)")
    _check_ids("label", labels, len(vad), n_classes)


def _check_ids(name: str, ids: Ids, n_rows: int, n_ids: int) -> None:
    if ids.shape != (n_rows,):
        raise ValueError(f"{name} ids of shape {ids.shape} for {n_rows} rows")
    if n_rows and not -1 <= ids.min() <= ids.max() < n_ids:
        raise ValueError(f"{name} ids from {ids.min()} to {ids.max()} where there are {n_ids}")
