"""The contrastive term: lambda, weightings, missing VAD, the queue, and what is logged."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from term_cases import (
    Net,
    Task,
    figures,
    make_rows,
    primary_only,
    slow_contrastive,
    step,
    supcon,
    write_rows,
)

from emo_fairseq.criterions.terms.contrastive import Strength

ROWS = range(12)  # of a batch; 3 and 11 lack VAD
WEIGHTINGS: dict[str, Callable[[float], tuple[float, float]]] = {
    "supervised": lambda d: (1.0, 1.0),
    "v1": lambda d: (math.exp(-3.0 * d), 1.0),
    "v2": lambda d: (math.exp(-4.0 * d), math.exp(-4.0 * d)),
    "v2_original": lambda d: (1.0, math.exp(-4.0 * d)),
    "v3": lambda d: (1.0 if d < 0.12 else 0.1, 1.0),
}
OPTIONS: dict[str, dict[str, float]] = {
    "supervised": {},
    "v1": {"prototype_alpha": 3.0},
    "v2": {"prototype_beta": 4.0},
    "v2_original": {"prototype_beta": 4.0},
    "v3": {"prototype_threshold": 0.12},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("small"), make_rows())


def difficulties_of(task: Task, rows: Sequence[int]) -> np.ndarray:
    """One after another, from the file's prototypes; NaN = unknown."""
    prototypes = task.class_prototypes.values[-1].numpy()
    classes = task.class_prototypes.classes.ids(task.split)
    found = []
    for row in rows:
        vad = [task.rows[row].valence, task.rows[row].arousal, task.rows[row].dominance]
        unknown = None in vad or classes[row] < 0
        found.append(math.nan if unknown else math.dist(vad, prototypes[classes[row]]))
    return np.array(found)


def filled(weights: Sequence[float], counted: Sequence[bool]) -> list[float]:
    """An unknown weight is the mean of the others."""
    mean = np.mean([w for w, c in zip(weights, counted, strict=True) if c and not math.isnan(w)])
    return [float(mean) if math.isnan(w) else w for w in weights]


# -- lambda ----------------------------------------------------------------------------------------


def test_lambda_grows_along_a_line_and_then_stays() -> None:
    strength = Strength(0.5, warmup_updates=4)
    assert [strength.at(update) for update in range(6)] == [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    assert Strength(0.5).at(0) == 0.5


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1.0, 2.0, 2.0, 2.0, 2.0, 2.0]),
        ("linear", [1.0, 2.0, 2.0, 1.5, 1.0, 0.5, 0.0, 0.0]),
        ("cosine", [1.0, 2.0, 2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5), 0.0, 0.0]),
    ],
)
def test_lambda_falls_to_0_by_the_last_update(schedule: str, expected: list[float]) -> None:
    strength = Strength(2.0, warmup_updates=2, schedule=schedule, total_updates=6)
    assert [strength.at(update) for update in range(len(expected))] == pytest.approx(expected)


def test_the_update_decides_on_lambda(folder: Path) -> None:
    task = Task(folder, make_rows(), max_update=10)
    options = {"supcon_weight": 0.5, "supcon_warmup_updates": 4, "supcon_schedule": "linear"}
    criterion, model = supcon(task, **options), Net(task)
    plain = primary_only(criterion, model, task.batch(ROWS)).detach()
    added = [
        float(step(criterion, model, task.batch(ROWS, update=update))[0] - plain)
        for update in (0, 3, 4, 7, 10)
    ]
    assert [value / added[1] for value in added] == pytest.approx([0.25, 1.0, 1.0, 0.5, 0.0])


# -- the loss --------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_total_an_utterance_is_the_primary_loss_and_lambda_times_the_contrastive_one(
    weighting: str, folder: Path
) -> None:
    task = Task(folder, make_rows())
    criterion = supcon(
        task,
        supcon_weight=0.7,
        supcon_temperature=0.2,
        supcon_weighting=weighting,
        **OPTIONS[weighting],
    )
    model, sample = Net(task), task.batch(ROWS)
    loss, sample_size, _ = step(criterion, model, sample)
    gradients = [parameter.grad.clone() for parameter in model.parameters()]

    pairs = [WEIGHTINGS[weighting](d) for d in difficulties_of(task, ROWS)]
    labels = sample["target"].tolist()
    paired = [labels.count(label) > 1 for label in labels]
    unknown = np.isnan(difficulties_of(task, ROWS))
    assert unknown.any()
    u, w = (
        filled([math.nan if x else pair[i] for pair, x in zip(pairs, unknown, strict=True)], paired)
        for i in (0, 1)
    )
    model.zero_grad()
    embedding = model(**sample["net_input"]).embedding
    total = primary_only(criterion, model, sample) / 12
    total = total + 0.7 * slow_contrastive(embedding, labels, 0.2, u, w)
    total.backward()
    assert sample_size == 12
    torch.testing.assert_close(loss / sample_size, total.detach())
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(gradient / sample_size, parameter.grad)


