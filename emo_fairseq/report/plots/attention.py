"""Attention maps of single utterances: over words, and over seconds of speech."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from emo_fairseq.evaluation.attention import Attended
from emo_fairseq.report.plots.drawing import (
    BLUE,
    SCALE,
    MaybePlot,
    NotDrawn,
    Plot,
)
from emo_fairseq.report.scored_split import ScoredSplit

MOST_UTTERANCES = 8
_MOST_WORDS = 60  # that can be read along an axis
_FROM, _POOLING = "_from_", "_pooling"
_TEXT, _SPEECH = "text", "speech"


def plots(scored: ScoredSplit) -> Iterator[MaybePlot]:
    """A figure for each set of weights of the first utterances of the file."""
    if not scored.attended:
        why = "no --attention" if scored.attended is None else "the file has none of this split"
        yield NotDrawn("attention maps", why)
        return
    for number, utterance in enumerate(scored.attended[:MOST_UTTERANCES], start=1):
        if not utterance.weights:
            yield NotDrawn(f"attention of {utterance.id}", "it has a single modality or position")
        for name, weights in sorted(utterance.weights.items()):
            yield _plot(f"attention_{number}_{name}", utterance, name, weights)
    if len(scored.attended) > MOST_UTTERANCES:
        rest = ", ".join(utterance.id for utterance in scored.attended[MOST_UTTERANCES:])
        yield NotDrawn(f"attention of {rest}", f"only the first {MOST_UTTERANCES} are drawn")


def _plot(file: str, utterance: Attended, name: str, weights: np.ndarray) -> Plot:
    query, _, key = name.removesuffix(_POOLING).partition(_FROM)
    if weights.ndim == 1:
        caption = f"Weights of the pooling over {query}; they add up to 1."
        draw, size = (
            partial(_draw_pooling, utterance=utterance, modality=query, weights=weights),
            (6.4, 2.6),
        )
        largest = _named(utterance, query, int(weights.argmax()), len(weights))
    else:
        n_layers, n_heads = weights.shape[:2]
        mean = weights.mean(axis=(0, 1))  # (T_query, T_key)
        caption = (
            f"How much each position of {query} attended to each of {key}: mean of {n_heads} heads "
            f"in {n_layers} layers. Each row adds up to 1. Attention is no "
            "explanation of the prediction (Jain and Wallace 2019)."
        )
        draw = partial(_draw_cross, utterance=utterance, pair=(query, key), weights=mean)
        size = (6.4, min(7.0, 1.6 + 0.17 * len(mean)))
        largest = _named(utterance, key, int(mean.mean(axis=0).argmax()), mean.shape[1])
    return Plot(
        file,
        f"{utterance.id}: {query} to {key}"
        if weights.ndim > 1
        else f"{utterance.id}: pooling of {query}",
        caption,
        f"Attention of {utterance.id}, {name}; the largest share goes to {largest}.",
        draw,
        size,
    )


def _named(utterance: Attended, modality: str, position: int, n_positions: int) -> str:
    if modality == _TEXT and utterance.words is not None and len(utterance.words) == n_positions:
        return f"the word “{utterance.words[position]}”"
    if modality == _SPEECH and utterance.seconds:
        return f"second {utterance.seconds * (position + 0.5) / n_positions:.2f}"
    return f"position {position + 1} of {n_positions}"


def _draw_pooling(figure: Any, utterance: Attended, modality: str, weights: np.ndarray) -> None:
    axes = figure.add_subplot()
    edges = _edges(utterance, modality, len(weights))
    axes.bar(edges[:-1], weights, np.diff(edges), align="edge", color=BLUE)
    axes.set_ylabel("weight")
    _name_axis(axes.xaxis, utterance, modality, len(weights), rotation=60)
    axes.set_xlim(edges[0], edges[-1])


def _draw_cross(
    figure: Any, utterance: Attended, pair: tuple[str, str], weights: np.ndarray
) -> None:
    axes = figure.add_subplot()
    down, across = (_edges(utterance, m, n) for m, n in zip(pair, weights.shape, strict=True))
    mesh = axes.pcolormesh(across, down, weights, cmap=SCALE, vmin=0.0, rasterized=True)
    axes.invert_yaxis()
    axes.grid(visible=False)
    _name_axis(axes.yaxis, utterance, pair[0], weights.shape[0])
    _name_axis(axes.xaxis, utterance, pair[1], weights.shape[1], rotation=60)
    figure.colorbar(mesh, ax=axes, label="weight")


def _edges(utterance: Attended, modality: str, n_positions: int) -> np.ndarray:
    """Return the edges of the positions, in seconds of speech, else by number."""
    whole = utterance.seconds if modality == _SPEECH and utterance.seconds else float(n_positions)
    return np.linspace(0.0, whole, n_positions + 1)


def _name_axis(
    axis: Any, utterance: Attended, modality: str, n_positions: int, rotation: float = 0.0
) -> None:
    words = (
        utterance.words if modality == _TEXT and len(utterance.words or ()) == n_positions else None
    )
    if words is not None and n_positions <= _MOST_WORDS:
        axis.set_ticks(np.arange(n_positions) + 0.5, [_plain(word) for word in words], fontsize=8)
        for label in axis.get_ticklabels():
            label.set_rotation(rotation)
    else:
        axis.set_label_text(
            f"{modality}, seconds" if modality == _SPEECH and utterance.seconds else modality
        )


def _plain(word: str) -> str:
    return word.replace("$", r"\$")  # which would begin a formula
