"""A teacher's answers from a predictions file; a checkpoint's are in tests/cli."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions

MakeTask = Callable[..., Any]
LABELS = ("neutral", "happy", "sad", "angry")
AXES = ("valence", "arousal", "dominance")


@pytest.fixture
def task(toy_corpus: Path, make_task: MakeTask) -> Any:
    return make_task(toy_corpus, modality="text")


def answers_of(ids: Sequence[str], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Probabilities that add up to 1, another vector for each row."""
    rng = np.random.default_rng(3)
    return [
        {"id": name, "split": "train", **dict(zip(columns, values, strict=True))}
        for name, values in zip(ids, rng.dirichlet(np.ones(len(columns)), len(ids)), strict=True)
    ]


def of_labels(task: Any, labels: Sequence[str] = LABELS) -> list[dict[str, Any]]:
    ids = [row.id for row in task.train_split().utterances]
    return answers_of(ids, [f"probability_{label}" for label in labels])


def written(folder: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    predictions.write(folder / "teacher.tsv", rows)
    return str(folder / "teacher.tsv")


def test_answers_are_log_probabilities_matched_by_id(task: Any, tmp_path: Path) -> None:
    rows = of_labels(task)
    found = task.teacher_from_predictions(written(tmp_path, rows[::-1]))(task.train_split())
    expected = [[row[f"probability_{label}"] for label in task.labels] for row in rows]
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-8)
    assert found.dtype == np.float64


def test_columns_are_matched_by_label(task: Any, tmp_path: Path) -> None:
    rows = of_labels(task, labels=LABELS[::-1])
    found = task.teacher_from_predictions(written(tmp_path, rows))(task.train_split())
    expected = [[row[f"probability_{label}"] for label in LABELS] for row in rows]
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-8)


def test_numbers_are_taken_as_they_are(
    toy_corpus: Path, make_task: MakeTask, tmp_path: Path
) -> None:
    task = make_task(toy_corpus, modality="text", target="vad")
    ids = [row.id for row in task.train_split().utterances]
    rows = answers_of(ids, [f"prediction_{axis}" for axis in AXES])
    found = task.teacher_from_predictions(written(tmp_path, rows))(task.train_split())
    np.testing.assert_allclose(found[5], [rows[5][f"prediction_{a}"] for a in AXES], atol=1e-8)


def test_a_probability_of_0_is_finite(task: Any, tmp_path: Path) -> None:
    rows = of_labels(task)
    rows[0] |= {f"probability_{label}": float(label == "sad") for label in LABELS}
    found = task.teacher_from_predictions(written(tmp_path, rows))(task.train_split())
    assert np.isfinite(found).all()
    assert found[0].argmax() == task.labels.index("sad")


def test_rows_without_an_answer_are_nan_and_said(
    task: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = of_labels(task)
    with caplog.at_level(logging.WARNING):
        found = task.teacher_from_predictions(written(tmp_path, rows[1:]))(task.train_split())
    assert np.isnan(found[0]).all()
    assert not np.isnan(found[1:]).any()
    assert f"no outputs for 1: {rows[0]['id']}" in caplog.text


# -- refusals --------------------------------------------------------------------------------------


def refused(task: Any, path: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        task.teacher_from_predictions(path)(task.train_split())


def test_answers_to_other_utterances_are_refused(task: Any, tmp_path: Path) -> None:
    columns = [f"probability_{label}" for label in LABELS]
    rows = answers_of(["someone", "else"], columns)
    message = "has no outputs for any utterance"
    refused(task, written(tmp_path, rows), message)


@pytest.mark.parametrize(
    "labels", [LABELS[:3], (*LABELS, "bored"), ("neutral", "happy", "sad", "furious")]
)
def test_a_teacher_of_other_labels_is_refused(
    labels: Sequence[str], task: Any, tmp_path: Path
) -> None:
    message = "it has the columns probability_.*, and not .*; a teacher has the labels of its"
    refused(task, written(tmp_path, of_labels(task, labels)), message)


def test_a_teacher_of_numbers_is_refused_for_labels(task: Any, tmp_path: Path) -> None:
    ids = [row.id for row in task.train_split().utterances]
    rows = answers_of(ids, [f"prediction_{axis}" for axis in AXES])
    refused(task, written(tmp_path, rows), "it has the columns prediction_valence, .*, and not pro")


def test_a_teacher_of_yes_no_questions_is_refused(task: Any, tmp_path: Path) -> None:
    rows = of_labels(task)
    for row in rows:
        row["probability_sad"] *= 0.5
    refused(task, written(tmp_path, rows), "do not add up to 1, as those of yes/no questions do")


def test_an_id_that_occurs_twice_is_refused(task: Any, tmp_path: Path) -> None:
    rows = of_labels(task)
    twice = [*rows, {**rows[0], "split": "valid"}]
    refused(task, written(tmp_path, twice), "1 ids occur twice; keep the rows of one split")


def test_files_that_are_none_are_refused(task: Any, tmp_path: Path) -> None:
    refused(task, str(tmp_path / "nowhere.tsv"), "there is no such file; write one with --save-p")
    file = Path(written(tmp_path, of_labels(task)))
    lines = file.read_text().splitlines(keepends=True)[:-1]  # without the last one
    file.write_text(predictions.with_last_line(lines[0]))
    refused(task, str(file), "has no outputs for any utterance")
    lines[1] = lines[1].replace("0.", "o.")
    file.write_text(predictions.with_last_line("".join(lines)))
    refused(
        task, str(file), r"teacher\.tsv: .*: probability_\w+ is 'o\.\d+', no number from 0 to 1"
    )
