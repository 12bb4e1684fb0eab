"""Ensembles of predictions, against plain computations and on made-up members."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from codes import raises
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_val_score

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import Speakers, differences, estimates
from emo_fairseq.evaluation.ensembles import (
    COMBINATIONS,
    Stacking,
    align_members,
    combine,
    mean,
    vote,
)
from emo_fairseq.evaluation.statistics import LabelPredictions, NumberPredictions, select

NAMES = ("sad", "happy", "angry")


def _labels(truth: torch.Tensor, logits: torch.Tensor, names=NAMES) -> LabelPredictions:
    probability = logits.double().softmax(dim=1).numpy()
    ids = tuple(f"u{row}" for row in range(len(truth)))
    return LabelPredictions(ids, names, truth.numpy(), probability.argmax(axis=1), probability)


@pytest.fixture
def members() -> list[LabelPredictions]:
    """Two noisy models, each of which cannot tell one pair of labels apart."""
    generator = torch.Generator().manual_seed(3)
    truth = torch.arange(300) % 3
    one_hot = torch.nn.functional.one_hot(truth, 3).float()
    noise = [torch.randn(300, 3, generator=generator) for _ in range(2)]
    first = one_hot @ torch.tensor([[3.0, 0, 0], [0, 1.5, 1.5], [0, 1.5, 1.5]]) + noise[0]
    second = one_hot @ torch.tensor([[1.5, 1.5, 0], [1.5, 1.5, 0], [0, 0, 3.0]]) + noise[1]
    return [_labels(truth, first), _labels(truth, second)]


def test_vote_equals_a_count_in_a_loop():
    scores = np.random.default_rng(0).dirichlet(np.ones(3), (5, 40))
    votes = vote(scores)
    assert votes.sum(axis=1) == pytest.approx(np.ones(40))
    for row in range(40):
        counts = [int((scores[:, row].argmax(axis=1) == k).sum()) for k in range(3)]
        tied = [k for k in range(3) if counts[k] == max(counts)]
        expected = max(tied, key=lambda k: float(scores[:, row, k].mean()))
        assert int(votes[row].argmax()) == expected


def test_an_ensemble_of_complementary_models_is_better_than_either(members):
    alone = [member.statistics().metrics()["uar"] for member in members]
    assert combine(members, mean).statistics().metrics()["uar"] > max(alone) + 0.1


def test_an_ensemble_of_one_model_is_that_model(members):
    for name in ("mean", "vote"):
        combined = combine(members[:1], COMBINATIONS[name])
        assert combined.prediction.tolist() == members[0].prediction.tolist()
    assert combine(members[:1], mean).probability == pytest.approx(members[0].probability)


def test_questions_and_a_choice_do_not_combine(members):
    """The mean of yes/no probabilities and of a softmax would be neither."""
    questions = replace(members[1], probability=members[1].probability.clip(max=0.7))
    for pair in ([members[0], questions], [questions, members[0]]):
        with raises("combine-targets-differ"):
            align_members(dict(zip("ab", pair, strict=True)))


def test_stacking_learns_which_model_to_trust(members):
    """A third model that is noise costs the mean, and not the stacking."""
    truth = torch.from_numpy(members[0].truth)
    generator = torch.Generator().manual_seed(4)
    noise = _labels(truth, 4 * torch.randn(300, 3, generator=generator))
    everyone = [*members, noise]
    dev, test = (
        [select(member, range(first, 300, 2)) for member in everyone] for first in range(2)
    )
    stacked = combine(test, Stacking.fit(dev)).statistics().metrics()
    averaged = combine(test, mean).statistics().metrics()
    assert stacked["uar"] > averaged["uar"] + 0.05
    assert stacked["nll"] < averaged["nll"]


def test_stacking_does_not_predict_a_label_that_it_never_saw(members):
    rows = np.flatnonzero(members[0].truth != 2).tolist()
    stacking = Stacking.fit([select(member, rows) for member in members])
    combined = combine(members, stacking)
    assert combined.probability[:, 2].max() == 0.0
    assert combined.probability.sum(axis=1) == pytest.approx(np.ones(300))


def test_stacking_keeps_speakers_apart_in_cross_validation(members):
    speakers = [f"s{row % 10}" for row in range(300)]
    stacking = Stacking.fit(members, speakers)
    assert stacking.weight.shape == (3, 6)
    assert combine(members, stacking).statistics().metrics()["uar"] > 0.7


def test_stacking_keeps_few_speakers_apart_too():
    """Four, who are fewer than the parts that the rows are divided into without them."""
    rng = np.random.default_rng(1)
    speaker = np.repeat(np.arange(4), 10)
    truth, ids = speaker // 2, tuple(map(str, range(40)))
    members = []
    for _ in range(3):  # models that tell speakers, and know no label
        share = np.clip(rng.uniform(0.2, 0.8, 4)[speaker] + 0.01 * rng.normal(size=40), 0, 1)
        probability = np.column_stack([share, 1 - share])
        members.append(
            LabelPredictions(ids, ("a", "b"), truth, probability.argmax(axis=1), probability)
        )
    apart = Stacking.fit(members, [f"s{n}" for n in speaker])
    for groups in (None, ["the same"] * 40):
        alone = Stacking.fit(members, groups)
        assert abs(alone.weight).max() > 10 * abs(apart.weight).max()


def test_balanced_stacking_gains_recall_of_the_rare_label_for_accuracy():
    """Two models whose probabilities overlap, and a label in a tenth of the rows."""
    generator = torch.Generator().manual_seed(0)
    truth = (torch.arange(2000) % 10 == 0).long()
    members = []
    for _ in range(2):
        logit = 1.5 * truth - 0.75 + torch.randn(2000, generator=generator)
        probability = torch.stack([-logit, logit], dim=1).double().softmax(dim=1).numpy()
        ids = tuple(map(str, range(2000)))
        predicted = probability.argmax(axis=1)
        members.append(LabelPredictions(ids, ("a", "b"), truth.numpy(), predicted, probability))
    plain, balanced = (
        combine(members, Stacking.fit(members, balanced=flag)).statistics().metrics()
        for flag in (False, True)
    )
    assert balanced["uar"] > plain["uar"] + 0.05
    assert plain["wa"] > balanced["wa"]


def test_numbers_cannot_be_balanced():
    numbers = NumberPredictions(("u",) * 9, ("valence",), np.zeros((9, 1)), np.ones((9, 1)))
    with raises("option-idle"):
        Stacking.fit([numbers, numbers], balanced=True)


def test_stacking_of_numbers_equals_least_squares_where_there_are_many_rows():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(2000, 1, generator=generator, dtype=torch.float64).numpy()
    noise = torch.randn(2, 2000, 1, generator=generator, dtype=torch.float64).numpy()
    ids = tuple(map(str, range(2000)))
    members = [
        NumberPredictions(ids, ("valence",), truth, truth + noise[0]),
        NumberPredictions(ids, ("valence",), truth, truth + 2 * noise[1]),
    ]
    stacking = Stacking.fit(members)
    design = np.column_stack([*(m.prediction[:, 0] for m in members), np.ones(2000)])
    solution = np.linalg.lstsq(design, truth[:, 0], rcond=None)[0]
    assert stacking.weight[0] == pytest.approx(solution[:2], abs=0.01)
    combined = combine(members, stacking).statistics().metrics()
    assert combined["rmse"] < min(m.statistics().metrics()["rmse"] for m in members)
    with pytest.raises(UsageError, match="which have no votes"):
        combine(members, vote)


def test_stacking_of_numbers_keeps_speakers_apart_in_cross_validation():
    """Without them each of a speaker's like rows is predicted from the others."""
    rng = np.random.default_rng(0)
    speaker = np.repeat(np.arange(8), 5)
    of_speakers = rng.normal(size=(8, 7))[speaker]  # truth and six models, none of which is right
    near = 0.1 * (of_speakers + 0.01 * rng.normal(size=of_speakers.shape))
    ids, truth = tuple(map(str, range(40))), near[:, :1].copy()
    truth[:8] = np.nan
    members = [NumberPredictions(ids, ("valence",), truth, near[:, n : n + 1]) for n in range(1, 7)]
    known = near[8:, 1:], near[8:, 0]
    errors = {
        strength: -cross_val_score(
            Ridge(strength),
            *known,
            groups=speaker[8:],
            cv=GroupKFold(5),
            scoring="neg_mean_squared_error",
        ).mean()
        for strength in np.logspace(-4, 2, 13)
    }
    best = min(errors, key=errors.get)
    named = Stacking.fit(members, [f"s{n}" for n in speaker])
    assert named.weight[0] == pytest.approx(Ridge(best).fit(*known).coef_)
    for groups in (None, [None if n == 1 else f"s{n}" for n in speaker]):
        alone = Stacking.fit(members, groups)
        assert abs(alone.weight).max() > 10 * abs(named.weight).max()


