"""The outputs of a teacher for the train split: of a checkpoint, or from a predictions file."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from fairseq import checkpoint_utils

from data_prep.manifest.provenance import read_beside
from data_prep.manifest.table import ids_of
from data_prep.messages import first_few
from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.data.manifest import Split
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.predictions import (
    PREDICTION_OF,
    PROBABILITY,
)
from emo_fairseq.targets import LabeledTarget
from emo_fairseq.task_state import TaskState
from emo_fairseq.tasks.predicting import predict_rows
from emo_fairseq.tasks.provenance import Accept, stored_provenance

logger = logging.getLogger(__name__)

Outputs = dict[str, np.ndarray]  # utterance -> (K,) log-probabilities or logits, or (A,) values
Provide = Callable[[Split], np.ndarray]  # split -> (N, n_outputs), NaN where a row has none
_OF_ITS_DATA = {"data_raw": None, "video_raw": None, "packed_audio_dir": None}
_SMALLEST = 1e-12  # a probability that was written as 0
_TOLERANCE = 1e-3  # of a sum of probabilities


def teacher_from_predictions(path: str, student: LabeledTarget, accept: Accept) -> Provide:
    """Read the outputs that ``fairseq-validate --save-predictions`` wrote.

    Raises:
        UsageError: no such file, one of other labels or of yes/no questions, one in which an id
            occurs twice, or one of a model that has seen rows that the student holds out.
    """
    rows = predictions.read(Path(path))
    accept("--teacher-predictions", path, read_beside(Path(path)))
    columns = _columns(student)
    given = [name for name in (rows or [{}])[0] if name.startswith((PROBABILITY, PREDICTION_OF))]
    if rows and set(given) != set(columns):
        raise UsageError(
            f"{path}: it has the columns {', '.join(given)}, and not {', '.join(columns)}; a "
            "teacher has the labels of its student",
            "teacher-labels-other",
        )
    values = np.array([[float(row[name]) for name in columns] for row in rows])
    if rows and student.target.has_labels:
        _check_distributions(values, path)
        values = np.log(np.maximum(values, _SMALLEST))
    outputs = {row["id"]: values[number] for number, row in enumerate(rows)}
    if len(outputs) < len(rows):
        raise UsageError(
            f"{path}: {len(rows) - len(outputs)} ids occur twice; keep the rows of one split",
            "id-duplicate",
        )
    return _by_row(f"--teacher-predictions {path}", outputs, len(columns))


def _check_distributions(probabilities: np.ndarray, path: str) -> None:
    if (np.abs(probabilities.sum(axis=1) - 1.0) > _TOLERANCE).any():  # never so of a NaN
        raise UsageError(
            f"{path}: probabilities of an utterance do not add up to 1, as those of yes/no "
            "questions do not; give a teacher that was trained with the student's --target",
            "teacher-target-other",
        )


def teacher_from_checkpoint(
    path: str,
    overrides: Mapping[str, str | None],
    student: LabeledTarget,
    accept: Accept,
    device: torch.device,
) -> Provide:
    """Predict every utterance of a split with the model of a checkpoint, once.

    It reads its own modalities; the manifests of teacher and student are matched by id.

    Args:
        path: of the checkpoint.
        overrides: options of its task: ``data``, and the folders of its recordings if needed. Those
            of its training hold for the data dir of its training alone.
        student: what the student predicts.
        accept: lets the checkpoint into the training, or refuses it.
        device: where it predicts.

    Raises:
        UsageError: a model of other labels, of another target, or one that has seen rows that the
            student holds out.
    """
    option = f"--teacher-checkpoint {path}"
    # The task's name first: a checkpoint of another task must not be built.
    saved = checkpoint_utils.load_checkpoint_to_cpu(path, {"task": TASK_NAME})
    if Path(saved["cfg"].task.data).resolve() != Path(str(overrides["data"])).resolve():
        overrides = {**_OF_ITS_DATA, **overrides}
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([path], dict(overrides))
    teacher: TaskState = task.task_state
    if teacher.target != student.target or teacher.labels != list(student.labels):
        raise UsageError(
            f"{option}: it predicts {teacher.target.name} ({', '.join(teacher.labels)}), and its "
            f"student {student.target.name} ({', '.join(student.labels)})",
            "teacher-labels-other",
        )
    accept("--teacher-checkpoint", path, stored_provenance(teacher.to_state(), path))

    def provide(split: Split) -> np.ndarray:
        task.load_dataset(split.name)
        dataset = task.dataset(split.name)
        logger.info("%s: predicting %d utterances of %s", option, len(dataset), split.name)
        rows, predicted = predict_rows(model.to(device), dataset, device)
        model.to("cpu")  # the device is the student's from now on
        names = dataset.utterance_ids
        outputs = {names[row]: output for row, output in zip(rows, predicted, strict=True)}
        return _by_row(option, outputs, student.n_outputs)(split)

    return provide


def _columns(student: LabeledTarget) -> list[str]:
    if student.target.has_labels:
        return [PROBABILITY + label for label in student.labels]
    return [PREDICTION_OF + axis for axis in student.target.columns]


def _by_row(option: str, outputs: Outputs, width: int) -> Provide:
    """Return the outputs by the rows of a split; NaN, and a warning, where there are none."""

    def provide(split: Split) -> np.ndarray:
        nothing = np.full(width, np.nan)
        ids = ids_of(split.utterances)
        without = [name for name in ids if name not in outputs]
        if len(without) == len(ids):
            raise UsageError(
                f"{option}: has no outputs for any utterance of {split.file}",
                "teacher-rows-missing",
            )
        if without:
            logger.warning("%s: no outputs for %d: %s", option, len(without), first_few(without))
        return np.stack([outputs.get(name, nothing) for name in ids])

    return provide
