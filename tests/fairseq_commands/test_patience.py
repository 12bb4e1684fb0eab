"""``--patience`` counts on where a training was cut, and over what is defined."""

import math
from types import SimpleNamespace

import pytest
from fairseq_cli import train as fairseq_train

from emo_fairseq.compat.early_stop import keep_patience

# Nothing is learned, so that no validation is better than the first.
STUCK = "--modality text --batch-size 16 --lr 1e-30 --patience 2"


def test_a_training_that_is_cut_stops_where_a_whole_one_does(
    fairseq, commands, toy_corpus, tmp_path
):
    def train(folder: str, epochs: int):
        place = f"--data {toy_corpus} --save-dir {tmp_path / folder} --max-epoch {epochs}"
        return fairseq("train", commands["train"], STUCK, place)

    whole = train("whole", 9)
    assert [line["epoch"] for line in whole.all_figures("valid")] == [1, 2, 3]
    train("cut", 2)
    resumed = train("cut", 9)
    assert [line["epoch"] for line in resumed.all_figures("valid")] == [3]
    again = train("cut", 9)
    assert "was stopped by --patience 2: nothing is trained" in again.log
    assert not again.all_figures("train") + again.all_figures("valid")


@pytest.mark.parametrize(
    ("losses", "stops"),
    [
        ([0.5, 0.6, 0.7], [False, False, True]),
        ([math.nan, 0.6, 0.5, 0.4], [False] * 4),
        ([0.5, math.nan, 0.6, None, 0.7], [False, False, False, False, True]),
    ],
)
def test_what_is_undefined_does_not_count(losses, stops, monkeypatch):
    monkeypatch.setattr(fairseq_train, "should_stop_early", fairseq_train.should_stop_early)
    options = {"patience": 2, "maximize_best_checkpoint_metric": False}
    cfg = SimpleNamespace(checkpoint=SimpleNamespace(**options))
    state: dict = {}
    found = []
    for loss in losses:
        keep_patience(state)  # as in a process of its own for each validation
        found.append(fairseq_train.should_stop_early(cfg, loss))
    assert found == stops