def test_members_are_brought_to_one_order_of_labels_and_rows(members):
    first, second = members
    order = (2, 0, 1)
    number = np.array([order.index(k) for k in range(3)])
    turned = LabelPredictions(
        tuple(reversed(second.ids)),
        tuple(NAMES[k] for k in order),
        number[second.truth][::-1],
        number[second.prediction][::-1],
        second.probability[::-1, list(order)],
    )
    aligned, n_left_out = align_members({"a": first, "b": select(turned, range(290))})
    assert n_left_out == 10
    assert aligned[0].ids == aligned[1].ids == first.ids[10:]
    assert aligned[1].probability.tolist() == second.probability[10:].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": np.zeros(300, dtype=np.int64)}, "its truth differs"),
        ({"names": ("sad", "happy", "calm")}, "one target and one set of labels"),
        ({"ids": tuple(f"v{row}" for row in range(300))}, "no row in common"),
        ({"probability": None}, "no probabilities"),
    ],
)
def test_members_that_do_not_fit_are_refused(members, change, message):
    from dataclasses import replace

    with pytest.raises(UsageError, match=message):
        align_members({"a": members[0], "b": replace(members[1], **change)})


def test_too_few_rows_of_a_label_are_refused(members):
    few = [select(member, [0, 1, 2, 3, 4]) for member in members]
    with pytest.raises(UsageError, match="too few rows of angry"):
        Stacking.fit(few)


def test_paired_differences_are_narrower_than_two_intervals(members):
    generator = torch.Generator().manual_seed(1)
    truth = torch.from_numpy(members[0].truth)
    logits = torch.from_numpy(members[0].probability).log() + 0.2 * torch.randn(
        300, 3, generator=generator
    )
    similar = _labels(truth, logits)
    (rows, derive), others = members[0].statistics(), similar.statistics().rows
    speakers = Speakers.from_names([f"s{row % 12}" for row in range(300)])
    for over in (None, speakers):
        paired = differences(rows, others, derive, over)["uar"]
        ours, theirs = (estimates(x, derive, over)["uar"] for x in (rows, others))
        assert paired.value == pytest.approx(ours.value - theirs.value)
        assert paired.low < paired.value < paired.high
        assert (paired.p < 0.05) == (paired.low > 0 or paired.high < 0)
        assert paired.high - paired.low < (ours.high - ours.low) + (theirs.high - theirs.low)
