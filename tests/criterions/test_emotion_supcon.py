"""Criterion `emotion_supcon`: what it is built of, and the options that it refuses."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codes import raises
from term_cases import Net, Task, make_rows, step, supcon, write_rows

from data_prep.schema import Corpus, Utterance, read_manifest, write_corpus
from emo_fairseq.criterions.registered import (
    EmotionSupConConfig,
    EmotionSupConCriterion,
)
from emo_fairseq.task_state import TaskState


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("small"), make_rows())


@pytest.mark.parametrize(
    ("schedule", "max_update", "warmup"), [("linear", 0, 0), ("cosine", 10, 10), ("linear", 5, 9)]
)
def test_a_schedule_without_an_end_is_refused(
    schedule: str, max_update: int, warmup: int, folder: Path
) -> None:
    task = Task(folder, make_rows(), max_update=max_update)
    options = {"supcon_schedule": schedule, "supcon_warmup_updates": warmup}
    with raises("schedule-endless"):
        supcon(task, **options)
    supcon(Task(folder, make_rows(), max_update=warmup + 1), **options)


def test_a_training_without_positives_is_refused(folder: Path) -> None:
    task = Task(folder, make_rows(), rows_of_a_step=1)
    with raises("positives-missing"):
        supcon(task)
    supcon(task, supcon_queue=4)
    supcon(Task(folder, make_rows(), rows_of_a_step=2))
    once = Task(folder, make_rows()[:4])  # one of each
    with raises("positives-missing"):
        supcon(once)


def test_a_corpus_without_emotions_is_refused_in_its_own_words(
    make_task: Any, tmp_path: Path
) -> None:
    rows = [Utterance(id=f"utt{n}", text="word", sentiment_score=n / 2) for n in range(4)]
    write_corpus(tmp_path, Corpus("scores"), {"train": rows})
    task = make_task(tmp_path, from_checkpoint=True, modality="text", target="sentiment_score")
    task.is_training = True
    task.task_state = TaskState.from_state(task.cfg, {"labels": ["score"], "encoders": {}})
    with raises("labels-missing") as error:
        EmotionSupConCriterion(EmotionSupConConfig(), task)
    assert "emotion_supcon" in str(error.value), "and not the prototypes"


# -- prototypes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighting", ["v1", "v2", "v2_original", "v3"])
def test_weightings_need_prototypes(weighting: str, tmp_path: Path) -> None:
    task = Task(write_rows(tmp_path, make_rows(), prototypes=False), make_rows())
    with raises("prototypes-missing") as error:
        supcon(task, supcon_weighting=weighting)
    assert f"--supcon-weighting {weighting}" in str(error.value)
    step(supcon(task), Net(task), task.batch(range(6)))


@pytest.mark.parametrize("weighting", ["v1", "v2", "v2_original", "v3"])
def test_weightings_need_rows_that_are_measured(weighting: str, folder: Path) -> None:
    """All difficulties unknown, every weight would be 1: supervised, under another name."""
    rows = [replace(row, valence=None) for row in make_rows()]
    with raises("difficulty-unknown"):
        supcon(Task(folder, rows, prototypes="published"), supcon_weighting=weighting)


def test_the_threshold_is_a_quantile_of_the_train_split_unless_given(folder: Path) -> None:
    def threshold(**options: float) -> float:
        task = Task(folder, make_rows())
        criterion = supcon(task, supcon_weighting="v3", **options)
        return float(criterion.terms[0].weighting.threshold)

    task = Task(folder, make_rows())
    task.class_prototypes.require("this test")
    distances = task.class_prototypes.distances(task.split)
    known = distances[~np.isnan(distances)]
    assert threshold() == pytest.approx(np.quantile(known, 0.5))
    assert threshold(prototype_quantile=0.2) == pytest.approx(np.quantile(known, 0.2))
    assert threshold(prototype_threshold=0.3) == 0.3


def test_a_threshold_beyond_every_row_is_warned_of(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = Task(folder, read_manifest(folder / "train.tsv"))
    known = task.class_prototypes
    known.require("v3")
    distances = known.distances(task.split)
    farthest = float(np.nanmax(distances))
    supcon(task, supcon_weighting="v3", prototype_threshold=farthest)
    assert "has no effect" not in caplog.text, "the farthest row weighs 0.1"
    supcon(task, supcon_weighting="v3", prototype_threshold=farthest + 0.01)
    (said,) = [message for message in caplog.messages if "has no effect" in message]
    assert f"is {farthest:.4f} from its prototype" in said
    assert f"which is {np.nanquantile(distances, 0.5):.4f}" in said


def test_the_threshold_stays_when_prototypes_have_moved(folder: Path) -> None:
    task = Task(folder, make_rows())
    options = {"supcon_weighting": "v3", "prototype_learning": "ema", "prototype_momentum": 0.1}
    criterion = supcon(task, **options)
    step(criterion, Net(task), task.batch(range(12)))
    resumed = supcon(task, **options)  # with the state that the checkpoint has
    assert resumed.terms[0].weighting == criterion.terms[0].weighting


def test_published_prototypes_serve_the_classes_that_they_know(folder: Path) -> None:
    task = Task(folder, make_rows(), prototypes="published")
    step(supcon(task, supcon_weighting="v2"), Net(task), task.batch(range(6)))
    expected = [0.4896, 0.5458, 0.5458]
    assert task.class_prototypes.values[0, 0].tolist() == pytest.approx(expected)


def test_where_nothing_is_trained_neither_prototypes_nor_positives_are_asked_for(
    tmp_path: Path,
) -> None:
    rows: Sequence[Utterance] = make_rows()[:4]
    task = Task(write_rows(tmp_path, rows, prototypes=False), rows)
    task.is_training = False
    criterion = supcon(task, supcon_weighting="v3", speaker_adversary_weight=1.0, mixup_alpha=1.0)
    assert not list(criterion.terms)
    assert task.annotators == {}
