"""Distillation: the distance to a teacher, rows that it does not know, and what is refused."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from codes import raises
from term_cases import (
    EMBEDDING_DIM,
    LABELS,
    Net,
    Task,
    figures,
    make_rows,
    primary_only,
    step,
    write_rows,
)
from torch import Tensor

from emo_fairseq.criterions.registered import (
    EmotionDistillationConfig,
    EmotionDistillationCriterion,
)
from emo_fairseq.evaluation import predictions

ROWS = range(12)
UNKNOWN = ("utt02", "utt10")  # to the teacher


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("small"), make_rows(), prototypes=False)


def probabilities_of(name: str) -> np.ndarray:
    rng = np.random.default_rng(sum(map(ord, name)))
    return rng.dirichlet(np.full(len(LABELS), 0.7))


def write_teacher(path: Path, target: str = "emotion", ids: Sequence[str] = ()) -> str:
    """What fairseq-validate --save-predictions writes."""
    rows: list[Mapping[str, Any]] = []
    for name in ids or [f"utt{number:02d}" for number in range(24)]:
        if name in UNKNOWN:
            continue
        if target == "emotion":
            columns = [f"probability_{label}" for label in LABELS]
            answers = dict(zip(columns, probabilities_of(name), strict=True))
            row = {"id": name, "split": "train", "truth": "sad", "prediction": "sad", **answers}
        else:
            columns = ["prediction_valence", "prediction_arousal", "prediction_dominance"]
            answers = dict(zip(columns, probabilities_of(name)[:3], strict=True))
            row = {"id": name, "split": "train", **answers}
        rows.append(row)
    predictions.write(path, rows)
    return str(path)


def distillation(task: Task, **options: Any) -> EmotionDistillationCriterion:
    torch.manual_seed(5)
    config = EmotionDistillationConfig(**options)
    return EmotionDistillationCriterion(config, task).double().train()


def correlation(x: Tensor, y: Tensor) -> Tensor:
    return torch.corrcoef(torch.stack([x, y]))[0, 1]


def slow_distances(method: str, logits: Tensor, names: Sequence[str], t: float) -> list[Tensor]:
    """Of each row that the teacher knows; DIST's relation between utterances counts in each."""
    known = [row for row, name in enumerate(names) if name not in UNKNOWN]
    # The file has nine digits.
    p = torch.stack([torch.from_numpy(probabilities_of(names[row])) for row in known])
    p, q = (p.log() / t).softmax(dim=1), (logits[known] / t).softmax(dim=1)
    if method == "kd":
        return list(t * t * F.kl_div(q.log(), p, reduction="none").sum(dim=1))
    inter = [1 - correlation(*pair) for pair in zip(p, q, strict=True)]
    intra = torch.stack([1 - correlation(*pair) for pair in zip(p.T, q.T, strict=True)]).mean()
    return [t * t * (one + 0.5 * intra) for one in inter]


@pytest.mark.parametrize("class_weighting", ["none", "inverse_frequency"])
@pytest.mark.parametrize("method", ["kd", "dist"])
def test_the_distance_to_the_teacher_is_added_and_missing_rows_add_nothing(
    method: str, class_weighting: str, folder: Path, tmp_path: Path
) -> None:
    task = Task(folder, make_rows())
    options: dict[str, Any] = {
        "distillation": method,
        "distillation_weight": 0.6,
        "distillation_temperature": 3.0,
        **({"dist_intra_weight": 0.5} if method == "dist" else {}),
        "class_weighting": class_weighting,
    }
    teacher = write_teacher(tmp_path / "p.tsv")
    criterion = distillation(task, teacher_predictions=teacher, **options)
    model, sample = Net(task), task.batch(ROWS)
    loss, _, logged = step(criterion, model, sample)
    gradients = [parameter.grad.clone() for parameter in model.parameters()]

    model.zero_grad()
    logits = model(**sample["net_input"]).logits
    distances = slow_distances(method, logits, sample["utterance_id"], 3.0)
    assert len(distances) == len(ROWS) - len(UNKNOWN)
    weights = criterion.primary.weights(torch.from_numpy(task.truth))
    scale = 1.0 if weights is None else float(weights.double().mean())
    total = primary_only(criterion, model, sample) + 0.6 * scale * torch.stack(distances).sum()
    total.backward()
    torch.testing.assert_close(loss, total.detach(), rtol=1e-6, atol=0)
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-6, atol=1e-8)
    found = figures([logged], task)
    assert found["distillation_loss"] == pytest.approx(torch.stack(distances).mean().item())


