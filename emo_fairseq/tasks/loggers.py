"""Confusion matrices, embeddings and further names of metrics for TensorBoard and Weights & Biases.

They are written where ``--tensorboard-logdir`` and ``--wandb-project`` already write, after every
validation. A confusion matrix is a table, and an image where matplotlib is installed; embeddings
are those of at most 1000 utterances, on their first 50 principal components; on several ranks, of
what the first one scores. UAR and accuracy have a second name, ``val/uar`` and ``val/accuracy``, of
a test split ``test/<corpus>_uar`` and ``test/<corpus>_accuracy``, so that one chart shows the test
splits of several corpora; fairseq-validate logs these, too.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from fairseq.logging import progress_bar

from emo_fairseq.evaluation.embeddings import Embedded

MOST_ROWS = 1000
N_COMPONENTS = 50
CONFUSIONS, EMBEDDINGS = "confusions", "embeddings"
_BOARD_METRICS = {"uar": "uar", "wa": "accuracy"}  # key -> name on a board


def board_names(split: str, corpus: str | None, values: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that have a second name on a board, by that name.

    >>> board_names("valid", "iemocap", {"uar": 0.6, "wa": 0.7, "loss": 1.0})
    {'val/uar': 0.6, 'val/accuracy': 0.7}
    >>> board_names("test", "iemocap", {"uar": 0.5})
    {'test/iemocap_uar': 0.5}

    Args:
        split: that was scored; others than valid and test have no second name.
        corpus: its name; None where it is not known.
        values: metrics by key.
    """
    prefix = {"valid": "val/", "test": f"test/{corpus}_" if corpus else "test/"}.get(split)
    if prefix is None:
        return {}
    return {f"{prefix}{name}": values[key] for key, name in _BOARD_METRICS.items() if key in values}


class _Validation(NamedTuple):
    """What is logged of a validation."""

    split: str
    counts: np.ndarray | None  # (K, K) truth by prediction
    labels: Sequence[str]
    ids: Sequence[str]
    vectors: np.ndarray  # (N, components)
    step: int  # updates so far


class ValidationLoggers:
    """Logs confusion matrices and embeddings of validations."""

    def __init__(self, tensorboard_logdir: str | None, wandb_project: str | None) -> None:
        self.logdir = tensorboard_logdir
        self._is_wandb = bool(wandb_project)
        self._rows: dict[str, Embedded] = {}

    def __bool__(self) -> bool:
        """Whether anything is logged at all."""
        return bool(self.logdir) or self._is_wandb

    def update(self, rows: Sequence[Embedded]) -> None:
        """Add the embeddings of a batch."""
        self._rows |= {row.id: row for row in rows[: MOST_ROWS - len(self._rows)]}

    def log_metrics(
        self, split: str, corpus: str | None, values: Mapping[str, float], step: int
    ) -> None:
        """Log the metrics of a split by their second names; see :func:`board_names`."""
        names = board_names(split, corpus, values)
        if self.logdir and (writer := _writer_of(self.logdir, split)) is not None:
            for name, value in names.items():
                writer.add_scalar(name, value, step)
            writer.flush()
        if names and self._is_wandb and "wandb" in sys.modules:
            wandb = sys.modules["wandb"]
            if wandb.run is not None:
                wandb.log(names, step=step)

    def log(self, counts: np.ndarray | None, labels: Sequence[str], step: int) -> None:
        """Log a validation, and begin anew.

        Args:
            counts: (K, K) truth by prediction; None if numbers are predicted.
            labels: K names.
            step: updates so far.
        """
        rows, self._rows = list(self._rows.values()), {}
        if not rows:  # no batch on this rank
            return
        vectors = principal_components(np.stack([row.vector for row in rows]))
        validation = _Validation(
            rows[0].split, counts, labels, [row.id for row in rows], vectors, step
        )
        if self.logdir:
            _to_tensorboard(_writer_of(self.logdir, validation.split), validation)
        if self._is_wandb and "wandb" in sys.modules:
            _to_wandb(sys.modules["wandb"], validation)


def _writer_of(logdir: str, split: str) -> Any:
    """Return the writer that fairseq has for a split; None without tensorboardX."""
    return progress_bar.TensorboardProgressBarWrapper(None, logdir)._writer(split)


def principal_components(vectors: np.ndarray) -> np.ndarray:
    """Project (N, D) on (N, at most 50) components, centered."""
    centered = vectors - vectors.mean(axis=0)
    left, scale, _ = np.linalg.svd(centered, full_matrices=False)
    return np.asarray((left * scale)[:, :N_COMPONENTS], dtype=np.float32)


def _to_tensorboard(writer: Any, validation: _Validation) -> None:
    if writer is None:  # tensorboardX is missing, which fairseq has warned of
        return
    if validation.counts is not None:
        writer.add_text(CONFUSIONS, markdown(validation.counts, validation.labels), validation.step)
        image = _drawn(validation.counts, validation.labels)
        if image is not None:
            writer.add_image(CONFUSIONS, image, validation.step, dataformats="HWC")
    # The same step each time: the projector shows one, and old ones would fill the disk.
    writer.add_embedding(
        validation.vectors, metadata=list(validation.ids), global_step=0, tag=EMBEDDINGS
    )
    writer.flush()


def _to_wandb(wandb: Any, validation: _Validation) -> None:
    if wandb.run is None:
        return
    tables = {}
    if validation.counts is not None:
        counted = zip(validation.labels, validation.counts.tolist(), strict=True)
        rows = [[name, *row] for name, row in counted]
        tables[CONFUSIONS] = wandb.Table(columns=["truth", *validation.labels], data=rows)
    components = range(1, validation.vectors.shape[1] + 1)
    rows = [
        [name, *row] for name, row in zip(validation.ids, validation.vectors.tolist(), strict=True)
    ]
    columns = ["id"] + [f"component {number}" for number in components]
    tables[EMBEDDINGS] = wandb.Table(columns=columns, data=rows)
    wandb.log({f"{validation.split}/{name}": x for name, x in tables.items()}, step=validation.step)


def markdown(counts: np.ndarray, labels: Sequence[str]) -> str:
    r"""Format the matrix as a table; rows are the truth.

    >>> print(markdown(np.array([[3, 1], [0, 2]]), ["sad", "happy"]))
    | truth \ predicted | sad | happy |
    |---|---|---|
    | sad | 3 | 1 |
    | happy | 0 | 2 |
    """
    lines = [["truth \\ predicted", *labels]]
    lines += [[name] + [f"{x:.0f}" for x in row] for name, row in zip(labels, counts, strict=True)]
    table = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([table[0], "|" + "---|" * len(lines[0]), *table[1:]])


def _drawn(counts: np.ndarray, labels: Sequence[str]) -> np.ndarray | None:
    """Draw the matrix as an image (H, W, 3) uint8; None without matplotlib."""
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