def test_the_weightings_differ(folder: Path) -> None:
    task = Task(folder, make_rows())
    found = [
        float(
            step(supcon(task, supcon_weighting=name, **OPTIONS[name]), Net(task), task.batch(ROWS))[
                0
            ]
        )
        for name in WEIGHTINGS
    ]
    assert len({round(value, 6) for value in found}) == len(WEIGHTINGS)


def test_class_weights_leave_lambda_what_it_is(folder: Path) -> None:
    """fairseq divides by the sum of the weights: the term is multiplied by it."""
    task = Task(folder, make_rows())
    options = {"class_weighting": "inverse_frequency", "supcon_weight": 0.7}
    criterion, model, sample = supcon(task, **options), Net(task), task.batch(ROWS)
    loss, sample_size, _ = step(criterion, model, sample)
    contrastive = slow_contrastive(
        model(**sample["net_input"]).embedding.detach(), sample["target"].tolist(), 0.07
    )
    weighted_mean = torch.nn.functional.cross_entropy(
        model(**sample["net_input"]).logits.detach(),
        sample["target"],
        weight=criterion.primary.class_weights.double(),
    )
    assert float(sample_size) != pytest.approx(12.0)
    expected = weighted_mean + 0.7 * contrastive
    torch.testing.assert_close(loss / sample_size, expected, rtol=1e-6, atol=0)


def test_beside_numbers_emotions_are_contrasted_and_rows_without_one_left_out(
    folder: Path,
) -> None:
    task = Task(folder, make_rows(), target="vad")
    criterion, model = supcon(task, supcon_weight=1.0), Net(task)
    rows = range(3, 14)
    sample = task.batch(rows)
    labels = sample["annotations"]["contrast_label"].tolist()
    assert labels.count(-1) == 1
    assert sample["target"].isnan().any()
    loss, _, logged = step(criterion, model, sample)
    embedding = model(**sample["net_input"]).embedding.detach()
    expected = primary_only(criterion, model, sample).detach()
    expected = expected + len(rows) * slow_contrastive(embedding, labels, 0.07)
    torch.testing.assert_close(loss, expected)
    lone = sum(label >= 0 and labels.count(label) == 1 for label in labels)
    assert figures([logged], task)["no_positive"] == pytest.approx(lone / (len(rows) - 1))


