"""What cannot be is told before training or scoring begins; what has been trained is left alone."""

from pathlib import Path

import pytest
import torch
from codes import raises
from in_process import judged_by

from emo_fairseq.compat.excepthook import find_mistake
from emo_fairseq.errors import UsageError

TEXT = "--modality text --max-update 3"


@pytest.mark.parametrize(
    "metric",
    ["uarr", "ccc", "best_uar", "uar@video", "ccc_valence@sentiment", "recall_bored"],
)
def test_a_metric_that_is_not_measured(metric, fairseq, commands, toy_corpus, tmp_path):
    """Two of them are figures of other targets, one of a modality that is not there."""
    options = f"--batch-size 8 --auxiliary-targets vad --best-checkpoint-metric {metric}"
    place = f"--data {toy_corpus} --save-dir {tmp_path / 'run'}"
    with pytest.raises(UsageError, match=rf"--best-checkpoint-metric {metric}: .* loss, wa, uar"):
        fairseq("train", commands["train"], place, TEXT, options)
    assert not list((tmp_path / "run").glob("*.pt"))


@pytest.mark.parametrize("metric", ["loss", "recall_sad", "ccc_valence@vad"])
def test_a_metric_that_is_measured(metric, fairseq, commands, toy_corpus, tmp_path):
    options = f"--batch-size 8 --auxiliary-targets vad {judged_by(metric)}"
    place = f"--data {toy_corpus} --save-dir {tmp_path}"
    fairseq("train", commands["train"], place, TEXT, options)
    assert (tmp_path / "checkpoint_best.pt").is_file()


@pytest.mark.parametrize(
    ("judge", "remedy"),
    [
        ("sd_ratio@vad", "neither its largest nor its smallest value is the best one"),
        ("uar", "better the larger, .*; add --maximize-best-checkpoint-metric"),
        ("ccc@vad", "better the larger, .*; add --maximize-best-checkpoint-metric"),
        ("loss --maximize-best-checkpoint-metric", "better the smaller, .*; leave out --maximize"),
        ("mae_valence@vad --maximize-best-checkpoint-metric", "better the smaller, .*; leave out"),
    ],
)
def test_the_worst_checkpoint_is_not_kept(judge, remedy, fairseq, commands, toy_corpus, tmp_path):
    options = f"--batch-size 8 --auxiliary-targets vad --best-checkpoint-metric {judge}"
    place = f"--data {toy_corpus} --save-dir {tmp_path / 'run'}"
    with pytest.raises(
        UsageError, match=rf"--best-checkpoint-metric {judge.split()[0]}: .*{remedy}"
    ):
        fairseq("train", commands["train"], place, TEXT, options)
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").glob("*.pt"))


@pytest.mark.parametrize("tool", ["train", "validate"])
def test_no_batch_size(tool, trained, fairseq, commands, toy_corpus, tmp_path):
    words = [commands[tool], f"--data {toy_corpus}"]
    if tool == "train":
        words += [TEXT, f"--save-dir {tmp_path}"]
    else:
        words += [f"--path {trained(f'{TEXT} --batch-size 8')} --valid-subset test"]
    with pytest.raises(AssertionError) as raised:
        fairseq(tool, *words)
    assert str(find_mistake(raised.value)).startswith("--batch-size is missing: give the number")


@pytest.mark.parametrize("option", ["--save-predictions", "--save-embeddings"])
def test_a_file_that_cannot_be_written(option, trained, fairseq, commands, toy_corpus, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    score = f"--data {toy_corpus} --path {trained(f'{TEXT} --batch-size 8')} --batch-size 8"
    for file in (tmp_path / "folder", tmp_path / "file" / "x.tsv"):
        with raises("file-unwritable"):
            # a split that is not there: it would be missed when scoring begins
            fairseq("validate", commands["validate"], score, f"--valid-subset no {option} {file}")
    assert (tmp_path / "file").read_text() == ""


def test_a_finished_training_is_not_trained_further(fairseq, commands, toy_corpus, tmp_path):
    command = [commands["train"], f"--data {toy_corpus} --save-dir {tmp_path} --batch-size 8"]
    fairseq("train", *command, TEXT)
    before = bytes_of(tmp_path)
    again = fairseq("train", *command, TEXT)
    assert "has had all of its updates (3, --max-update 3): nothing is trained" in again.log
    assert bytes_of(tmp_path) == before
    assert "train_inner" not in again.log
    fairseq("train", *command, TEXT, "--max-update 5")
    state = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)
    assert state["optimizer_history"][-1]["num_updates"] == 5


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.pt")}


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("--text-tuning frozen", "the text encoder has random weights"),
        ("--text-tuning lora", "the text encoder has random weights"),
        ("--fusion-tuning frozen", "the fusion has random weights"),
    ],
)
def test_random_weights_are_not_kept(options, part, fairseq, commands, toy_corpus, tmp_path):
    place = f"--data {toy_corpus} --save-dir {tmp_path / 'run'} --batch-size 8"
    with pytest.raises(UsageError, match=f"{options}: {part}, .*; add --init-from"):
        fairseq("train", commands["train"], place, TEXT, options)
    assert not list((tmp_path / "run").glob("*.pt"))
