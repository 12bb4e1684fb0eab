"""fairseq-train and fairseq-validate, for every input and every target."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from extended import all_but
from in_process import judged_by, words

from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.names import is_larger_better

LOG_MEL = "--modality speech --speech-input log_mel"
WAVEFORM = "--modality speech --speech-input waveform"
CODES = "--modality speech --speech-input tokens"
CASES = {
    "text emotion": ("--modality text", "uar"),
    "text sentiment": ("--modality text --target sentiment", "recall_positive"),
    "text vad": ("--modality T --target vad", "rmse_dominance"),
    "log-mel emotion": (f"{LOG_MEL} --target emotion", "weighted_f1"),
    "log-mel vad": (f"{LOG_MEL} --target vad", "mae"),
    "waveform binary_emotion": (f"{WAVEFORM} --target binary_emotion", "binary_f1_happy"),
    "waveform sentiment": (f"{WAVEFORM} --target sentiment", "wa"),
    "codes vad": (f"{CODES} --target vad", "ccc"),
    "codes emotion": (CODES, "macro_f1"),
    "text + log-mel vad": ("--speech-input log_mel --target vad", "ccc_arousal"),
    "text + waveform emotion": ("--modality text+speech", "uar"),
    "text + codes binary_emotion": (
        "--modality T+A --speech-input tokens --target binary_emotion --fusion concat",
        "binary_accuracy_sad",
    ),
}
# Each input and each target.
KEPT = {
    "text sentiment",
    "log-mel vad",
    "text + waveform emotion",
    "text + codes binary_emotion",
}
N_TEST = 12


@pytest.mark.parametrize(("options", "metric"), all_but(KEPT, CASES))
def test_training_and_scoring(options, metric, toy_corpus, fairseq, commands, tmp_path):
    score_every_batch_size(options, metric, toy_corpus, fairseq, commands, tmp_path)


@pytest.mark.extended
def test_the_console_command_trains_the_same(toy_corpus, fairseq, commands, tmp_path):
    """In an interpreter without what tests replace, such as how options are composed."""
    options = f"{commands['train']} --data {toy_corpus} --modality text --batch-size 8"
    places = {name: f"--max-update 2 --save-dir {tmp_path / name}" for name in ("here", "alone")}
    fairseq("train", options, places["here"])
    command = [Path(sys.executable).with_name("fairseq-train"), *words((options, places["alone"]))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    here, alone = (
        torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True) for name in places
    )
    here["cfg"]["checkpoint"]["save_dir"] = str(tmp_path / "alone")
    assert here["cfg"] == alone["cfg"]
    torch.testing.assert_close(here["model"], alone["model"])


def test_sentiment_score(copy_toy, fairseq, commands, tmp_path):
    scores = [-3.0, -1.8, -0.5, 0.0, 0.2, 1.0, 2.5, 3.0]

    def score(split, rows):
        return [
            replace(row, sentiment_score=scores[number % len(scores)])
            for number, row in enumerate(rows)
        ]

    options = "--modality text --target sentiment_score"
    score_every_batch_size(options, "acc2_non0", copy_toy(score), fairseq, commands, tmp_path)


@pytest.mark.parametrize("form", ["simple", "json", "tqdm"])
def test_progress_while_scoring(form, trained, toy_corpus, fairseq, commands, capsys, tmp_path):
    """The line between batches holds figures: no matrix, and no predictions."""
    options = "--modality text --batch-size 8 --max-update 1"
    checkpoint = f"--path {trained(options)} --valid-subset test --data {toy_corpus}"
    often = f"--batch-size 1 --log-interval 2 --log-format {form}"
    save = f"--save-predictions {tmp_path / 'predictions.tsv'}"
    log = fairseq("validate", commands["validate"], checkpoint, often, save).log
    shown = log + capsys.readouterr().err
    assert "nsentences" in shown
    assert "_confusion" not in shown
    assert "probability_sad" not in shown


def test_two_subsets_in_one_file(trained, toy_corpus, fairseq, commands, tmp_path):
    options = "--modality text --batch-size 8 --max-update 1"
    checkpoint = f"--path {trained(options)} --valid-subset valid,test --data {toy_corpus}"
    file = tmp_path / "predictions.tsv"
    save = f"--batch-size 5 --save-predictions {file}"
    log = fairseq("validate", commands["validate"], checkpoint, save)
    assert [log.figures(subset)["bsz"] for subset in ("valid", "test")] == [8, 12]
    splits = [row["split"] for row in predictions.read(file)]
    assert splits == ["test"] * 12 + ["valid"] * 8


def score_every_batch_size(options, metric, data, fairseq, commands, tmp_path):
    """Train with the metric as judge, then score the test split one by one, and seven at a time."""
    length = "--batch-size 8 --max-update 8 --save-interval-updates 2"
    place = f"--data {data} --save-dir {tmp_path}"
    log = fairseq("train", commands["train"], place, length, options, judged_by(metric))

    validations = log.all_figures("valid")
    assert [line["num_updates"] for line in validations] == [2, 4, 6, 8]
    assert all(line["bsz"] == 8 for line in validations)
    best = (max if is_larger_better(metric) else min)(line[metric] for line in validations)
    state = torch.load(tmp_path / "checkpoint_best.pt", weights_only=True)
    assert state["extra_state"]["best"] == pytest.approx(best, abs=1e-5)
    assert state["extra_state"]["val_loss"] == pytest.approx(best, abs=1e-5)

    checkpoint = f"--path {tmp_path / 'checkpoint_best.pt'} --valid-subset test --data {data}"
    files = [tmp_path / f"predictions{size}.tsv" for size in (1, 7)]
    for size, file in zip((1, 7), files, strict=True):
        save = f"--batch-size {size} --save-predictions {file}"
        log = fairseq("validate", commands["validate"], checkpoint, save)
        assert metric in log.figures("test")
    one_by_one, batches = (predictions.read(file) for file in files)
    assert [row["id"] for row in one_by_one] == sorted(ids_of_test_split(data))
    assert_same_predictions(one_by_one, batches)


def ids_of_test_split(data: Path) -> list[str]:
    lines = (data / "test.tsv").read_text().splitlines()[1:]
    assert len(lines) == N_TEST
    return [line.split("\t")[0] for line in lines]


def assert_same_predictions(rows, others):
    assert len(rows) == len(others)
    for row, other in zip(rows, others, strict=True):
        assert row.keys() == other.keys()
        for name, cell in row.items():
            try:
                assert float(other[name]) == pytest.approx(float(cell), abs=1e-5)
            except ValueError:
                assert other[name] == cell
