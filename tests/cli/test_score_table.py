"""The table of models side by side, and what is not compared."""

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest

from data_prep.schema import Utterance, write_manifest
from emo_fairseq.cli.evaluate.model_comparison import print_models
from emo_fairseq.cli.score_table import rows_by_id, table_lines
from emo_fairseq.evaluation.statistics import LabelPredictions, NumberPredictions, select
from emo_fairseq.experiments.results import speakers_of

IDS = ("u1", "u2", "u3", "u4")


def labels(*names: str) -> LabelPredictions:
    truth = np.array([0, 1, 0, 1])
    return LabelPredictions(IDS, names, truth, truth, np.eye(len(names))[truth])


def numbers(*names: str) -> NumberPredictions:
    truth = np.linspace(0.0, 1.0, 4)[:, None] * np.ones(len(names))
    return NumberPredictions(IDS, names, truth, truth)


@pytest.mark.parametrize(
    ("first", "second", "only_second"),
    [
        (labels("sad", "happy"), labels("sad", "happy", "angry"), "recall, angry"),
        (labels("sad", "happy"), numbers("valence", "arousal"), "CCC, mean"),
        (numbers("valence"), labels("sad", "happy"), "UAR"),
    ],
)
def test_models_of_several_targets_have_a_dash_for_the_others_metrics(first, second, only_second):
    lines = list(table_lines("test", {"a": first, "b": second}, {}, in_detail=True))
    (of_second,) = (line for line in lines if line.startswith(f"{only_second}  "))
    assert of_second.removeprefix(only_second).split()[0] == "–"
    assert not any(line.startswith("UAR, mean") for line in lines), "labels have no axes"


def test_each_axis_has_its_ccc_in_the_short_table_too():
    lines = list(table_lines("test", {"a": numbers("valence", "arousal")}, {}))
    names = [line.split("  ")[0] for line in lines[2:]]
    assert [name for name in names if name.startswith("CCC")] == [
        "CCC, mean",
        "CCC, valence",
        "CCC, arousal",
    ]
    assert "Pearson, valence" not in names


def test_intervals_over_utterances_state_why():
    rows = {id_: Utterance(id_, speaker=f"s{n % 2}") for n, id_ in enumerate(IDS)}
    head = next(iter(table_lines("test", {"a": labels("sad", "happy")}, rows)))
    assert head.endswith("over utterances (2 speakers < 3: no interval over speakers)")


def test_what_the_intervals_of_each_model_are_over():
    """Models may have other rows, such as those with speech, and so speakers."""
    rows = {id_: Utterance(id_, speaker=id_) for id_ in IDS}
    whole = labels("sad", "happy")
    head, _, *lines = table_lines("test", {"a": whole, "b": whole}, rows)
    assert head.endswith("95% intervals over 4 speakers")
    assert not any(line.startswith("intervals over") for line in lines)
    head, *_, last = table_lines("test", {"a": whole, "b": select(whole, [0, 1])}, rows)
    assert head.endswith("95% intervals")
    reason = "utterances (2 speakers < 3: no interval over speakers)"
    assert last.startswith("intervals over  4 speakers  ")
    assert last.endswith(f"  {reason}")


def test_rows_are_those_of_the_scored_split(write_data_dir):
    """Where several splits count their utterances from 1, as some that no command wrote do."""
    rows = {
        split: Utterance("1", text="no", speaker=split, emotion="sad")
        for split in ("train", "valid", "test")
    }
    apart = {split: [replace(row, id=split)] for split, row in rows.items()}
    folder = write_data_dir(apart, emotion=("sad",))
    for split, row in rows.items():
        write_manifest(folder / f"{split}.tsv", [row])
    for split in rows:
        assert rows_by_id(folder, split)["1"].speaker == split
        assert speakers_of(folder, split)["1"] == split


def test_json_names_models_that_are_not_compared(capsys):
    members = {"a": labels("sad", "happy"), "b": numbers("valence")}
    options = argparse.Namespace(json=True, split="test", save_predictions=None)
    print_models(options, members, None, {}, [])
    record = json.loads(capsys.readouterr().out)
    assert record["differences"] == []
    (refused,) = record["not_compared"]
    assert refused["of"] == ["b", "a"]
    assert "valence" in refused["reason"]
