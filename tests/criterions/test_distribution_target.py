"""The target emotion_distribution: its loss, its terms, and rows without a majority label."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from codes import raises
from criterion_cases import LABELS, classification, run
from term_cases import Net, Task, figures, make_rows, plain, step, supcon, write_rows
from torch import Tensor

from data_prep.schema import Utterance
from emo_fairseq.criterions.registered import EmotionClassificationConfig
from emo_fairseq.criterions.scoring import Scorer
from emo_fairseq.metrics import shares
from emo_fairseq.options.checking import check_options
from emo_fairseq.options.conditions import OptionContext
from emo_fairseq.targets import TARGETS
from emo_fairseq.tasks.config import EmotionPredictionConfig

TARGET = "emotion_distribution"


def packed(majority: list[int], of_labels: list[list[float]]) -> Tensor:
    first = torch.tensor(majority, dtype=torch.float64)[:, None]
    return torch.cat([first, torch.tensor(of_labels, dtype=torch.float64)], dim=1)


def voted_rows() -> list[Utterance]:
    """Three votes for the emotion and one beside it; row 9 is a tie, row 2 is mostly other."""
    rows = make_rows()
    names = ("neutral", "happy", "sad", "angry")
    voted = []
    for row in rows:
        label = row.emotion or "sad"
        beside = names[(names.index(label) + 1) % 4]
        votes = f"{label}:2 {beside}:2" if row.emotion is None else f"{label}:3 {beside}:1"
        voted.append(replace(row, votes=votes))
    voted[2] = replace(rows[2], emotion=None, votes="other:3 sad:1")
    return voted


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("small"), make_rows())


@pytest.mark.parametrize(
    "options",
    [{}, {"class_weighting": "inverse_frequency"}, {"label_smoothing": 0.2}],
)
def test_one_vote_each_is_the_loss_of_labels(options: dict[str, Any]) -> None:
    logits = torch.randn(6, 4)
    labels = torch.randint(0, 4, (6,))
    truth = packed(labels.tolist(), F.one_hot(labels, 4).tolist())
    soft = run(classification(TARGET, **options), logits, truth)
    hard = run(classification("emotion", **options), logits, labels)
    torch.testing.assert_close(soft[0], hard[0])
    torch.testing.assert_close(torch.as_tensor(soft[1]).float(), torch.as_tensor(hard[1]).float())
    torch.testing.assert_close(soft[2]["_confusion"], hard[2]["_confusion"])


def test_class_weights_weigh_a_row_by_its_votes() -> None:
    criterion = classification(TARGET, class_weighting="inverse_frequency")
    weights = criterion.primary.class_weights
    truth = packed([0], [[0.5, 0.25, 0.25, 0.0]])
    expected = 0.5 * weights[0] + 0.25 * weights[1] + 0.25 * weights[2]
    torch.testing.assert_close(criterion.primary.weights(truth), expected[None])


def test_kl_leaves_out_the_entropy_of_the_votes() -> None:
    logits, truth = torch.randn(2, 4), packed([0, -1], [[0.75, 0.25, 0, 0], [0.5, 0.5, 0, 0]])
    both = [
        run(classification(TARGET, distribution_loss=loss), logits, truth)[0]
        for loss in ("cross_entropy", "kl")
    ]
    entropy = -torch.xlogy(shares(truth), shares(truth)).sum()
    torch.testing.assert_close((both[0] - both[1]).double(), entropy, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("target", "options"),
    [(TARGET, {"focal_gamma": 2.0}), ("emotion", {"distribution_loss": "kl"})],
)
def test_options_without_effect_are_refused(target: str, options: dict[str, Any]) -> None:
    cfg = EmotionClassificationConfig(**options)
    context = OptionContext({}, EmotionPredictionConfig(), TARGETS[target], criterion=cfg)
    with raises("option-idle"):
        check_options(context, cfg, EmotionClassificationConfig)


def test_metrics_of_labels_are_of_rows_with_a_majority_and_those_of_votes_of_all() -> None:
    truth = packed([0, 1, -1], [[1, 0, 0, 0], [0.4, 0.6, 0, 0], [0.5, 0.5, 0, 0]])
    logits = torch.tensor([[5.0, 0, 0, 0], [5.0, 0, 0, 0], [0.0, 0, 9.0, 0]])
    statistics = Scorer(TARGETS[TARGET], LABELS).statistics(truth, logits)
    assert statistics["_confusion"].sum() == 2
    assert statistics["_of_votes"][0] == 3
    rows = list(Scorer(TARGETS[TARGET], LABELS).prediction_rows(truth, logits))
    assert [row["truth"] for row in rows] == ["neutral", "sad", ""]
    assert rows[1]["votes_sad"] == pytest.approx(0.6)
    assert rows[2]["prediction"] == "angry"


def test_supcon_contrasts_the_rows_with_a_majority_label(folder: Path) -> None:
    rows = voted_rows()
    task = Task(folder, rows, TARGET)
    everything = range(len(task.rows))
    criterion, model = supcon(task, supcon_weight=0.5), Net(task)
    _, _, logged = step(criterion, model, task.batch(everything))
    # The same classes as those of --target emotion, whose rows have no -1 among them.
    other = Task(folder, rows, "emotion")
    of_labels = step(
        supcon(other, supcon_weight=0.5), Net(other), other.batch(range(len(other.rows)))
    )
    assert len(other.rows) == len(task.rows) - 2
    assert logged["_mean_no_positive"][1] == of_labels[2]["_mean_no_positive"][1] == len(other.rows)


@pytest.mark.parametrize("options", [{"r_drop_weight": 1.0}, {"mixup_alpha": 0.5}])
def test_terms_train_on_votes(folder: Path, options: dict[str, Any]) -> None:
    task = Task(folder, voted_rows(), TARGET)
    criterion, model = plain(task, **options), Net(task, dropout=0.3)
    loss, _, logged = step(criterion, model, task.batch(range(12)))
    assert torch.isfinite(loss)
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())
    assert figures([logged], task)["n_agreed"] == 10


def test_class_weights_by_difficulty_are_those_of_the_majority_labels(folder: Path) -> None:
    task = Task(folder, voted_rows(), TARGET)
    criterion = plain(task, class_weighting="difficulty")
    loss, sample_size, _ = step(criterion, Net(task), task.batch(range(12)))
    assert loss > 0
    weights = criterion.primary.class_weights.double()
    of_votes = shares(task.batch(range(12))["target"]) @ weights
    assert float(sample_size) == pytest.approx(float(of_votes.sum()))
