"""R-Drop and mixup: what stands in the place of the plain primary loss."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from term_cases import Net, Task, figures, make_rows, plain, primary_only, step, write_rows
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.models.roberta_emo import EmotionOutput

ROWS = range(12)
TARGETS = ("emotion", "binary_emotion", "vad")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("small"), make_rows(), prototypes=False)


class TwoPasses(Net):
    """Remembers what it said."""

    def __init__(self, task: Task, dropout: float) -> None:
        super().__init__(task, dropout)
        self.said: list[Tensor] = []

    def forward(self, source: Tensor) -> EmotionOutput:
        output = super().forward(source)
        self.said.append(output.logits)
        return output


def slow_divergence(one: Tensor, other: Tensor) -> Tensor:
    """1/2 KL(p || q) + 1/2 KL(q || p), summed over rows, by torch's own."""
    p, q = one.log_softmax(dim=-1), other.log_softmax(dim=-1)
    divergences = [F.kl_div(a, b, log_target=True, reduction="sum") for a, b in ((p, q), (q, p))]
    return 0.5 * (divergences[0] + divergences[1])


def slow_disagreement(target: str, one: Tensor, other: Tensor) -> Tensor:
    if target == "vad":
        return (one - other).square().mean(dim=1).sum()
    if target == "binary_emotion":
        return slow_divergence(one.reshape(-1, 2), other.reshape(-1, 2))
    return slow_divergence(one, other)


@pytest.mark.parametrize("target", TARGETS)
def test_r_drop_is_the_mean_of_two_passes_and_their_disagreement(target: str, folder: Path) -> None:
    task = Task(folder, make_rows(), target)
    criterion, model, sample = (
        plain(task, r_drop_weight=3.0),
        TwoPasses(task, 0.4),
        task.batch(ROWS),
    )
    loss, _, logged = step(criterion, model, sample)
    one, other = model.said
    assert not torch.equal(one, other)
    both = [criterion.primary.losses(logits, sample["target"]).sum() for logits in (one, other)]
    disagreement = slow_disagreement(target, one, other)
    expected = 0.5 * (both[0] + both[1]) + 3.0 * disagreement
    torch.testing.assert_close(loss, expected.detach())
    found = figures([logged], task)
    assert found["r_drop_loss"] == pytest.approx(disagreement.item() / len(ROWS))


def test_both_passes_of_r_drop_have_gradients(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion, model = plain(task, r_drop_weight=3.0), TwoPasses(task, 0.4)
    loss, _, _ = criterion(model, task.batch(ROWS))
    gradients = torch.autograd.grad(loss, model.said)
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_r_drop_without_dropout_changes_nothing(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion, model, sample = plain(task, r_drop_weight=3.0), Net(task), task.batch(ROWS)
    loss, _, _ = step(criterion, model, sample)
    torch.testing.assert_close(loss, primary_only(criterion, model, sample).detach())


def test_class_weights_leave_r_drops_weight_what_it_is(folder: Path) -> None:
    task = Task(folder, make_rows())
    options: dict[str, Any] = {"class_weighting": "inverse_frequency"}
    criterion, model = plain(task, r_drop_weight=3.0, **options), TwoPasses(task, 0.4)
    sample = task.batch(range(len(task.rows)))
    loss, sample_size, _ = step(criterion, model, sample)
    weights = criterion.primary.class_weights.double()
    means = [F.cross_entropy(logits, sample["target"], weight=weights) for logits in model.said]
    mean_disagreement = slow_divergence(*model.said) / len(task.rows)
    expected = 0.5 * (means[0] + means[1]) + 3.0 * mean_disagreement
    torch.testing.assert_close(loss / sample_size, expected.detach(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("target", TARGETS)
def test_mixup_puts_the_loss_of_mixed_embeddings_in_the_place_of_the_plain_one(
    target: str, folder: Path
) -> None:
    task = Task(folder, make_rows(), target)
    criterion, model, sample = plain(task, mixup_alpha=0.8), Net(task), task.batch(ROWS)
    torch.manual_seed(2)
    loss, _, logged = step(criterion, model, sample)
    gradients = [parameter.grad.clone() for parameter in model.parameters()]

    torch.manual_seed(2)
    mix = losses.draw_mix(len(ROWS), 0.8)
    assert 0.02 < mix.share < 0.98
    embedding, truth = model(**sample["net_input"]).embedding, sample["target"]
    mixed = torch.stack(
        [
            mix.share * embedding[row] + (1 - mix.share) * embedding[partner]
            for row, partner in enumerate(mix.partners.tolist())
        ]
    )
    logits = model.head(mixed)
    total = mix.share * criterion.primary.losses(logits, truth).sum()
    total = total + (1 - mix.share) * criterion.primary.losses(logits, truth[mix.partners]).sum()
    model.zero_grad()
    total.backward()
    torch.testing.assert_close(loss, total.detach())
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)
    found = figures([logged], task)
    assert found["mixup_loss"] == pytest.approx(total.item() / len(ROWS))
    plain_loss = primary_only(criterion, model, sample).item() / len(ROWS)
    assert found["primary_loss"] == pytest.approx(plain_loss)


def test_mixup_leaves_the_other_terms_alone(folder: Path) -> None:
    task = Task(folder, make_rows(), auxiliary="sentiment")
    model, sample = Net(task), task.batch(ROWS)

    def loss_of(task: Task, **options: float) -> Tensor:
        torch.manual_seed(2)
        return step(plain(task, seed=2, **options), model, sample)[0]

    without = Task(folder, make_rows())
    auxiliary = loss_of(task) - loss_of(without)
    mixed = loss_of(without, mixup_alpha=0.8)
    assert abs(float(auxiliary)) > 0.1
    torch.testing.assert_close(loss_of(task, mixup_alpha=0.8), mixed + auxiliary)
