"""Points of a space of many dimensions laid out in two: t-SNE, and UMAP where it is installed."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from emo_fairseq.report.drawing import quiet

SEED = 0
MOST_ROWS = 1000
FEWEST_ROWS = 10


class NoMapError(ValueError):
    """Why there is no map, in words."""


def sample(values: np.ndarray) -> np.ndarray:
    """(N, D) -> numbers of the rows to lay out: those without NaN, at most 1000, in order."""
    rows = np.flatnonzero(~np.isnan(values).any(axis=1))
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, MOST_ROWS, replace=False))
    return rows


def tsne(values: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, 2) by scikit-learn's t-SNE (van der Maaten and Hinton 2008), from a PCA."""
    _check(values)
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(values) - 1) / 3)
    model = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=SEED)
    with threadpool_limits(1):  # the order of a sum depends on the number of threads
        return np.asarray(model.fit_transform(values), dtype=np.float64)


def umap(values: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, 2) by umap-learn (McInnes et al. 2018), if it is installed.

    Raises:
        NoMapError: it is not, or there are too few rows.
    """
    _check(values)
    with warnings.catch_warnings(), threadpool_limits(1), quiet("numba"):
        warnings.simplefilter("ignore")  # of duplicates, and of what it imports
        try:
            library: Any = importlib.import_module("umap")
        except ImportError as error:
            raise NoMapError("umap-learn is not installed; `pip install umap-learn`") from error
        model = library.UMAP(
            n_neighbors=min(15, len(values) - 1), random_state=SEED, n_jobs=1, init="pca"
        )
        return np.asarray(model.fit_transform(values), dtype=np.float64)


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"t-SNE": tsne, "UMAP": umap}


def _check(values: np.ndarray) -> None:
    if len(values) < FEWEST_ROWS:
        raise NoMapError(f"only {len(values)} utterances; a map wants {FEWEST_ROWS} or more")
    if np.ptp(values, axis=0).max() == 0.0:
        raise NoMapError("all utterances have the same values")
