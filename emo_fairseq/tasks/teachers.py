"""A teacher's answers to the train split: of a checkpoint, or from a predictions file."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fairseq import checkpoint_utils

from data_prep.manifest.provenance import read_beside
from data_prep.messages import first_few
from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.data.manifest import Split
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.predictions import (
    PREDICTION_OF,
    PROBABILITY,
)
from emo_fairseq.models.encode import encoding_device
from emo_fairseq.tasks.predicting import predict_rows
from emo_fairseq.types import Target

logger = logging.getLogger(__name__)

Answers = dict[str, np.ndarray]  # utterance -> (K,) log-probabilities or logits, or (A,) values
_SMALLEST = 1e-12  # a probability that was written as 0
_TOLERANCE = 1e-3  # of a sum of probabilities


def teacher_from_predictions(path: str, task: Any) -> Callable[[Split], np.ndarray]:
    """Answers that ``fairseq-validate --save-predictions`` wrote.

    Raises:
        UsageError: no such file, one of other labels or of yes/no questions, one in which an id
            occurs twice, or one of a model that has seen rows that the student holds out.
    """
    rows = predictions.read(Path(path))
    task.take("--teacher-predictions", path, read_beside(Path(path)))
    columns = _columns(task.target, task.labels)
    given = [name for name in (rows or [{}])[0] if name.startswith((PROBABILITY, PREDICTION_OF))]
    if rows and set(given) != set(columns):
        raise UsageError(
            f"{path}: it has the columns {', '.join(given)}, and not {', '.join(columns)}; a "
            "teacher has the labels of its student"
        )
    values = np.array([[float(row[name]) for name in columns] for row in rows])
    if rows and task.target.has_labels:
        _check_distributions(values, path)
        values = np.log(np.maximum(values, _SMALLEST))
    answers = {row["id"]: values[number] for number, row in enumerate(rows)}
    if len(answers) < len(rows):
        raise UsageError(
            f"{path}: {len(rows) - len(answers)} ids occur twice; keep the rows of one split"
        )
    return _answered(f"--teacher-predictions {path}", answers, len(columns))


def _check_distributions(probabilities: np.ndarray, path: str) -> None:
    if (np.abs(probabilities.sum(axis=1) - 1.0) > _TOLERANCE).any():  # never so of a NaN
        raise UsageError(
            f"{path}: probabilities of an utterance do not add up to 1, as those of yes/no "
            "questions do not; give a teacher that was trained with the student's --target"
        )


def teacher_from_checkpoint(
    path: str, data: str | None, task: Any
) -> Callable[[Split], np.ndarray]:
    """Ask the model of a checkpoint for every utterance of a split, once.

    Its task reads its own modalities; the manifests of both are matched by id.

    Args:
        path: of the checkpoint.
        data: the data dir that it reads; None means the student's.
        task: the student's.

    Raises:
        UsageError: a model of other labels, of another target, or one that has seen rows that the
            student holds out.
    """
    option = f"--teacher-checkpoint {path}"
    overrides = {"data": data or task.cfg.data}
    if task.cfg.data_raw is not None and data is None:
        overrides["data_raw"] = task.cfg.data_raw
    # The task's name first: a checkpoint of another task must not be built.
    checkpoint_utils.load_checkpoint_to_cpu(path, {"task": TASK_NAME})
    models, _, teachers_task = checkpoint_utils.load_model_ensemble_and_task([path], overrides)
    if teachers_task.target != task.target or list(teachers_task.labels) != list(task.labels):
        raise UsageError(
            f"{option}: it predicts {teachers_task.target.name} ({', '.join(teachers_task.labels)}"
            f"), and its student {task.target.name} ({', '.join(task.labels)})"
        )
    task.take("--teacher-checkpoint", path, teachers_task.provenance())
    device = encoding_device(task.surroundings.on_cpu())

    def provide(split: Split) -> np.ndarray:
        teachers_task.load_dataset(split.name)
        dataset = teachers_task.dataset(split.name)
        logger.info("%s: answering %d utterances of %s", option, len(dataset), split.name)
        rows, outputs = predict_rows(models[0].to(device), dataset, device)
        models[0].to("cpu")  # the device is the student's from now on
        names = dataset.utterance_ids
        answers = {names[row]: answer for row, answer in zip(rows, outputs, strict=True)}
        return _answered(option, answers, task.n_outputs)(split)

    return provide


def _columns(target: Target, labels: list[str]) -> list[str]:
    if target.has_labels:
        return [PROBABILITY + label for label in labels]
    return [PREDICTION_OF + axis for axis in target.columns]


def _answered(option: str, answers: Answers, width: int) -> Callable[[Split], np.ndarray]:
    """The answers by the rows of a split; NaN, and a warning, where there is none."""

    def provide(split: Split) -> np.ndarray:
        nothing = np.full(width, np.nan)
        without = [row.id for row in split.utterances if row.id not in answers]
        if len(without) == len(split.utterances):
            raise UsageError(f"{option}: has no answer to any utterance of {split.file}")
        if without:
            logger.warning("%s: no answer to %d: %s", option, len(without), first_few(without))
        return np.stack([answers.get(row.id, nothing) for row in split.utterances])

    return provide
