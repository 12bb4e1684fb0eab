"""A search on the toy corpus: killed and resumed; trials stopped early."""

import argparse
import csv
import json
import math
import sys
from pathlib import Path

import optuna
import pytest
import yaml
from codes import raises
from forked_sweep import ForkedSweep
from sweep_here import run_here
from test_sweep import CONFIG

from data_prep.commands import extract_features
from data_prep.corpora.toy import prepare_toy
from emo_fairseq.experiments import jobs, search, trial
from emo_fairseq.experiments.grid import run_name
from emo_fairseq.experiments.jobs import Outcome
from emo_fairseq.experiments.options import Options
from emo_fairseq.experiments.runs import RunFolder
from emo_fairseq.experiments.search_space import dimension, split_overrides
from emo_fairseq.experiments.study import STORAGE, TRIALS
from emo_fairseq.experiments.trial import RUNS, Evaluation, RefusedError, StoppedError, evaluate

SPACE = ["criterion.label_smoothing=0.0,0.1", "optimization.lr=tag(log, interval(1e-3, 1e-2))"]


@pytest.fixture(scope="module")
def config_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    data = folder / "data"
    prepare_toy(data, n_train=16, n_valid=8, n_test=4, speakers=(2, 1, 1))
    assert extract_features.main([str(data), "--workers", "1"]) == 0
    config = {**CONFIG, "task": {**CONFIG["task"], "data": str(data)}}
    (folder / "tiny.yaml").write_text("# @package _group_\n" + yaml.safe_dump(config))
    return folder


def arguments(config_dir, folder, *more):
    words = ["--config-dir", str(config_dir), "--config-name", "tiny", str(folder), *SPACE]
    return [*words, "--seed", "1", *more]


def first_draw():
    """The name of the first trial's run, as a study with the same sampler draws it."""
    _, searched = split_overrides(SPACE)
    drawn = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1)).ask()
    options = zip(searched, (False, True), strict=True)
    return run_name("tiny", [dimension(one, is_list).suggest(drawn) for one, is_list in options])


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_and_scores_no_test_set(
    config_dir, tmp_path, capsys, monkeypatch
):
    words = arguments(config_dir, tmp_path / "study", "--trials", "2")
    first = RunFolder(tmp_path / "study" / RUNS / first_draw())
    running = ForkedSweep("search", words, tmp_path / "first.log", pause_in=first.name)
    running.wait_until(first.last.exists)
    running.kill()

    code, output = run_here("search", words)
    assert code == 0, output
    assert "Loaded checkpoint" in first.log.read_text() or "resumed" in first.log.read_text()
    runs = sorted((tmp_path / "study" / RUNS).iterdir())
    assert len(runs) == 2
    assert first.path in runs
    assert not list(tmp_path.glob("study/**/predictions*"))
    with (tmp_path / "study" / TRIALS).open() as file:
        trials = list(csv.DictReader(file))
    assert [row["state"] for row in trials] == ["trained", "trained"]
    assert all(0 <= float(row["uar"]) <= 1 for row in trials)
    assert "no test set was scored" in output
    assert "-m emo_fairseq.experiments.sweep" in output

    monkeypatch.setattr(jobs, "start", None)
    assert search.main(words) == 0
    assert "[" not in capsys.readouterr().out.partition("study:")[0], "no trial is run again"
    other = [word.replace("0.0,0.1", "0.0,0.2") for word in words]
    with raises("search-changed"):
        search.main(other)
    more = [*words[:-1], "3"]
    config, rows = config_dir / "tiny.yaml", config_dir / "data" / "valid.tsv"
    in_smaller_batches = config.read_text().replace("batch_size: 8", "batch_size: 4")
    without_last_row = "".join(rows.read_text().splitlines(keepends=True)[:-1])
    for file, changed in ((config, in_smaller_batches), (rows, without_last_row)):
        before = file.read_text()
        assert changed != before
        file.write_text(changed)
        with raises("search-changed"):
            search.main(more)
        file.write_text(before)
    recording = next((config_dir / "data").rglob("*.flac"))
    content = recording.read_bytes()
    recording.write_bytes(next((config_dir / "data").rglob("*1.flac")).read_bytes() + b" ")
    with raises("search-changed"):
        search.main(more)
    recording.write_bytes(content)


