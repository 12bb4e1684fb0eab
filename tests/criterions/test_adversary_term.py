"""Adversaries: whose gradient is turned round, unknown groups, the rise of the reversal."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from codes import raises
from term_cases import Net, Task, figures, make_rows, plain, primary_only, step, write_rows

from emo_fairseq.targets import LabeledTarget, auxiliary_targets

ROWS = range(12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("small"), make_rows(), prototypes=False)


@pytest.mark.parametrize("class_weighting", ["none", "inverse_frequency"])
def test_the_embedding_unlearns_what_the_adversary_learns(
    class_weighting: str, folder: Path
) -> None:
    task = Task(folder, make_rows())
    options = {"speaker_adversary_weight": 0.3, "class_weighting": class_weighting}
    criterion, model, sample = plain(task, **options), Net(task), task.batch(ROWS)
    adversary = criterion.terms[0].adversary
    adversary.dropout.p = 0.0
    loss, _, logged = step(criterion, model, sample)
    found = [parameter.grad.clone() for parameter in [*model.parameters(), *adversary.parameters()]]

    speakers = sample["annotations"]["speaker"]
    assert speakers.tolist().count(-1) == 1  # the divisor of a mean over utterances stays
    embedding = model(**sample["net_input"]).embedding
    hidden = F.relu(adversary.hidden(embedding))
    logits = adversary.out_proj(hidden)
    cross_entropy = F.cross_entropy(logits, speakers, ignore_index=-1, reduction="sum")
    weights = criterion.primary.weights(torch.from_numpy(task.truth))
    scale = 0.3 * (1.0 if weights is None else float(weights.double().mean()))
    primary = primary_only(criterion, model, sample)
    torch.testing.assert_close(loss, (primary + scale * cross_entropy).detach(), rtol=1e-6, atol=0)
    of_model = torch.autograd.grad(
        primary - scale * cross_entropy, list(model.parameters()), retain_graph=True
    )
    of_adversary = torch.autograd.grad(scale * cross_entropy, list(adversary.parameters()))
    assert of_adversary[0].abs().max() > 0
    for gradient, expected in zip(found, [*of_model, *of_adversary], strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)
    n_known = int((speakers >= 0).sum())
    right = int((logits.argmax(dim=1) == speakers).sum())
    logged_figures = figures([logged], task)
    assert logged_figures["speaker_adversary_accuracy"] == pytest.approx(right / n_known)
    assert logged_figures["speaker_adversary_loss"] == pytest.approx(cross_entropy.item() / n_known)


def test_an_auxiliary_target_of_the_column_keeps_its_order_of_labels(folder: Path) -> None:
    """corpus.yaml may name the speakers in any order; the head of the target has that one."""
    task = Task(folder, make_rows())
    (target,) = auxiliary_targets("speaker", task.target)
    speakers = LabeledTarget(target, ["speaker2", "speaker0", "speaker1"])
    task.auxiliary = {"speaker": speakers}
    criterion, sample = plain(task, speaker_adversary_weight=0.3), task.batch(ROWS)
    ids = sample["annotations"]["speaker"].tolist()
    names = [row.speaker for row in task.rows[: len(ROWS)]]
    assert [None if i < 0 else speakers.labels[i] for i in ids] == names
    logged = figures([step(criterion, Net(task), sample)[2]], task)
    assert logged["speaker_loss"] != logged["speaker_adversary_loss"]  # of the head, and its own


def test_the_reversal_grows_in_the_warm_up_while_the_adversary_learns(folder: Path) -> None:
    task = Task(folder, make_rows())
    options = {"corpus_adversary_weight": 1.0, "adversary_warmup_updates": 8}
    criterion, model = plain(task, **options), Net(task)
    adversary = criterion.terms[0].adversary
    adversary.dropout.p = 0.0
    primary = torch.autograd.grad(
        primary_only(criterion, model, task.batch(ROWS)), [model.embedding.weight]
    )[0]
    reversed_parts, own = [], []
    for update in (0, 2, 8, 20):
        step(criterion, model, task.batch(ROWS, update=update))
        reversed_parts.append(model.embedding.weight.grad - primary)
        own.append(adversary.hidden.weight.grad.clone())
    assert reversed_parts[0].abs().max() < 1e-12
    scales = [2 / (1 + math.exp(-10 * progress)) - 1 for progress in (0.25, 1.0, 1.0)]
    for part, scale in zip(reversed_parts[1:], scales, strict=True):
        torch.testing.assert_close(part / scale, reversed_parts[2] / scales[1])
    assert all(torch.equal(gradient, own[0]) for gradient in own)
    assert own[0].abs().max() > 0


def test_without_a_warm_up_the_reversal_is_whole_from_the_start(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion = plain(task, speaker_adversary_weight=1.0)
    step(criterion, Net(task), task.batch(ROWS))
    assert criterion.terms[0].adversary.reversal.scale == 1.0


def test_a_batch_of_unknown_speakers_adds_nothing(folder: Path) -> None:
    task = Task(folder, make_rows())
    criterion, model = plain(task, speaker_adversary_weight=1.0), Net(task)
    sample = task.batch(ROWS)
    sample["annotations"]["speaker"].fill_(-1)
    loss, _, logged = step(criterion, model, sample)
    torch.testing.assert_close(loss, primary_only(criterion, model, sample).detach())
    assert all(parameter.grad.eq(0).all() for parameter in criterion.parameters())
    assert math.isnan(figures([logged], task)["speaker_adversary_accuracy"])


def test_both_adversaries_have_classifiers_of_their_own(folder: Path) -> None:
    task = Task(folder, make_rows())
    options = {"speaker_adversary_weight": 0.3, "corpus_adversary_weight": 0.1}
    criterion = plain(task, **options)
    widths = {term.column: term.adversary.out_proj.out_features for term in criterion.terms}
    assert widths == {"speaker": 3, "corpus": 2}


@pytest.mark.parametrize(("names", "count"), [((None,), 0), (("one",), 1)])
def test_fewer_than_two_groups_are_refused(
    names: tuple[str | None], count: int, folder: Path
) -> None:
    rows = [replace(row, corpus=names[0]) for row in make_rows()]
    with raises("groups-too-few") as error:
        plain(Task(folder, rows), corpus_adversary_weight=1.0)
    assert f"names {count} in the column corpus" in str(error.value)


def test_groups_that_corpus_yaml_alone_names_are_not_counted(folder: Path) -> None:
    """An adversary of one group would learn nothing: it is refused beside an auxiliary target."""
    task = Task(folder, [replace(row, speaker="speaker0") for row in make_rows()])
    (target,) = auxiliary_targets("speaker", task.target)
    task.auxiliary = {"speaker": LabeledTarget(target, ["speaker0", "speaker1"])}
    with raises("groups-too-few") as error:
        plain(task, speaker_adversary_weight=0.3)
    assert "names 1 in the column speaker" in str(error.value)
