"""Auxiliary targets: their losses, fixed or learned weights, missing truths, their figures."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from codes import raises
from term_cases import (
    Net,
    Task,
    figures,
    make_rows,
    plain,
    primary_only,
    step,
    write_rows,
)
from torch import Tensor

from emo_fairseq.criterions.terms.auxiliary import parse_weights
from emo_fairseq.training.learning_rates import weight_decay_scale

ROWS = range(14)
BOTH = "vad,sentiment"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("small"), make_rows(), prototypes=False)


def slow_losses(model: Net, sample: Any, n_axes: int = 3) -> tuple[list[Tensor], list[Tensor]]:
    """One a row that has a truth: squared errors of VAD, cross-entropies of sentiment."""
    output = model(**sample["net_input"])
    vad, sentiment = [], []
    for row, truth in enumerate(sample["annotations"]["vad"]):
        known = [axis for axis in range(n_axes) if not math.isnan(truth[axis])]
        if known:
            errors = [(output.auxiliary["vad"][row, axis] - truth[axis]) ** 2 for axis in known]
            vad.append(torch.stack(errors).sum() / n_axes)
    for row, label in enumerate(sample["annotations"]["sentiment"].tolist()):
        if label >= 0:
            logits = output.auxiliary["sentiment"][row : row + 1]
            sentiment.append(F.cross_entropy(logits, torch.tensor([label])))
    return vad, sentiment


@pytest.mark.parametrize("class_weighting", ["none", "inverse_frequency"])
def test_fixed_weights_multiply_means_over_utterances(class_weighting: str, folder: Path) -> None:
    task = Task(folder, make_rows(), auxiliary=BOTH)
    options = {"class_weighting": class_weighting, "auxiliary_weights": "vad=0.5, sentiment=2"}
    criterion, model, sample = plain(task, **options), Net(task), task.batch(ROWS)
    loss, _, logged = step(criterion, model, sample)
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    vad, sentiment = slow_losses(model, sample)
    assert len(vad) == len(ROWS) - 1
    assert len(sentiment) == len(ROWS) - 1

    model.zero_grad()
    weights = criterion.primary.weights(torch.from_numpy(task.truth))
    scale = 1.0 if weights is None else float(weights.double().mean())
    assert (scale == 1.0) == (class_weighting == "none")
    added = scale * (0.5 * torch.stack(vad).sum() + 2.0 * torch.stack(sentiment).sum())
    total = primary_only(criterion, model, sample) + added
    total.backward()
    torch.testing.assert_close(loss, total.detach(), rtol=1e-6, atol=0)
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-9, atol=1e-9)
    found = figures([logged], task)
    assert found["vad_loss"] == pytest.approx(float(torch.stack(vad).detach().mean()))
    assert found["sentiment_loss"] == pytest.approx(float(torch.stack(sentiment).detach().mean()))


@pytest.mark.parametrize(
    ("target", "options"),
    [("emotion", {}), ("emotion", {"class_weighting": "inverse_frequency"}), ("vad", {})],
)
def test_learned_weights_are_kendalls(target: str, options: dict[str, str], folder: Path) -> None:
    task = Task(folder, make_rows(), target, auxiliary="sentiment")
    criterion = plain(task, auxiliary_weighting="uncertainty", **options)
    model, sample = Net(task), task.batch(ROWS)
    s = criterion.terms[0].log_variances
    assert set(s) == {"primary", "sentiment"}
    with torch.no_grad():
        s["primary"].fill_(0.3)
        s["sentiment"].fill_(-0.4)
    loss, _, _ = step(criterion, model, sample)
    found = {name: float(parameter.grad) for name, parameter in s.items()}

    logits = model(**sample["net_input"]).logits
    primary = float(criterion.primary.losses(logits, sample["target"]).sum().detach())
    labels = sample["annotations"]["sentiment"]
    of_sentiment = F.cross_entropy(
        model(**sample["net_input"]).auxiliary["sentiment"],
        labels,
        ignore_index=-1,
        reduction="sum",
    ).item()
    factor = 0.5 if target == "vad" else 1.0
    weights = None if target == "vad" else criterion.primary.weights(torch.from_numpy(task.truth))
    scale = 1.0 if weights is None else float(weights.double().mean())
    n, n_known = len(ROWS), int((labels >= 0).sum())
    assert n_known < n
    expected = factor * math.exp(-0.3) * primary + scale * n * 0.3 / 2
    expected += scale * (math.exp(0.4) * of_sentiment - n_known * 0.4 / 2)
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert found["primary"] == pytest.approx(
        -factor * math.exp(-0.3) * primary + scale * n / 2, rel=1e-6
    )
    assert found["sentiment"] == pytest.approx(
        scale * (-math.exp(0.4) * of_sentiment + n_known / 2), rel=1e-6
    )


def test_learned_weights_begin_as_equal_ones_and_do_not_decay(folder: Path) -> None:
    task = Task(folder, make_rows(), auxiliary="sentiment")
    criterion, model, sample = plain(task), Net(task), task.batch(ROWS)
    fixed = step(criterion, model, sample)[0]
    learned = plain(task, auxiliary_weighting="uncertainty")
    torch.testing.assert_close(step(learned, model, sample)[0], fixed)
    assert all(weight_decay_scale(parameter) == 0.0 for parameter in learned.parameters())


def test_a_batch_without_any_truth_of_them_adds_nothing_and_has_no_figure(folder: Path) -> None:
    task = Task(folder, make_rows(), auxiliary=BOTH)
    criterion, model = plain(task, auxiliary_weighting="uncertainty"), Net(task)
    sample = task.batch(ROWS)
    sample["annotations"]["vad"].fill_(math.nan)
    sample["annotations"]["sentiment"].fill_(-1)
    loss, _, logged = step(criterion, model, sample)
    torch.testing.assert_close(loss, primary_only(criterion, model, sample).detach())
    s = criterion.terms[0].log_variances
    assert [float(s[name].grad) for name in ("vad", "sentiment")] == [0.0, 0.0]
    heads = model.auxiliary_heads.parameters()
    assert all(parameter.grad is not None and parameter.grad.eq(0).all() for parameter in heads)
    found = figures([logged], task)
    for name in ("vad_loss", "sentiment_loss", "ccc@vad", "uar@sentiment"):
        assert math.isnan(found[name]), name
    whole = figures([logged, step(criterion, model, task.batch(ROWS))[2]], task)
    assert math.isfinite(whole["ccc@vad"])
    assert math.isfinite(whole["uar@sentiment"])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [1, 6, 23])
def test_their_metrics_are_right_in_training_and_scoring_at_any_batch_size(
    size: int, training: bool, folder: Path
) -> None:
    task = Task(folder, make_rows(), auxiliary=BOTH)
    criterion, model, n = plain(task).train(training), Net(task), len(task.rows)
    with torch.no_grad():
        outputs = [
            criterion(model, task.batch(range(start, min(n, start + size))))[2]
            for start in range(0, n, size)
        ]
        values = model(**task.batch(range(n))["net_input"]).auxiliary
    found = figures(outputs, task)

    truth = task.batch(range(n))["annotations"]
    x, y = values["vad"].numpy(), truth["vad"].numpy()
    for axis, name in enumerate(("valence", "arousal", "dominance")):
        known = ~np.isnan(y[:, axis])
        a, b = x[known, axis], y[known, axis]
        spread = a.var() + b.var() + (a.mean() - b.mean()) ** 2
        expected = 2 * ((a - a.mean()) * (b - b.mean())).mean() / spread
        assert found[f"ccc_{name}@vad"] == pytest.approx(expected)
    labels, predicted = truth["sentiment"], values["sentiment"].argmax(dim=1)
    recalls = [float((predicted[labels == k] == k).double().mean()) for k in (0, 1)]
    assert found["uar@sentiment"] == pytest.approx(np.mean(recalls))
    assert found["uar"] != found["uar@sentiment"]


def test_numbers_have_labels_beside_them(folder: Path) -> None:
    task = Task(folder, make_rows(), target="vad", auxiliary="emotion")
    criterion, model, sample = plain(task), Net(task), task.batch(ROWS)
    loss, _, logged = step(criterion, model, sample)
    labels = sample["annotations"]["emotion"]
    assert labels.tolist().count(-1) == 1
    logits = model(**sample["net_input"]).auxiliary["emotion"].detach()
    added = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    torch.testing.assert_close(loss, primary_only(criterion, model, sample).detach() + added)
    assert {"ccc", "uar@emotion"} <= figures([logged], task).keys()


# -- refusals --------------------------------------------------------------------------------------


def test_weights_are_read_by_name() -> None:
    targets = {"vad": None, "sentiment": None}
    assert parse_weights(None, targets) == {"vad": 1.0, "sentiment": 1.0}
    assert parse_weights(" vad = 0.5 ,", targets) == {"vad": 0.5, "sentiment": 1.0}


@pytest.mark.parametrize(
    "text", ["vad", "vad=", "vad=0", "vad=-1", "vad=nan", "vad=inf", "emotion=1", "=1", "1"]
)
def test_weights_that_are_none_are_refused(text: str) -> None:
    with raises("option-malformed"):
        parse_weights(text, {"vad": None, "sentiment": None})


def test_a_target_that_no_row_has_is_refused(folder: Path) -> None:
    task = Task(folder, make_rows(), auxiliary="sentiment_score")
    with raises("column-empty"):
        plain(task)
