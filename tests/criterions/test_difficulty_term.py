"""Difficulty in training: prototypes that are fixed, follow the batches, or are trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from term_cases import (
    Net,
    Task,
    make_rows,
    primary_only,
    slow_contrastive,
    step,
    supcon,
    write_rows,
)
from torch import Tensor

from data_prep.prototypes import read_prototypes
from emo_fairseq.criterions.terms.difficulty import LEARNING
from emo_fairseq.losses.prototypes import (
    moving_prototypes,
    prototype_distance,
)
from emo_fairseq.training.learning_rates import weight_decay_scale

ROWS = range(12)
V1 = {"supcon_weighting": "v1", "prototype_alpha": 3.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("small"), make_rows())


def vad_of(task: Task, rows: range) -> Tensor:
    return task.batch(rows)["annotations"]["vad"]


@pytest.mark.parametrize("learning", LEARNING)
def test_prototypes_begin_as_the_files(learning: str, folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion = supcon(task, **V1, prototype_learning=learning)
    expected = read_prototypes(folder / "prototypes.json").array(task.labels)
    np.testing.assert_array_equal(task.class_prototypes.values[-1], expected)
    trained = criterion.terms[0].difficulty.trained
    assert (trained is not None) == (learning == "trained")
    if trained is not None:
        np.testing.assert_allclose(trained[-1].detach(), expected, atol=1e-7)


def test_fixed_prototypes_stay(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion, model = supcon(task, **V1), Net(task)
    before = task.class_prototypes.values.clone()
    step(criterion, model, task.batch(ROWS))
    assert torch.equal(task.class_prototypes.values, before)
    assert not list(criterion.parameters())


def test_moving_prototypes_follow_the_batches(folder: Path) -> None:
    task = Task(folder, make_rows())
    options = {**V1, "prototype_learning": "ema", "prototype_momentum": 0.7}
    criterion, model = supcon(task, **options), Net(task)
    expected = task.class_prototypes.values[0]
    for rows in (ROWS, range(12, 20)):
        vad, labels = vad_of(task, rows), task.batch(rows)["target"]
        expected = moving_prototypes(expected, vad, labels, 0.7)
        step(criterion, model, task.batch(rows))
        torch.testing.assert_close(task.class_prototypes.values[0], expected)
    before = task.class_prototypes.values.clone()
    step(criterion, model, task.batch(ROWS, is_ignored=True))
    assert torch.equal(task.class_prototypes.values, before)


def test_moving_prototypes_of_corpora_follow_their_own_rows_and_the_last_all(folder: Path) -> None:
    task = Task(folder, make_rows(), prototype_scope="corpus")
    options = {**V1, "prototype_learning": "ema", "prototype_momentum": 0.7}
    criterion, model = supcon(task, **options), Net(task)
    before = task.class_prototypes.values.clone()
    assert len(before) == 3
    corpora = [task.rows[row].corpus for row in ROWS]
    assert {*corpora} == {"one", "two", None}
    step(criterion, model, task.batch(ROWS))
    vad, labels = vad_of(task, ROWS), task.batch(ROWS)["target"]
    names = read_prototypes(folder / "prototypes.json").corpora
    for number, corpus in enumerate((*names, None)):
        own = torch.tensor([corpus in (None, found) for found in corpora])
        expected = moving_prototypes(before[number], vad[own], labels[own], 0.7)
        torch.testing.assert_close(task.class_prototypes.values[number], expected, equal_nan=True)
        assert not torch.equal(expected.nan_to_num(), before[number].nan_to_num())


def test_a_row_is_held_against_the_prototypes_of_its_corpus(folder: Path) -> None:
    task = Task(folder, make_rows(), prototype_scope="corpus")
    criterion, model = supcon(task, **V1, supcon_queue=12), Net(task)
    step(criterion, model, task.batch(ROWS))
    file = read_prototypes(folder / "prototypes.json")
    sample = task.batch(ROWS)
    for row, found in zip(ROWS, task.state.embedding_queue[2], strict=True):
        own = torch.from_numpy(file.array(task.labels, task.rows[row].corpus))
        one = slice(row, row + 1)
        (expected,) = prototype_distance(vad_of(task, ROWS)[one], sample["target"][one], own)
        torch.testing.assert_close(found, expected, equal_nan=True)


def test_trained_prototypes_learn_to_be_near_their_rows_and_nothing_else(folder: Path) -> None:
    """Their gradient is that of the mean distance, whatever the weights and lambda."""
    task = Task(folder, make_rows())
    gradients = []
    for weight in (0.0, 5.0):
        options = {**V1, "prototype_learning": "trained", "supcon_weight": weight}
        criterion, model = supcon(task, **options), Net(task)
        trained = criterion.terms[0].difficulty.trained
        _, sample_size, _ = step(criterion, model, task.batch(ROWS))
        gradients.append(trained.grad / sample_size)
    prototypes = trained.detach().clone().requires_grad_()
    distances = prototype_distance(vad_of(task, ROWS), task.batch(ROWS)["target"], prototypes[0])
    assert distances.isnan().sum() == 2
    (distances.nansum() / len(ROWS)).backward()
    for gradient in gradients:
        torch.testing.assert_close(gradient, prototypes.grad)


def test_trained_prototypes_decide_on_the_weights(folder: Path) -> None:
    task = Task(folder, make_rows())
    options = {**V1, "prototype_learning": "trained", "supcon_weight": 1.0}
    criterion, model = supcon(task, **options), Net(task)
    sample = task.batch((0, 4, 1, 5))  # two of each of two classes
    labels = sample["target"]
    assert labels.tolist() == [0, 0, 1, 1]
    trained = criterion.terms[0].difficulty.trained
    with torch.no_grad():
        trained[0, 0] += 0.3
    loss, _, _ = step(criterion, model, sample)
    difficulty = prototype_distance(sample["annotations"]["vad"], labels, trained.detach()[0])
    weights = (-3.0 * difficulty).exp().tolist()
    embedding = model(**sample["net_input"]).embedding
    contrastive = slow_contrastive(embedding, labels.tolist(), 0.07, weights)
    expected = primary_only(criterion, model, sample) + 4 * contrastive + difficulty.sum()
    torch.testing.assert_close(loss, expected.detach())
    assert max(weights) > 2 * min(weights)


def test_prototypes_are_not_drawn_to_the_corner_of_the_space(folder: Path) -> None:
    criterion = supcon(Task(folder, make_rows()), **V1, prototype_learning="trained")
    assert weight_decay_scale(criterion.terms[0].difficulty.trained) == 0.0


def test_a_class_without_a_prototype_has_no_difficulty_and_trains_on(tmp_path: Path) -> None:
    rows = make_rows()
    file_rows = [row for row in rows if row.emotion != "sad"]
    task = Task(write_rows(tmp_path, file_rows), rows)
    criterion, model = supcon(task, **V1, prototype_learning="trained"), Net(task)
    loss, _, _ = step(criterion, model, task.batch(ROWS))
    trained = criterion.terms[0].difficulty.trained
    sad = task.labels.index("sad")
    assert trained[0, sad].isnan().all()
    assert loss.isfinite()
    assert trained.grad is not None
    assert trained.grad.isfinite().all()
    assert trained.grad[0, sad].eq(0).all()
    assert trained.grad.ne(0).any()
