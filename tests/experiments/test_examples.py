"""The README of examples/experiments, and the label maps there."""

import shlex
from pathlib import Path

import pytest

from data_prep.corpora import (
    iemocap,
    meld,
)
from emo_fairseq.experiments import (
    collect,
    score,
    sweep,
)
from emo_fairseq.experiments.grid import combinations
from emo_fairseq.experiments.scoring_sets import read_label_map

EXAMPLES = Path(__file__).parents[2] / "examples"
README = (EXAMPLES / "experiments" / "README.md").read_text().replace("\\\n", " ")
MODULE = "python -m emo_fairseq.experiments."


def commands(module):
    lines = [line for line in README.splitlines() if line.startswith(f"{MODULE}{module} ")]
    return [shlex.split(line.removeprefix(f"{MODULE}{module} ")) for line in lines]


@pytest.mark.parametrize("module", [sweep, score, collect])
def test_the_options_are_there(module):
    found = commands(module.__name__.rpartition(".")[2])
    assert found
    for words in found:
        module.make_parser().parse_intermixed_args(words)


def test_the_number_of_trainings():
    """Four combinations, each of them over three folds, which are not expanded here."""
    first, *_ = commands("sweep")
    args = sweep.make_parser().parse_intermixed_args(first)
    assert (EXAMPLES.parent / args.config_dir / f"{args.config_name}.yaml").is_file()
    assert len(combinations(args.overrides)) == 4
    assert args.folds == "k_fold"


def test_label_maps_name_labels_of_both_corpora():
    of_meld = set(meld.EMOTIONS)
    of_iemocap = set(iemocap.CLASSES["4"].values())
    to_iemocap = read_label_map(EXAMPLES / "experiments" / "meld_to_iemocap.yaml")
    to_meld = read_label_map(EXAMPLES / "experiments" / "iemocap_to_meld.yaml")
    assert set(to_iemocap) == of_meld
    assert set(to_iemocap.values()) - {None} == of_iemocap
    assert set(to_meld) == of_iemocap
    assert set(to_meld.values()) <= of_meld
