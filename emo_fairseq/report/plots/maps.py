"""VAD values and embeddings laid out in two dimensions, colored by what utterances have in common.

One layout a method and kind of value, drawn once for each grouping.
"""

import importlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from emo_fairseq.evaluation.statistics import NumberPredictions
from emo_fairseq.report.plots.drawing import (
    COLORS,
    GRAY,
    MARKERS,
    MaybePlot,
    NotDrawn,
    Plot,
    quiet,
)
from emo_fairseq.report.scored_split import (
    GROUPS,
    ScoredSplit,
)

_OTHERS = "others"
_LEGEND_WIDTH, _LONGEST_NAME = 42, 32  # in characters
_EDGE = {"#F0E442": "#8a7d00"}  # yellow alone is too faint on white


def plots(scored: ScoredSplit) -> Iterator[MaybePlot]:
    """t-SNE and UMAP of VAD and of embeddings, each by emotion, speaker and corpus."""
    groupings = scored.groups()
    if not groupings:
        yield NotDrawn(
            "t-SNE and UMAP", f"no emotion, speaker or corpus to color by{_hint(scored)}"
        )
        return
    for name in GROUPS:
        if name not in groupings:
            yield NotDrawn(f"maps colored by {name}", f"no utterance names one{_hint(scored)}")
    vad, why = _vad(scored)
    yield from _of(vad, "vad", "VAD values", why, groupings)
    why = "no --embeddings"
    yield from _of(scored.embeddings, "embeddings", "embeddings", why, groupings)


def _hint(scored: ScoredSplit) -> str:
    return " in the manifest" if scored.annotations.is_given else " (no --data: no manifest)"


def _vad(scored: ScoredSplit) -> tuple[np.ndarray | None, str]:
    """(N, A) predicted values; of predicted labels the annotated ones. Or why there are none."""
    if isinstance(scored.predictions, NumberPredictions):
        several = len(scored.predictions.names) > 1
        return (scored.predictions.prediction if several else None), "one axis needs no map"
    if not scored.annotations.is_given:
        return None, "labels were predicted, and there is no --data with VAD"
    vad = scored.annotations.vad()
    known = not np.isnan(vad).any(axis=1).all()
    return (vad if known else None), "labels were predicted, and the manifest has no VAD"


def _of(
    values: np.ndarray | None,
    key: str,
    of_values: str,
    why: str,
    groupings: Mapping[str, Sequence[str | None]],
) -> Iterator[MaybePlot]:
    for method, lay_out in METHODS.items():
        if values is None:
            yield NotDrawn(f"{method} of {of_values}", why)
            continue
        rows = sample(values)
        try:
            points = lay_out(values[rows])
        except NoMapError as error:
            yield NotDrawn(f"{method} of {of_values}", str(error))
            continue
        of_all, known = f"{len(rows)} utterances", int((~np.isnan(values).any(axis=1)).sum())
        if known > len(rows):
            of_all += f", drawn at random from {known}"
        for name, groups in groupings.items():
            chosen = [groups[row] for row in rows]
            short = method.lower().replace("-", "")
            yield Plot(
                f"{short}_{key}_{name}",
                f"{method} of {of_values}, by {name}",
                f"{of_all}. Near points are alike; distances between clusters, and the axes, "
                "mean nothing.",
                f"{method} map of the {of_values} of {of_all}, colored by {name}: "
                f"{', '.join(_shown(chosen))}.",
                partial(_draw, points=points, groups=chosen),
                (4.4, 4.6),
            )


def _shown(groups: Sequence[str | None]) -> list[str]:
    """The most frequent groups, as many as there are colors; ties by name."""
    counts = Counter(group for group in groups if group)
    return sorted(counts, key=lambda name: (-counts[name], name))[: len(COLORS)]


def _draw(figure: Any, points: np.ndarray, groups: Sequence[str | None]) -> None:
    axes = figure.add_subplot()
    shown = _shown(groups)
    of_group = np.array([group if group in shown else "" for group in groups], dtype=object)
    rest = of_group == ""
    if rest.any():
        label = f"{_OTHERS} ({rest.sum()})"
        axes.scatter(*points[rest].T, s=5, color=GRAY, alpha=0.6, label=label, rasterized=True)
    for index, name in enumerate(shown):
        color, mine = COLORS[index], of_group == name
        axes.scatter(
            *points[mine].T,
            s=16,
            color=color,
            marker=MARKERS[index],
            edgecolors=_EDGE.get(color, "none"),
            linewidths=0.4,
            alpha=0.8,
            label=f"{_short(name)} ({mine.sum()})",
            rasterized=True,
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    longest = max(len(text) for text in axes.get_legend_handles_labels()[1])
    columns = max(1, min(3, _LEGEND_WIDTH // longest))
    figure.legend(loc="outside lower center", ncols=columns, handletextpad=0.2, columnspacing=1.0)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


# -- Points of a space of many dimensions laid out in two: t-SNE, and UMAP where it is installed

SEED = 0
MOST_ROWS = 1000
FEWEST_ROWS = 10


class NoMapError(ValueError):
    """There is no map; the message has the reason."""


def sample(values: np.ndarray) -> np.ndarray:
    """Return the row numbers of (N, D) values to lay out: without NaN, at most 1000, in order."""
    rows = np.flatnonzero(~np.isnan(values).any(axis=1))
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, MOST_ROWS, replace=False))
    return rows


def tsne(values: np.ndarray) -> np.ndarray:
    """Lay out (N, D) values as (N, 2) by t-SNE (van der Maaten and Hinton 2008), from a PCA."""
    _check(values)
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(values) - 1) / 3)
    model = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=SEED)
    with threadpool_limits(1):  # the order of a sum depends on the number of threads
        return np.asarray(model.fit_transform(values), dtype=np.float64)


def umap(values: np.ndarray) -> np.ndarray:
    """Lay out (N, D) values as (N, 2) by umap-learn (McInnes et al. 2018), if it is installed.

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
        raise NoMapError(f"only {len(values)} utterances; a map needs {FEWEST_ROWS} or more")
    if np.ptp(values, axis=0).max() == 0.0:
        raise NoMapError("all utterances have the same values")
