"""Real sweeps on the toy corpus: killed, continued, changed, failing; and scored elsewhere."""

import csv
import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from forked_sweep import ForkedSweep
from sklearn.metrics import balanced_accuracy_score

import emo_fairseq
from data_prep.commands import extract_features
from data_prep.corpora.toy import prepare_toy
from data_prep.folds.file import write_folds
from data_prep.folds.protocols import FoldOptions, make_folds
from data_prep.schema import read_corpus, read_manifest, write_corpus
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.experiments import (
    collect,
    score,
    sweep,
)
from emo_fairseq.experiments.options import read_checkpoint
from emo_fairseq.experiments.runs import RunFolder

PROTOCOL = "k_fold"
N_UPDATES = 3
CONFIG = {
    "common": {"user_dir": str(Path(emo_fairseq.__file__).parent), "cpu": True, "seed": 1},
    "task": {
        "_name": "emotion_prediction",
        "modality": "speech",
        "speech_input": "log_mel",
        "target": "emotion",
    },
    "model": {
        "_name": "robertaEMO_tiny",
        "speech_embed_dim": 16,
        "speech_ffn_embed_dim": 16,
        "speech_attention_heads": 2,
        "speech_encoder_layers": 1,
        "speech_conv_channels": 16,
        "embedding_dim": 16,
    },
    "criterion": {"_name": "emotion_classification", "label_smoothing": 0.0},
    "dataset": {"batch_size": 8, "num_workers": 0},
    "optimization": {"max_update": N_UPDATES, "lr": [0.01]},
    "optimizer": {"_name": "adam"},
    "lr_scheduler": {"_name": "fixed"},
    "checkpoint": {
        "best_checkpoint_metric": "uar",
        "maximize_best_checkpoint_metric": True,
        "save_interval_updates": 1,
        "keep_interval_updates": 1,
        "no_epoch_checkpoints": True,
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The toy corpus as one split `all` in two folds, and a `test` for models of other corpora."""
    folder = tmp_path_factory.mktemp("sweep") / "data"
    prepare_toy(folder, n_train=48, n_valid=4, n_test=12, speakers=(6, 1, 2))
    rows = {split: read_manifest(folder / f"{split}.tsv") for split in ("train", "test")}
    write_corpus(folder, read_corpus(folder), {"all": rows["train"], "test": rows["test"]})
    assert extract_features.main([str(folder), "--workers", "1"]) == 0
    folds, _ = make_folds(
        PROTOCOL, rows["train"], ["all"], FoldOptions(n_folds=3, group_by="dialogue")
    )
    two = dataclasses.replace(folds, folds={name: folds.folds[name] for name in ("1", "2")})
    write_folds(folder, two, rows["train"])
    return folder


@pytest.fixture
def config_dir(data, tmp_path):
    folder = tmp_path / "config"
    folder.mkdir()
    config = {**CONFIG, "task": {**CONFIG["task"], "data": str(data)}}
    (folder / "tiny.yaml").write_text("# @package _group_\n" + yaml.safe_dump(config))
    return folder


def arguments(config_dir, runs, *more):
    return ["--config-dir", str(config_dir), "--config-name", "tiny", str(runs), *more]


SWEEP = ("common.seed=1,2", "--folds", PROTOCOL)
NAMES = [f"tiny,common.seed={s},task.fold=k_fold-{f}" for s in (1, 2) for f in (1, 2)]


def updates(run):
    return read_checkpoint(RunFolder(run).last).updates


@pytest.mark.slow
def test_a_killed_sweep_goes_on(config_dir, tmp_path, capsys):
    """Two folds and two seeds, killed in the second training."""
    runs = tmp_path / "runs"
    words = arguments(config_dir, runs, *SWEEP)
    first, second = runs / NAMES[0], runs / NAMES[1]
    sweeping = ForkedSweep("sweep", words, tmp_path / "first.log", pause_in=second.name)
    sweeping.wait_until(RunFolder(second).last.exists)
    sweeping.kill()
    assert updates(second) == 1
    assert not (second / "predictions.tsv").exists()
    finished = {file: file.stat().st_mtime_ns for file in first.rglob("*.*") if file.is_file()}
    assert first / "predictions.tsv" in finished

    sweeping = ForkedSweep("sweep", [*words, "--jobs", "2"], tmp_path / "second.log")
    assert sweeping.wait() == 0, sweeping.output
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    assert f"{first.name}: scored before" in sweeping.output
    assert re.search(r"Loaded checkpoint \S+checkpoint_last.pt \(epoch \d @ 1 up", log_of(second))
    assert [updates(runs / name) for name in NAMES] == [N_UPDATES] * 4
    assert_table_is_that_of_the_predictions(runs)

    log = (second / "run.log").read_bytes()
    assert ForkedSweep("sweep", words, tmp_path / "third.log").wait() == 0
    assert (second / "run.log").read_bytes() == log  # nothing was run again
    check_changes_are_refused(config_dir, runs)


def log_of(run):
    return (run / "run.log").read_text()


def assert_table_is_that_of_the_predictions(runs):
    """UAR by scikit-learn: the mean over runs, and over seeds of the folds together."""
    out = runs / "table.csv"
    assert collect.main([str(runs), "--metric", "uar", "--resamples", "20", "--csv", str(out)]) == 0
    (row,) = csv.DictReader(out.open())
    said = {name: predictions.read(runs / name / "predictions.tsv") for name in NAMES}
    mean = sum(map(uar, said.values())) / 4
    assert float(row["mean"]) == pytest.approx(mean)
    pooled = [uar(said[NAMES[n]] + said[NAMES[n + 1]]) for n in (0, 2)]
    assert float(row["pooled"]) == pytest.approx(sum(pooled) / 2)
    assert (row["n_runs"], row["n_missing"], row["tested_on"]) == ("4", "0", "toy")
    assert row["chosen_by"] == "valid (largest uar)"
    assert row["speakers_low"]


def uar(rows):
    return balanced_accuracy_score(
        *([row[name] for row in rows] for name in ("truth", "prediction"))
    )


def check_changes_are_refused(config_dir, runs):
    file = config_dir / "tiny.yaml"
    config = yaml.safe_load(file.read_text())
    config["criterion"]["label_smoothing"] = 0.1
    config["common"]["log_interval"] = 7  # which changes no run
    file.write_text("# @package _group_\n" + yaml.safe_dump(config))
    with pytest.raises(
        UsageError, match=r"another configuration \(criterion\.label_smoothing 0\.0 -> 0\.1\)"
    ):
        sweep.main(arguments(config_dir, runs, *SWEEP))
    config["criterion"]["label_smoothing"] = 0.0
    file.write_text("# @package _group_\n" + yaml.safe_dump(config))
    assert sweep.main(arguments(config_dir, runs, *SWEEP, "--dry-run")) == 0


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (("--split", "test1", "++task.fold=k_fold/1"), "a fold has a test set of its own"),
        (("--split", "tset"), r"there is no .*tset\.tsv; name a split of the data dir"),
        (("--split", "train"), "the runs are trained on this set, or it chooses"),
        (("--split", "valid"), "the runs are trained on this set, or it chooses"),
    ],
)
def test_a_test_set_that_is_none(config_dir, tmp_path, more, match):
    with pytest.raises(UsageError, match=match):
        sweep.main(arguments(config_dir, tmp_path / "runs", *more, "--dry-run"))


def test_a_refused_run_stops_the_others_unless_told_to_go_on(config_dir, data, tmp_path, capsys):
    """It is told with the end of its log; the exit code is 1."""
    words = arguments(
        config_dir, tmp_path / "runs", "task.modality=nonsense,speech", "++task.fold=k_fold/1"
    )
    first = ForkedSweep("sweep", words, tmp_path / "first.log")
    assert first.wait() == 1
    assert "stopped: 1 of 2 runs were not started, since the first was refused: " in first.output
    assert "add --keep-going" in first.output
    assert "[2/2]" not in first.output
    words.append("--keep-going")
    sweeping = ForkedSweep("sweep", words, tmp_path / "out.log")
    assert sweeping.wait() == 1
    failed, done = (
        "tiny,task.fold=k_fold-1,task.modality=nonsense",
        "tiny,task.fold=k_fold-1,task.modality=speech",
    )
    assert f"[1/2] {failed}: FAILED" in sweeping.output
    assert re.search(r"\| .*nonsense", sweeping.output)
    assert f"[2/2] {done}: trained in" in sweeping.output
    assert (
        f"not in the table: {tmp_path / 'runs' / failed}: its training has not ended"
        in sweeping.output
    )
    check_scored_elsewhere(tmp_path / "runs" / done, data, tmp_path, capsys)


def check_scored_elsewhere(run, data, tmp_path, capsys):
    """Another corpus, in other words; and what was made of it stays until it is out of date."""
    other = tmp_path / "other"
    shutil.copytree(data, other, symlinks=True)
    corpus = read_corpus(other)
    corpus.name = "elsewhere"
    corpus.labels["emotion"] = ("joy", "grief", "fury", "calm")
    words = {"happy": "joy", "sad": "grief", "angry": "fury", "neutral": "calm"}
    splits = {split: read_manifest(other / f"{split}.tsv") for split in corpus.splits}
    renamed = {
        split: [dataclasses.replace(row, emotion=words[row.emotion]) for row in rows]
        for split, rows in splits.items()
    }
    write_corpus(other, corpus, renamed)
    label_map = tmp_path / "map.yaml"
    label_map.write_text("joy: happy\ngrief: sad\nfury: sad\ncalm: null\n")
    command = [str(run), "--data", str(other), "--label-map", str(label_map)]
    scoring = ForkedSweep("score", command, tmp_path / "score.log")
    assert scoring.wait() == 0, scoring.output
    rows = predictions.read(run / "predictions.elsewhere.tsv")
    expected = {row.id: row.emotion for row in splits["test"] if row.emotion != "neutral"}
    assert {row["id"] for row in rows} == set(expected)
    for row in rows:
        assert row["truth"] == ("happy" if expected[row["id"]] == "happy" else "sad")
    facts = read_facts(run / "predictions.elsewhere.tsv")
    assert facts["left_out"] == {"calm": 3}
    assert (facts["corpus"], facts["trained_on"]) == ("elsewhere", "toy")

    before = (run / "run.log").read_bytes()
    assert score.main(command) == 0
    assert (run / "run.log").read_bytes() == before
    label_map.write_text("joy: happy\ngrief: melancholy\n")
    assert score.main(command) == 1
    assert "melancholy is no label of the model" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command(config_dir, tmp_path):
    """Without forks: the module by its name, and fairseq's commands as they are installed."""
    words = arguments(config_dir, tmp_path / "runs", "task.fold=k_fold/1")
    command = [sys.executable, "-m", "emo_fairseq.experiments.sweep", *words]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "[1/1] tiny,task.fold=k_fold-1: trained in" in finished.stdout
    assert "robertaEMO_tiny is incomplete: no seed 1 fold 2" in finished.stdout
    assert finished.stderr == ""
