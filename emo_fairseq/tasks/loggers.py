"""Confusion matrices and embeddings for TensorBoard and Weights & Biases.

They are written where ``--tensorboard-logdir`` and ``--wandb-project`` already write, after every
validation. A confusion matrix is a table, and an image where matplotlib is installed; embeddings
are those of at most 1000 utterances, on their first 50 principal components; on several ranks, of
what the first one scores.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from fairseq.logging import progress_bar

from emo_fairseq.evaluation.embeddings import Embedded

MOST_ROWS = 1000
N_COMPONENTS = 50
CONFUSIONS, EMBEDDINGS = "confusions", "embeddings"


class _Found(NamedTuple):
    """What a validation found."""

    split: str
    counts: np.ndarray | None  # (K, K) truth by prediction
    labels: Sequence[str]
    ids: Sequence[str]
    vectors: np.ndarray  # (N, components)
    step: int  # updates so far


class Boards:
    """The boards of a training.

    Args:
        tensorboard_logdir: fairseq's option, or None.
        wandb_project: fairseq's option, or None.
    """

    def __init__(self, tensorboard_logdir: str | None, wandb_project: str | None) -> None:
        self.logdir = tensorboard_logdir
        self._is_wandb = bool(wandb_project)
        self._rows: dict[str, Embedded] = {}

    @property
    def are_there(self) -> bool:
        """Whether anything is written at all."""
        return bool(self.logdir) or self._is_wandb

    def remember(self, rows: Sequence[Embedded]) -> None:
        """Keep the embeddings of a batch of the validation that is under way."""
        self._rows |= {row.id: row for row in rows[: MOST_ROWS - len(self._rows)]}

    def write(self, counts: np.ndarray | None, labels: Sequence[str], step: int) -> None:
        """Write what a validation found, and forget it.

        Args:
            counts: (K, K) truth by prediction; None if numbers are predicted.
            labels: K names.
            step: updates so far.
        """
        rows, self._rows = list(self._rows.values()), {}
        if not rows:  # no batch on this rank
            return
        vectors = principal_components(np.stack([row.vector for row in rows]))
        found = _Found(rows[0].split, counts, labels, [row.id for row in rows], vectors, step)
        if self.logdir:
            bar = progress_bar.TensorboardProgressBarWrapper(None, self.logdir)
            _to_tensorboard(bar._writer(found.split), found)
        if self._is_wandb and "wandb" in sys.modules:
            _to_wandb(sys.modules["wandb"], found)


def principal_components(vectors: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, at most 50), centered; all that N rows can span where there are fewer."""
    centered = vectors - vectors.mean(axis=0)
    left, scale, _ = np.linalg.svd(centered, full_matrices=False)
    return np.asarray((left * scale)[:, :N_COMPONENTS], dtype=np.float32)


def _to_tensorboard(writer: Any, found: _Found) -> None:
    if writer is None:  # fairseq has said that tensorboardX is missing
        return
    if found.counts is not None:
        writer.add_text(CONFUSIONS, markdown(found.counts, found.labels), found.step)
        image = _drawn(found.counts, found.labels)
        if image is not None:
            writer.add_image(CONFUSIONS, image, found.step, dataformats="HWC")
    # The same step each time: the projector shows one, and old ones would fill the disk.
    writer.add_embedding(found.vectors, metadata=list(found.ids), global_step=0, tag=EMBEDDINGS)
    writer.flush()


def _to_wandb(wandb: Any, found: _Found) -> None:
    if wandb.run is None:
        return
    tables = {}
    if found.counts is not None:
        counted = zip(found.labels, found.counts.tolist(), strict=True)
        rows = [[name, *row] for name, row in counted]
        tables[CONFUSIONS] = wandb.Table(columns=["truth", *found.labels], data=rows)
    components = range(1, found.vectors.shape[1] + 1)
    rows = [[name, *row] for name, row in zip(found.ids, found.vectors.tolist(), strict=True)]
    columns = ["id", *(f"component {number}" for number in components)]
    tables[EMBEDDINGS] = wandb.Table(columns=columns, data=rows)
    wandb.log({f"{found.split}/{name}": x for name, x in tables.items()}, step=found.step)


def markdown(counts: np.ndarray, labels: Sequence[str]) -> str:
    r"""The matrix as a table; rows are the truth.

    >>> print(markdown(np.array([[3, 1], [0, 2]]), ["sad", "happy"]))
    | truth \ predicted | sad | happy |
    |---|---|---|
    | sad | 3 | 1 |
    | happy | 0 | 2 |
    """
    lines = [["truth \\ predicted", *labels]]
    lines += [[name, *(f"{x:.0f}" for x in row)] for name, row in zip(labels, counts, strict=True)]
    table = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([table[0], "|" + "---|" * len(lines[0]), *table[1:]])


def _drawn(counts: np.ndarray, labels: Sequence[str]) -> np.ndarray | None:
    """The matrix as an image (H, W, 3) uint8; None without matplotlib."""
    try:
        figures = importlib.import_module("matplotlib.figure")
        canvases = importlib.import_module("matplotlib.backends.backend_agg")
    except ImportError:
        return None
    figure = figures.Figure(figsize=(5.0, 4.4), layout="constrained")
    axes = figure.add_subplot(xlabel="predicted", ylabel="truth")
    axes.matshow(counts, cmap="cividis")
    axes.xaxis.set_ticks_position("bottom")
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, labels)
    dark_below = counts.max() * 0.55
    for truth, row in enumerate(counts):
        for predicted, count in enumerate(row):
            color = "black" if count > dark_below else "white"
            axes.text(predicted, truth, f"{count:.0f}", ha="center", va="center", color=color)
    canvas = canvases.FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
