"""A text and speech teacher for a speech student, by its checkpoint and by its predictions."""

from dataclasses import replace

import numpy as np
import pytest
from codes import raises
from fairseq_process import assert_one_sentence

from emo_fairseq.evaluation import predictions

TEACHER = """--modality text+speech --speech-input log_mel --batch-size 8 --max-update 3
    --disable-validation"""
STUDENT = """--modality speech --speech-input log_mel --batch-size 8 --max-update 4
    --disable-validation"""
LEARN = f"{STUDENT} --criterion emotion_distillation"


@pytest.fixture(scope="module")
def teacher(trained):
    return trained(TEACHER)


@pytest.fixture(scope="module")
def answers(teacher, fairseq, commands, toy_corpus, tmp_path_factory):
    """What fairseq-validate --save-predictions writes of the train split."""
    file = tmp_path_factory.mktemp("teacher") / "train.tsv"
    score = [commands["validate"], f"--path {teacher} --data {toy_corpus} --batch-size 5"]
    fairseq("validate", *score, f"--valid-subset train --save-predictions {file}")
    return file


def test_both_ways_to_ask_a_teacher_agree(teacher, answers, make_task, toy_corpus):
    """It hears its own modalities, though its student has no text."""
    student = make_task(toy_corpus, modality="speech", speech_input="log_mel")
    split = student.train_split()
    asked = student.teacher_from_checkpoint(str(teacher), None)(split)
    read = student.teacher_from_predictions(str(answers))(split)
    probabilities = np.exp(asked) / np.exp(asked).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, np.exp(read), atol=1e-5)
    rows = {row["id"]: row for row in predictions.read(answers)}
    sad = [float(rows[row.id]["probability_sad"]) for row in split.utterances]
    np.testing.assert_allclose(probabilities[:, student.labels.index("sad")], sad, atol=1e-5)
    assert np.ptp(sad) > 1e-3


def test_the_student_is_scored_when_its_teacher_is_gone(
    teacher, fairseq, commands, toy_corpus, tmp_path
):
    copied = tmp_path / "teacher.pt"
    copied.write_bytes(teacher.read_bytes())
    train = [commands["train"], f"--data {toy_corpus} --save-dir {tmp_path / 'student'} {LEARN}"]
    done = fairseq("train", *train, f"--teacher-checkpoint {copied}")
    figures = done.figures("train")
    assert figures["distillation_loss"] > 0
    assert figures["loss"] > figures["primary_loss"]
    copied.unlink()
    path = f"--path {tmp_path / 'student' / 'checkpoint_last.pt'} --data {toy_corpus}"
    score = f"{path} --batch-size 5 --valid-subset test"
    found = fairseq("validate", commands["validate"], score).figures("test")
    assert "uar" in found
    assert "distillation_loss" not in found


def test_the_file_teaches_as_the_checkpoint_does(
    teacher, answers, fairseq, commands, toy_corpus, tmp_path
):
    courses = []
    for name, option in (
        ("asked", f"--teacher-checkpoint {teacher} --teacher-data {toy_corpus}"),
        ("read", f"--teacher-predictions {answers}"),
    ):
        train = [commands["train"], f"--data {toy_corpus} --save-dir {tmp_path / name} {LEARN}"]
        done = fairseq("train", *train, f"--distillation dist {option}")
        courses.append([line["loss"] for line in done.all_figures("train_inner")])
    assert len(courses[0]) == 4
    assert courses[0] == pytest.approx(courses[1], abs=2e-3)


@pytest.mark.parametrize("target", ["sentiment", "vad"])
def test_a_checkpoint_of_another_target_is_refused(target, teacher, make_task, toy_corpus):
    student = make_task(toy_corpus, modality="text", target=target)
    with raises("teacher-labels-other") as error:
        student.teacher_from_checkpoint(str(teacher), None)
    assert f"its student {target}" in str(error.value)


def test_a_checkpoint_that_is_not_there_is_refused(run, toy_corpus, tmp_path):
    train = f"--data {toy_corpus} --save-dir {tmp_path / 'student'} {LEARN}"
    finished = run("train", train, f"--teacher-checkpoint {tmp_path / 'nowhere.pt'}")
    assert_one_sentence(finished, "nowhere.pt", "cannot be read as a checkpoint")


def test_a_teacher_without_the_students_rows_is_refused(teacher, make_task, toy_corpus, copy_toy):
    renamed = copy_toy(lambda split, rows: [replace(row, id=f"{row.id}x") for row in rows])
    student = make_task(renamed, modality="text")
    provide = student.teacher_from_checkpoint(str(teacher), str(toy_corpus))
    with raises("teacher-rows-missing"):
        provide(student.train_split())