def test_a_batch_of_lone_anchors_adds_nothing(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion, model, sample = supcon(task), Net(task), task.batch(range(4))  # one of each
    loss, _, logged = step(criterion, model, sample)
    torch.testing.assert_close(loss, primary_only(criterion, model, sample).detach())
    assert figures([logged], task)["no_positive"] == 1.0


def test_the_projection_head_stands_between_embedding_and_loss(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion = supcon(task, supcon_weight=1.0, supcon_projection_dim=3)
    model, sample = Net(task), task.batch(ROWS)
    loss, _, _ = step(criterion, model, sample)
    head = criterion.terms[0].projection
    projected = head(model(**sample["net_input"]).embedding).detach()
    assert projected.shape == (12, 3)
    expected = primary_only(criterion, model, sample).detach()
    expected = expected + 12 * slow_contrastive(projected, sample["target"].tolist(), 0.07)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_a_finite_loss_near_that_of_full_precision(
    dtype: torch.dtype, folder: Path
) -> None:
    task = Task(folder, make_rows(), auxiliary="vad,sentiment")
    options = {
        "supcon_weighting": "v2",
        "supcon_projection_dim": 4,
        "supcon_queue": 8,
        "prototype_learning": "trained",
        "auxiliary_weighting": "uncertainty",
        "speaker_adversary_weight": 0.5,
        "class_weighting": "inverse_frequency",
    }
    losses = []
    for precision in (torch.float64, dtype):
        criterion, model = supcon(task, **options).to(precision), Net(task).to(precision)
        task.state.embedding_queue.clear()
        criterion.terms[2].adversary.dropout.p = 0.0
        for rows in (range(8), range(8, 16)):
            sample = task.batch(rows)
            sample["net_input"] = {"source": sample["net_input"]["source"].to(precision)}
            loss, _, _ = step(criterion, model, sample)
        losses.append(float(loss))
        assert all(
            parameter.grad is not None and parameter.grad.isfinite().all()
            for parameter in [*model.parameters(), *criterion.parameters()]
        )
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


# -- the queue -------------------------------------------------------------------------------------


def test_the_queue_holds_the_newest_rows_first_and_no_graph(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion, model = supcon(task, supcon_weighting="v1", supcon_queue=7), Net(task)
    seen: list[int] = []
    for rows in ((0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10)):
        step(criterion, model, task.batch(rows))
        seen = [*rows, *seen][:7]
        embeddings, labels, difficulties = task.state.embedding_queue
        sample = task.batch(seen)
        embedding = model(**sample["net_input"]).embedding.detach()
        torch.testing.assert_close(embeddings, embedding)
        assert labels.tolist() == sample["target"].tolist()
        np.testing.assert_allclose(difficulties.numpy(), difficulties_of(task, seen), atol=1e-12)
        for kept in (embeddings, labels, difficulties):
            assert not kept.requires_grad
            assert kept.untyped_storage().nbytes() == kept.numel() * kept.element_size()
    assert len(seen) == 7


def test_a_batch_larger_than_the_queue_leaves_its_first_rows(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion = supcon(task, supcon_queue=2)
    step(criterion, Net(task), task.batch((4, 5, 6)))
    assert task.state.embedding_queue[1].tolist() == task.truth[[4, 5]].tolist()


@pytest.mark.parametrize("weighting", ["supervised", "v2"])
def test_rows_of_the_queue_are_positives_and_negatives_and_no_anchors(
    weighting: str, folder: Path
) -> None:
    task = Task(folder, make_rows())
    options = {"supcon_weighting": weighting, **OPTIONS[weighting]}
    criterion, model = supcon(task, supcon_weight=1.0, supcon_queue=20, **options), Net(task)
    earlier, now = range(4, 11), (0, 13, 14)  # row 0 is the only one of its class in the batch
    step(criterion, model, task.batch(earlier))
    sample = task.batch(now)
    loss, _, logged = step(criterion, model, sample)
    rows = [*now, *earlier]
    labels = [int(task.truth[row]) for row in rows]
    difficulties = difficulties_of(task, rows)
    assert not np.isnan(difficulties).any()
    u, w = zip(*map(WEIGHTINGS[weighting], difficulties), strict=True)
    embeddings = model(**task.batch(rows)["net_input"]).embedding.detach()
    contrastive = slow_contrastive(embeddings, labels, 0.07, u, w, n_anchors=len(now))
    expected = primary_only(criterion, model, sample).detach() + len(now) * contrastive
    torch.testing.assert_close(loss, expected)
    assert figures([logged], task)["no_positive"] == 0.0


def test_an_idle_rank_adds_no_row_to_the_queue(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion, model = supcon(task, supcon_queue=5), Net(task)
    step(criterion, model, task.batch((0, 1)))
    step(criterion, model, task.batch((2, 3), is_ignored=True))
    assert task.state.embedding_queue[1].tolist() == task.truth[[0, 1]].tolist()


# -- what is logged --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 12, 23])
def test_figures_are_means_over_utterances_at_any_number_of_batches(
    size: int, folder: Path
) -> None:
    task = Task(folder, make_rows())
    criterion = supcon(task, supcon_weighting="v1", prototype_alpha=3.0)
    model, n = Net(task), len(task.rows)
    batches = [range(start, min(n, start + size)) for start in range(0, n, size)]
    outputs = [step(criterion, model, task.batch(rows))[2] for rows in batches]
    found = figures(outputs, task)

    primary = sum(
        float(primary_only(criterion, model, task.batch(rows)).detach()) for rows in batches
    )
    assert found["primary_loss"] == pytest.approx(primary / n)
    assert found["difficulty"] == pytest.approx(np.nanmean(difficulties_of(task, range(n))))
    contrastive, lone, weights = 0.0, 0, []
    for rows in batches:
        sample = task.batch(rows)
        labels = sample["target"].tolist()
        paired = [labels.count(label) > 1 for label in labels]
        u = np.exp(-3.0 * difficulties_of(task, rows))
        embedding = model(**sample["net_input"]).embedding.detach()
        loss = slow_contrastive(embedding, labels, 0.07, filled(u.tolist(), paired))
        contrastive += len(rows) * float(loss)
        lone += paired.count(False)
        counted = u[paired & ~np.isnan(u)]
        weights += (counted / counted.mean()).tolist() if len(counted) else []
    assert found["contrastive_loss"] == pytest.approx(contrastive / n)
    assert found["no_positive"] == pytest.approx(lone / n)
    assert found["anchor_weight_spread"] == pytest.approx(np.std(weights))
    assert size > 5 or lone > 0


def test_without_prototypes_nothing_is_said_of_difficulty(tmp_path: Path) -> None:
    task = Task(write_rows(tmp_path, make_rows(), prototypes=False), make_rows())
    found = figures([step(supcon(task), Net(task), task.batch(ROWS))[2]], task)
    assert "contrastive_loss" in found
    assert not {"difficulty", "anchor_weight_spread"} & found.keys()


def test_what_is_logged_holds_no_graph_and_can_be_summed(folder: Path) -> None:
    task = Task(folder, make_rows(), auxiliary="vad,sentiment")
    options: dict[str, Any] = {"supcon_weighting": "v1", "speaker_adversary_weight": 0.1}
    criterion = supcon(task, **options, r_drop_weight=1.0)
    assert criterion.logging_outputs_can_be_summed()
    _, _, logged = step(criterion, Net(task), task.batch(ROWS))
    tensors = [value for value in logged.values() if torch.is_tensor(value)]
    assert len(tensors) > 8
    assert not any(value.requires_grad for value in tensors)
    assert all(torch.is_tensor(x) or isinstance(x, int) for x in logged.values())


def test_in_scoring_no_term_runs(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion, model = supcon(task, supcon_queue=4).eval(), Net(task).eval()
    sample = task.batch(ROWS)
    loss, _, logged = criterion(model, {**sample, "annotations": {}})
    torch.testing.assert_close(loss, primary_only(criterion, model, sample))
    assert not any("contrastive" in name for name in logged)
    assert task.state.embedding_queue == []
