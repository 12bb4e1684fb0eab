"""What the fusion looked at in single utterances: over words, and over seconds of speech."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from emo_fairseq.evaluation.attention import Attended
from emo_fairseq.report.drawing import BLUE, SCALE
from emo_fairseq.report.part import Part
from emo_fairseq.report.plots.plot import Found, NotDrawn, Plot

MOST_UTTERANCES = 8
_MOST_WORDS = 60  # that can be read along an axis
_FROM, _POOLING = "_from_", "_pooling"
_TEXT, _SPEECH = "text", "speech"


def plots(part: Part) -> Iterator[Found]:
    """A figure for each set of weights of the first utterances of the file."""
    if not part.attended:
        why = "no --attention" if part.attended is None else "the file has none of this split"
        yield NotDrawn("attention maps", why)
        return
    for number, one in enumerate(part.attended[:MOST_UTTERANCES], start=1):
        if not one.weights:
            yield NotDrawn(f"attention of {one.id}", "it had nothing to attend to, or from")
        for name, weights in sorted(one.weights.items()):
            yield _plot(f"attention_{number}_{name}", one, name, weights)
    if len(part.attended) > MOST_UTTERANCES:
        rest = ", ".join(one.id for one in part.attended[MOST_UTTERANCES:])
        yield NotDrawn(f"attention of {rest}", f"only the first {MOST_UTTERANCES} are drawn")


def _plot(file: str, one: Attended, name: str, weights: np.ndarray) -> Plot:
    asks, _, told = name.removesuffix(_POOLING).partition(_FROM)
    if weights.ndim == 1:
        said = f"Weights of the pooling over {asks}; they add up to 1."
        draw, size = partial(_draw_pooling, one=one, modality=asks, weights=weights), (6.4, 2.6)
        largest = _named(one, asks, int(weights.argmax()), len(weights))
    else:
        n_layers, n_heads = weights.shape[:2]
        mean = weights.mean(axis=(0, 1))  # (T_query, T_key)
        said = (
            f"How much each position of {asks} looked at each of {told}: mean of {n_heads} heads "
            f"in {n_layers} layers. Each row adds up to 1. Attention says where was looked, not "
            "what decided (Jain and Wallace 2019)."
        )
        draw = partial(_draw_cross, one=one, pair=(asks, told), weights=mean)
        size = (6.4, min(7.0, 1.6 + 0.17 * len(mean)))
        largest = _named(one, told, int(mean.mean(axis=0).argmax()), mean.shape[1])
    return Plot(
        file,
        f"{one.id}: {asks} to {told}" if weights.ndim > 1 else f"{one.id}: pooling of {asks}",
        said,
        f"Attention of {one.id}, {name}; the largest share goes to {largest}.",
        draw,
        size,
    )


def _named(one: Attended, modality: str, place: int, n_places: int) -> str:
    if modality == _TEXT and one.words is not None and len(one.words) == n_places:
        return f"the word “{one.words[place]}”"
    if modality == _SPEECH and one.seconds:
        return f"second {one.seconds * (place + 0.5) / n_places:.2f}"
    return f"place {place + 1} of {n_places}"


def _draw_pooling(figure: Any, one: Attended, modality: str, weights: np.ndarray) -> None:
    axes = figure.add_subplot()
    edges = _edges(one, modality, len(weights))
    axes.bar(edges[:-1], weights, np.diff(edges), align="edge", color=BLUE)
    axes.set_ylabel("weight")
    _name_axis(axes.xaxis, one, modality, len(weights), rotation=60)
    axes.set_xlim(edges[0], edges[-1])


def _draw_cross(figure: Any, one: Attended, pair: tuple[str, str], weights: np.ndarray) -> None:
    axes = figure.add_subplot()
    down, across = (_edges(one, m, n) for m, n in zip(pair, weights.shape, strict=True))
    mesh = axes.pcolormesh(across, down, weights, cmap=SCALE, vmin=0.0, rasterized=True)
    axes.invert_yaxis()
    axes.grid(visible=False)
    _name_axis(axes.yaxis, one, pair[0], weights.shape[0])
    _name_axis(axes.xaxis, one, pair[1], weights.shape[1], rotation=60)
    figure.colorbar(mesh, ax=axes, label="weight")


def _edges(one: Attended, modality: str, n_places: int) -> np.ndarray:
    """Where each position begins and ends: in seconds of speech, else by number."""
    whole = one.seconds if modality == _SPEECH and one.seconds else float(n_places)
    return np.linspace(0.0, whole, n_places + 1)


def _name_axis(
    axis: Any, one: Attended, modality: str, n_places: int, rotation: float = 0.0
) -> None:
    words = one.words if modality == _TEXT and len(one.words or ()) == n_places else None
    if words is not None and n_places <= _MOST_WORDS:
        axis.set_ticks(np.arange(n_places) + 0.5, [_plain(word) for word in words], fontsize=8)
        for label in axis.get_ticklabels():
            label.set_rotation(rotation)
    else:
        axis.set_label_text(
            f"{modality}, seconds" if modality == _SPEECH and one.seconds else modality
        )


def _plain(word: str) -> str:
    return word.replace("$", r"\$")  # which would begin a formula
