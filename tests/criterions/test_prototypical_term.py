"""SPCL as a term: its queue of each class, the prototypes drawn from it, and its share of loss."""

from pathlib import Path

import pytest
import torch
from codes import raises
from term_cases import Net, Task, figures, make_rows, plain, primary_only, step, supcon, write_rows

from emo_fairseq.criterions.terms.prototypical import ClassQueue
from emo_fairseq.losses import prototypical_contrastive

OPTIONS = {"spcl_weight": 0.7, "spcl_temperature": 0.3, "spcl_queue": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("small"), make_rows(), prototypes=False)


def embeddings_of(model: Net, task: Task, rows: list[int]) -> torch.Tensor:
    return model(**task.batch(rows)["net_input"]).embedding.detach()


def test_the_queue_holds_the_newest_rows_of_each_class(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion, model = plain(task, **OPTIONS), Net(task)
    seen: list[int] = []
    for rows in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9]):
        step(criterion, model, task.batch(rows))
        seen = [*rows, *seen]
        number = {row: [task.truth[r] for r in seen[: i + 1]] for i, row in enumerate(seen)}
        kept = [row for row in seen if number[row].count(task.truth[row]) <= 2]
        embeddings, labels = task.state.embedding_queue
        assert labels.tolist() == task.truth[kept].tolist()
        torch.testing.assert_close(embeddings, embeddings_of(model, task, kept))
        assert not embeddings.requires_grad
    assert len(kept) < len(seen)


def test_rows_of_unknown_class_take_no_place_in_the_queue(folder: Path) -> None:
    task = Task(folder, make_rows())
    queue = ClassQueue(task, n_classes=2, size=2, n_drawn=2)
    queue.push([torch.arange(6.0)[:, None], torch.tensor([-1, 0, -1, 1, 0, 0])])
    embeddings, labels = task.state.embedding_queue
    assert embeddings[:, 0].tolist() == [1.0, 3.0, 4.0]
    assert labels.tolist() == [0, 1, 0]


def test_the_loss_is_that_of_the_means_of_the_queue(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion, model = plain(task, **OPTIONS), Net(task)
    earlier, now = [0, 1, 4, 5], [8, 9, 10]  # all of two classes
    step(criterion, model, task.batch(earlier))
    sample = task.batch(now)
    loss, _, logged = step(criterion, model, sample)
    rows, truth = embeddings_of(model, task, earlier), task.truth[earlier]
    prototypes = torch.stack([rows[truth == k].mean(dim=0) for k in range(4)])  # NaN without rows
    assert prototypes.isnan().all(dim=1).tolist() == [False, False, True, True]
    found = prototypical_contrastive(
        embeddings_of(model, task, now), sample["target"], prototypes, 0.3
    )
    expected = primary_only(criterion, model, sample) + 0.7 * len(now) * found.loss
    torch.testing.assert_close(loss, expected.detach())
    assert figures([logged], task)["prototypical_loss"] == pytest.approx(float(found.loss))


def test_prototypes_are_drawn_by_the_seed_of_the_update(folder: Path) -> None:
    task = Task(folder, make_rows())
    options = {**OPTIONS, "spcl_queue": 100, "spcl_drawn": 2}
    criterion, model = plain(task, **options), Net(task)
    step(criterion, model, task.batch(range(12)))
    queue = criterion.terms[0].queue
    like = torch.zeros(1, 6, dtype=torch.float64)
    drawn = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        torch.rand(seed)  # ranks differ in what they have drawn in an update
        drawn.append(queue.draw(like))
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    embeddings, labels = task.state.embedding_queue
    of_first = embeddings[labels == 0]
    pairs = torch.stack([(a + b) / 2 for a in of_first for b in of_first])
    assert torch.isclose(pairs, drawn[0][0]).all(dim=1).any()


def test_beside_another_queue_it_is_refused(folder: Path) -> None:
    with raises("options-conflict"):
        supcon(Task(folder, make_rows()), spcl_weight=1.0, supcon_queue=4)


def test_the_emotion_beside_another_target(folder: Path) -> None:
    """A model of numbers has its embeddings drawn together by emotion."""
    task = Task(folder, make_rows(), "vad")
    _, _, logged = step(plain(task, **OPTIONS), Net(task), task.batch(range(8)))
    assert figures([logged], task)["prototypical_loss"] > 0
