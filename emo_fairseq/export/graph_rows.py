"""Rows of a data dir for graphs: ranges of their activations, and what a precision costs."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_prep.audio.segment import audio_of
from data_prep.manifest.audio_root import audio_root, video_root
from data_prep.messages import first_few
from data_prep.schema import TRAIN, Utterance, read_corpus, read_manifest
from data_prep.video.segment import video_of
from emo_fairseq.data.turn_order import order_turns
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import functional
from emo_fairseq.inference.engine import ModelEngine
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.onnx_model import OnnxModel
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO
from emo_fairseq.targets import Target

logger = logging.getLogger(__name__)

_BATCH = 16


@dataclass(frozen=True)
class RowSource:
    """The rows of a data dir, as a predictor reads them.

    Attributes:
        data: the data dir.
        data_raw: folder that its audio is relative to; None: that of its corpus.yaml.
        fold: that the model was trained on; None without.
        video_raw: folder that its videos are relative to; None: that of its corpus.yaml.
    """

    data: Path
    data_raw: Path | None = None
    fold: str | None = None
    video_raw: Path | None = None

    def read(self, split: str, purpose: str) -> list[Utterance]:
        """Return the rows of a split.

        Raises:
            UsageError: there is no such split, it is empty, or a fold divides the splits anew.
        """
        if self.fold is not None:
            raise UsageError(
                f"{purpose}: the model was trained on fold {self.fold}, which divides the rows of "
                f"{self.data} anew; leave it out",
                "split-of-fold",
            )
        splits = read_corpus(self.data).splits
        if split not in splits:
            raise UsageError(
                f"{purpose}: {self.data} has no split {split}; give one of {', '.join(splits)}, or "
                "another --data",
                "split-unknown",
            )
        rows = list(read_manifest(self.data / f"{split}.tsv"))
        if not rows:
            raise UsageError(
                f"{purpose}: {self.data / f'{split}.tsv'} has no rows; give another --data",
                "split-empty",
            )
        return rows

    def columns(self, rows: list[Utterance], modalities: tuple[str, ...]) -> dict[str, list[Any]]:
        """Return the arguments of :meth:`EmotionPredictor.predict_each` for rows."""
        root = audio_root(self.data, self.data_raw)
        videos: list[Any] = [None] * len(rows)
        if VIDEO in modalities:
            of_videos = video_root(self.data, self.video_raw, self.data_raw)
            videos = [video_of(row, of_videos) for row in rows]
        return {
            "audio": [audio_of(row, root) if SPEECH in modalities else None for row in rows],
            "text": [(row.text or None) if TEXT in modalities else None for row in rows],
            "video": videos,
            "speaker": [row.speaker for row in rows],
            "dialogue": [_dialogue_of(row) for row in rows],
        }


def _dialogue_of(row: Utterance) -> str | None:
    """Return a name of a row's dialogue that those of other corpora do not have.

    As in training, a row without a number is no turn.
    """
    if row.turn is None or row.dialogue is None:
        return None
    return row.dialogue if row.corpus is None else f"{row.corpus}/{row.dialogue}"


def in_turn_order(rows: list[Utterance]) -> list[Utterance]:
    """Return the turns of each dialogue by their numbers, and after them the other rows.

    >>> rows = [Utterance("a"), *(Utterance(f"t{n}", dialogue="d", turn=n) for n in (2, 1))]
    >>> [row.id for row in in_turn_order(rows)]
    ['t1', 't2', 'a']
    """
    numbers = order_turns(rows).rows.tolist()
    others = sorted({*range(len(rows))} - {*numbers})
    return [rows[number] for number in (*numbers, *others)]


# -- calibration -----------------------------------------------------------------------------------


def spread(n_rows: int, most: int) -> list[int]:
    """Return the numbers of at most so many rows, from the first to the last one.

    >>> spread(7, 4), spread(2, 4)
    ([0, 2, 4, 6], [0, 1])
    """
    return np.linspace(0, n_rows - 1, min(n_rows, most)).round().astype(int).tolist()


def calibration_batches(
    predictor: EmotionPredictor, source: RowSource, n_rows: int
) -> Iterator[Mapping[str, np.ndarray]]:
    """Yield inputs of a graph from rows of the train split, spread evenly over it."""
    rows = source.read(TRAIN, "--calibrate")
    chosen = [rows[number] for number in spread(len(rows), n_rows)]
    items: list[Item] = []
    columns = source.columns(chosen, predictor.modalities)
    inputs = (columns[name] for name in ("audio", "text", "video"))
    for audio, text, video in zip(*inputs, strict=True):
        if (audio, text, video) != (None, None, None):
            items.append(predictor.read_item(audio, text, video=video))
    engine = predictor.engine
    assert isinstance(engine, ModelEngine)
    model = engine.model
    assert isinstance(model, OnnxModel)
    for batch in engine.preprocessor.batches(items, _BATCH):
        yield model.named_inputs(batch.net_input)


# -- metrics ---------------------------------------------------------------------------------------


class Measured(NamedTuple):
    """The metrics of one graph on a split.

    Attributes:
        split: its name.
        n_rows: predicted utterances with a truth.
        metrics: by their keys in :mod:`emo_fairseq.evaluation.names`.
    """

    split: str
    n_rows: int
    metrics: Mapping[str, float]


def measure(predictor: EmotionPredictor, source: RowSource, split: str, target: Target) -> Measured:
    """Predict for a split, and return the metrics.

    Raises:
        UsageError: no row has a truth and an input that can be read.
    """
    rows = in_turn_order(source.read(split, "--onnx-metrics"))
    columns = source.columns(rows, predictor.modalities)
    predictions = predictor.predict_each(
        columns["audio"],
        columns["text"],
        video=columns["video"],
        speaker=columns["speaker"],
        dialogue=columns["dialogue"],
    )
    with_truth = [
        pair for pair in zip(rows, predictions, strict=True) if _has_truth(pair[0], target)
    ]
    pairs = [
        (row, prediction) for row, prediction in with_truth if isinstance(prediction, Prediction)
    ]
    errors = [
        f"{row.id}: {prediction}"
        for row, prediction in with_truth
        if not isinstance(prediction, Prediction)
    ]
    if errors:
        logger.warning(
            "--onnx-metrics %s: %d of %d rows are left out, since they cannot be predicted: %s",
            split,
            len(errors),
            len(with_truth),
            first_few(errors, 3),
        )
    if not pairs:
        raise UsageError(
            f"--onnx-metrics {split}: no row of {source.data / f'{split}.tsv'} has a "
            f"{target.name} and an input that the model reads; give another split",
            "split-empty",
        )
    return Measured(split, len(pairs), _metrics(pairs, target))


def _has_truth(row: Utterance, target: Target) -> bool:
    """Return whether a row has its label, or one of the numbers."""
    columns = [target.label_column] if target.label_column else target.columns
    return any(getattr(row, column) is not None for column in columns)


def _metrics(pairs: list[tuple[Utterance, Prediction]], target: Target) -> dict[str, float]:
    if target.has_labels:
        truth = [str(getattr(row, target.label_column or "")) for row, _ in pairs]
        labels = [str(prediction.label) for _, prediction in pairs]
        return {
            "weighted_f1": functional.weighted_f1(truth, labels),
            "uar": functional.uar(truth, labels),
        }
    return {
        f"ccc_{axis}": functional.ccc(
            [getattr(row, axis) for row, _ in pairs],
            [prediction.values[axis] for _, prediction in pairs],
        )
        for axis in target.columns
    }
