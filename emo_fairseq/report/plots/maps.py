"""VAD values and embeddings laid out in two dimensions, colored by what utterances have in common.

One layout a method and kind of value, drawn once for each grouping.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from emo_fairseq.evaluation.statistics import NumberPredictions
from emo_fairseq.report.drawing import COLORS, GREY, MARKERS
from emo_fairseq.report.maps import METHODS, NoMapError, sample
from emo_fairseq.report.part import GROUPS, Part
from emo_fairseq.report.plots.plot import Found, NotDrawn, Plot

_OTHERS = "others"
_LEGEND_WIDTH, _LONGEST_NAME = 42, 32  # in characters
_EDGE = {"#F0E442": "#8a7d00"}  # yellow alone is too faint on white


def plots(part: Part) -> Iterator[Found]:
    """t-SNE and UMAP of VAD and of embeddings, each by emotion, speaker and corpus."""
    groupings = part.groups()
    if not groupings:
        yield NotDrawn("t-SNE and UMAP", f"no emotion, speaker or corpus to color by{_hint(part)}")
        return
    for name in GROUPS:
        if name not in groupings:
            yield NotDrawn(f"maps colored by {name}", f"no utterance names one{_hint(part)}")
    vad, why = _vad(part)
    yield from _of(vad, "vad", "VAD values", why, groupings)
    why = "no --embeddings"
    yield from _of(part.embeddings, "embeddings", "embeddings", why, groupings)


def _hint(part: Part) -> str:
    return " in the manifest" if part.facts.is_given else " (no --data: no manifest)"


def _vad(part: Part) -> tuple[np.ndarray | None, str]:
    """(N, A) predicted values; of predicted labels the annotated ones. Or why there are none."""
    if isinstance(part.system, NumberPredictions):
        several = len(part.system.names) > 1
        return (part.system.prediction.numpy() if several else None), "one axis needs no map"
    if not part.facts.is_given:
        return None, "labels were predicted, and there is no --data with VAD"
    vad = part.facts.vad()
    known = not np.isnan(vad).any(axis=1).all()
    return (vad if known else None), "labels were predicted, and the manifest has no VAD"


def _of(
    values: np.ndarray | None,
    key: str,
    what: str,
    why: str,
    groupings: Mapping[str, Sequence[str | None]],
) -> Iterator[Found]:
    for method, lay_out in METHODS.items():
        if values is None:
            yield NotDrawn(f"{method} of {what}", why)
            continue
        rows = sample(values)
        try:
            points = lay_out(values[rows])
        except NoMapError as error:
            yield NotDrawn(f"{method} of {what}", str(error))
            continue
        of_all, known = f"{len(rows)} utterances", int((~np.isnan(values).any(axis=1)).sum())
        if known > len(rows):
            of_all += f", drawn at random from {known}"
        for name, groups in groupings.items():
            chosen = [groups[row] for row in rows]
            short = method.lower().replace("-", "")
            yield Plot(
                f"{short}_{key}_{name}",
                f"{method} of {what}, by {name}",
                f"{of_all}. Near points are alike; distances between clusters, and the axes, "
                "mean nothing.",
                f"{method} map of the {what} of {of_all}, colored by {name}: "
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
        axes.scatter(*points[rest].T, s=5, color=GREY, alpha=0.6, label=label, rasterized=True)
    for place, name in enumerate(shown):
        color, mine = COLORS[place], of_group == name
        axes.scatter(
            *points[mine].T,
            s=16,
            color=color,
            marker=MARKERS[place],
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