def test_numbers_are_drawn_together_by_their_squared_error(folder: Path, tmp_path: Path) -> None:
    task = Task(folder, make_rows(), target="vad")
    teacher = write_teacher(tmp_path / "p.tsv", "vad")
    criterion = distillation(task, teacher_predictions=teacher, distillation_weight=0.6)
    model, sample = Net(task), task.batch(ROWS)
    loss, _, logged = step(criterion, model, sample)
    logits, names = model(**sample["net_input"]).logits.detach(), sample["utterance_id"]
    errors = [
        (logits[row] - torch.from_numpy(probabilities_of(name)[:3])).square().mean()
        for row, name in enumerate(names)
        if name not in UNKNOWN
    ]
    expected = primary_only(criterion, model, sample).detach() + 0.6 * torch.stack(errors).sum()
    torch.testing.assert_close(loss, expected, rtol=1e-7, atol=0)
    assert len(errors) == len(ROWS) - 2
    found = figures([logged], task)
    assert found["distillation_loss"] == pytest.approx(torch.stack(errors).mean().item())


def test_a_batch_that_the_teacher_does_not_know_adds_nothing(folder: Path, tmp_path: Path) -> None:
    task = Task(folder, make_rows())
    teacher = write_teacher(tmp_path / "p.tsv")
    for method in ("kd", "dist"):
        criterion = distillation(task, teacher_predictions=teacher, distillation=method)
        model, sample = Net(task), task.batch([2])
        assert sample["utterance_id"] == ["utt02"]
        loss, _, logged = step(criterion, model, sample)
        torch.testing.assert_close(loss, primary_only(criterion, model, sample).detach())
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
        assert math.isnan(figures([logged], task)["distillation_loss"])


def test_a_teacher_of_half_precision_is_one_of_full(folder: Path, tmp_path: Path) -> None:
    """fairseq halves what is float32 in a batch: the teacher's answers are not."""
    task = Task(folder, make_rows())
    criterion = distillation(task, teacher_predictions=write_teacher(tmp_path / "p.tsv"))
    sample = task.batch(ROWS)
    assert sample["annotations"]["teacher"].dtype == torch.float64
    model = Net(task).half()
    sample["net_input"] = {"source": sample["net_input"]["source"].half()}
    loss, _, _ = step(criterion, model, sample)
    assert loss.isfinite()
    assert model.head.weight.shape == (len(LABELS), EMBEDDING_DIM)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "options", "code"),
    [
        ("emotion", {"teacher_predictions": None}, "teacher-not-single"),
        ("emotion", {"teacher_checkpoint": "c.pt"}, "teacher-not-single"),
        ("vad", {"distillation": "dist"}, "distillation-unsupported"),
        ("sentiment", {"distillation": "dist"}, "distillation-unsupported"),
        ("binary_emotion", {}, "distillation-unsupported"),
    ],
)
def test_options_that_cannot_be_or_do_nothing_are_refused(
    target: str, options: dict[str, Any], code: str, folder: Path, tmp_path: Path
) -> None:
    teacher = write_teacher(tmp_path / "p.tsv", target)
    with raises(code):
        distillation(
            Task(folder, make_rows(), target), **{"teacher_predictions": teacher, **options}
        )