@pytest.mark.slow
def test_a_search_whose_first_training_is_refused_ends(config_dir, tmp_path):
    words = arguments(config_dir, tmp_path, "--trials", "2", "task.target=sentiment_score")
    with raises("trial-refused"):
        run_here("search", words)
    assert (tmp_path / STORAGE).is_file()


# --- Trials, without trainings --------------------------------------------------------------------


def line(epoch, value):
    return json.dumps({"epoch": epoch, "valid_uar": value, "valid_num_updates": epoch}) + "\n"


class Run:
    """A planned run whose training is a list of values of the metric."""

    def __init__(self, name, values, ok=True):
        self.name, self.values, self.ok = name, values, ok
        self.overrides, self.options = (), Options({})


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    """Evaluates runs that write their logs one validation at a time."""

    def run_all(work, n_at_once, report, watch):
        (name,) = work
        log = tmp_path / RUNS / name / "train.log"
        log.parent.mkdir(parents=True)
        for epoch, value in enumerate(runs[name].values, start=1):
            with log.open("a") as file:
                file.write(line(epoch, value))
            watch()
        return {name: Outcome(runs[name].ok, "the end of its log")}

    runs = {}
    monkeypatch.setattr(trial, "run_all", run_all)
    monkeypatch.setattr(trial, "_INTERVAL", 0.0)
    monkeypatch.setattr(trial, "refuse_changed_options", lambda run, folder: None)

    def evaluate_runs(*planned, stops_at=math.inf, is_maximized=True):
        runs.update({run.name: run for run in planned})
        reported = []
        args = argparse.Namespace(folder=tmp_path, config_dir=Path("c"), config_name="n")
        evaluation = Evaluation(args, planned, "uar", is_maximized)
        value = None
        try:
            value = evaluate(
                evaluation,
                lambda mean, n: reported.append((n, round(mean, 6))),
                lambda: len(reported) >= stops_at,
            )
        except StoppedError:
            value = "stopped"
        return value, reported

    return evaluate_runs


def test_a_trial_is_the_mean_over_folds_of_their_best_validation(evaluated):
    value, reported = evaluated(Run("1", [0.2, 0.6, 0.4]), Run("2", [0.4, 0.2]))
    assert value == pytest.approx(0.5)
    assert reported == [(1, 0.2), (2, 0.6), (3, 0.6), (4, 0.5), (5, 0.5)]


def test_every_validation_of_an_epoch_counts(tmp_path):
    """As with --save-interval-updates, which validates before it saves; the third is repeated."""
    log = tmp_path / "train.log"
    entries = [(1, 5, 0.5), (1, 10, 0.4), (2, 15, 0.1), (2, 15, 0.3), (2, 20, 0.2)]
    lines = [
        json.dumps({"epoch": epoch, "valid_uar": value, "valid_num_updates": updates})
        for epoch, updates, value in entries
    ]
    log.write_text("\n".join(lines) + '\n{"epoch": 3, "valid_u')
    assert trial.validations(log, "uar") == [0.5, 0.4, 0.3, 0.2]
    with log.open("a") as file:
        file.write("\n" + line(1, 0.7))
    assert trial.validations(log, "uar") == [0.7]


def test_a_smaller_metric_may_be_the_better_one(evaluated):
    value, reported = evaluated(Run("1", [0.2, 0.6]), is_maximized=False)
    assert value == pytest.approx(0.2)
    assert reported == [(1, 0.2), (2, 0.2)]


def test_an_undefined_metric_is_neither_reported_nor_the_best(evaluated):
    value, reported = evaluated(Run("1", [math.nan, 0.3]))
    assert value == pytest.approx(0.3)
    assert reported == [(2, 0.3)]
    with pytest.raises(RefusedError, match="no validation had a defined uar"):
        evaluated(Run("2", [math.nan]))


def test_a_trial_is_stopped_where_the_pruner_says_so(evaluated):
    value, reported = evaluated(Run("1", [0.2, 0.3, 0.4]), stops_at=2)
    assert value == "stopped"
    assert len(reported) == 2


def test_a_training_that_failed_is_no_trial(evaluated):
    with pytest.raises(RefusedError, match="the end of its log"):
        evaluated(Run("1", [0.2], ok=False))


def test_search_without_optuna_names_the_extra(config_dir, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "emo_fairseq.experiments.study")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with raises("package-missing"):
        search.main(arguments(config_dir, tmp_path))
