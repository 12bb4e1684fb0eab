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
    """Return the next commands of a training, by their subcommands."""

    def following(n_speakers: int, quick: bool = False, **encoders: str) -> dict[str, list[str]]:
        options = argparse.Namespace(
            **{f"{name}_encoder": encoders.get(name) for name in ("text", "speech", "video")},
            words=["emotion-recognize", "train", "x.csv", *(["--quick"] if quick else [])],
            quick=quick,
            fold=None,
        )
        rows = [Utterance(f"u{n}", speaker=f"s{n % n_speakers}") for n in range(24)]
        inputs = Inputs(("speech",), "emotion", 24, 0.0, "test", usable={"test": (24, 24)})
        scored = Scored("this model", tmp_path / "model" / "checkpoint_best.pt", tmp_path / "p.tsv")
        data = DataFolder("x", tmp_path / "data")
        words = next_commands(options, data, scored, inputs, {row.id: row for row in rows})
        return {" ".join(line[1:]).partition(" ")[0]: line for line in words}

    return following


def test_folds_are_offered_where_the_test_split_has_few_speakers(following):
    assert following(n_speakers=6)["train"][-2:] == ["--fold", "k_fold"]
    assert "train" not in following(n_speakers=12), "enough of them"
    assert "train" not in following(n_speakers=4), "too few for five folds"


def test_a_model_of_foreign_features_is_scored_and_not_served(following, tmp_path):
    own = following(n_speakers=12, speech="features:mine")
    assert list(own) == ["evaluate"]
    card = tmp_path / "data" / "features" / "mine" / "features.yaml"
    card.parent.mkdir(parents=True)
    card.touch()
    assert list(following(n_speakers=12, speech="features:mine")) == ["analyze", "serve", "export"]
