"""The commands that ``emotion-recognize train`` prints at its end."""

import argparse
from pathlib import Path

import pytest

from data_prep.schema import Utterance
from emo_fairseq.cli.train.data import DataFolder
from emo_fairseq.cli.train.ending import Scored, next_commands
from emo_fairseq.cli.train.inputs import Inputs


@pytest.fixture
def following(tmp_path: Path):
    """Return a function that lists the next commands of a training, from their subcommands on."""

    def next_words(
        n_speakers: int, quick: bool = False, modality: str = "speech", **encoders: str
    ) -> list[list[str]]:
        words = ["emotion-recognize", "train", "x.csv"]
        options = argparse.Namespace(
            **{f"{name}_encoder": encoders.get(name) for name in ("text", "speech", "video")},
            words=[*words, "--quick"] if quick else words,
            quick=quick,
            fold=None,
        )
        rows = [Utterance(f"u{n}", speaker=f"s{n % n_speakers}") for n in range(24)]
        inputs = Inputs((modality,), "emotion", 24, 0.0, "test", usable={"test": (24, 24)})
        scored = Scored("this model", tmp_path / "model" / "checkpoint_best.pt", tmp_path / "p.tsv")
        data = DataFolder("x", tmp_path / "data")
        lines = next_commands(options, data, scored, inputs, {row.id: row for row in rows})
        return [line[1:] for line in lines]

    return next_words


def subcommands(lines: list[list[str]]) -> list[str]:
    return [subcommand for subcommand, *_ in lines]


def test_folds_are_offered_where_the_test_split_has_few_speakers(following):
    folds = ["train", "x.csv", "--fold", "k_fold"]
    assert following(n_speakers=6)[0] == folds
    assert "train" not in subcommands(following(n_speakers=12)), "enough of them"
    assert "train" not in subcommands(following(n_speakers=4)), "too few for five folds"
    assert following(n_speakers=6, modality="text")[0] == folds, "each fits a tokenizer of its own"
    assert following(n_speakers=6, quick=True)[:2] == [["train", "x.csv"], folds]


def test_a_model_of_foreign_features_is_scored_and_not_served(following, tmp_path):
    own = following(n_speakers=12, speech="features:mine")
    assert subcommands(own) == ["evaluate"]
    card = tmp_path / "data" / "features" / "mine" / "features.yaml"
    card.parent.mkdir(parents=True)
    card.touch()
    again = following(n_speakers=12, speech="features:mine")
    assert subcommands(again) == ["analyze", "serve", "export"]
