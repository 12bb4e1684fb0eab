"""Options that are searched: Hydra's grammar on one side, what a trial suggests on the other."""

import optuna
import pytest
from codes import raises
from optuna.trial import FixedTrial

from emo_fairseq.experiments.search_space import dimension, split_overrides


def space(word, is_list=False):
    fixed, (override,) = split_overrides([word, "common.seed=3"])
    assert fixed == ["common.seed=3"]
    return dimension(override, is_list)


@pytest.mark.parametrize(
    ("word", "value", "suggested"),
    [
        ("+model.dropout=0.1,0.3", "0.3", "+model.dropout=0.3"),
        ("model.fusion=choice(lmf, concat)", "lmf", "model.fusion=lmf"),
        ("a=range(2, 9, 3)", 8, "a=8"),
        ("a=range(0.5, 2, 0.5)", 1.5, "a=1.5"),
        ("a=interval(1, 9)", 7, "a=7"),
        ("a=tag(log, interval(1e-4, 1e-2))", 0.001, "a=0.001"),
    ],
)
def test_a_value_becomes_an_override(word, value, suggested):
    option = space(word)
    assert option.suggest(FixedTrial({option.key: value})) == suggested


def test_an_option_that_is_a_list_gets_a_list_of_one_number():
    option = space("optimization.lr=interval(0.1, 0.5)", is_list=True)
    assert option.suggest(FixedTrial({option.key: 0.25})) == "optimization.lr=[0.25]"


@pytest.mark.parametrize(
    ("word", "low", "high"),
    [("a=range(2, 9, 3)", 2, 8), ("a=range(9, 2, -3)", 3, 9), ("a=interval(0.5, 0.75)", 0.5, 0.75)],
)
def test_every_draw_is_in_the_range(word, low, high):
    option = space(word)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [float(option.suggest(study.ask()).partition("=")[2]) for _ in range(40)]
    assert min(drawn) >= low
    assert max(drawn) <= high
    assert len(set(drawn)) > 2 or low == high


def test_overrides_that_cannot_be_searched():
    with raises("search-space-empty"):
        split_overrides(["common.seed=3"])
    with raises("override-refused"):
        split_overrides(["common.seed=[1"])
    for word in ("a=range(3, 3)", "a=interval(2, 1)"):
        with raises("range-empty"):
            space(word)
