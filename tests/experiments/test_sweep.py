"""Real sweeps on the toy corpus: killed and resumed, refused, and scored on another corpus."""

import csv
import dataclasses
import re
import shutil
from pathlib import Path

import pytest
import yaml
from codes import raises
from forked_sweep import ForkedSweep
from sklearn.metrics import balanced_accuracy_score
from sweep_here import run_here

import emo_fairseq
from data_prep.commands import extract_features
from data_prep.corpora.toy import prepare_toy
from data_prep.folds.file import write_folds
from data_prep.folds.protocols import FoldOptions, make_folds
from data_prep.schema import read_corpus, read_manifest, write_corpus
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.experiments import (
    collect,
    score,
    sweep,
)
from emo_fairseq.experiments.checkpoints import read_checkpoint
from emo_fairseq.experiments.grid import plan_runs
from emo_fairseq.experiments.runs import TRAINED, RunFolder
from emo_fairseq.experiments.training import learned_inputs, learned_rows

# Of what these sweeps print, no interval is compared.
pytestmark = pytest.mark.usefixtures("few_resamples")

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


@pytest.fixture(scope="module")
def config_dir(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    config = {**CONFIG, "task": {**CONFIG["task"], "data": str(data)}}
    (folder / "tiny.yaml").write_text("# @package _group_\n" + yaml.safe_dump(config))
    return folder


def arguments(config_dir, runs, *more):
    return ["--config-dir", str(config_dir), "--config-name", "tiny", str(runs), *more]


SWEEP = ("--folds", PROTOCOL)
NAMES = [f"tiny,task.fold=k_fold-{fold}" for fold in (1, 2)]


def updates(run):
    return read_checkpoint(RunFolder(run).last).updates


@dataclasses.dataclass
class Resumed:
    """A sweep over two folds that was killed in its second training, and run again."""

    runs: Path
    words: list[str]
    before: dict[Path, int]  # files of the first run and when they were written, at the kill
    updates: int  # of the second run, at the kill
    output: str


@pytest.fixture(scope="module")
def resumed(config_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resumed")
    words = arguments(config_dir, folder / "runs", *SWEEP)
    first, second = (folder / "runs" / name for name in NAMES)
    sweeping = ForkedSweep("sweep", words, folder / "first.log", pause_in=second.name)
    sweeping.wait_until(RunFolder(second).last.exists)
    sweeping.kill()
    before = {file: file.stat().st_mtime_ns for file in first.rglob("*.*") if file.is_file()}
    n_updates = updates(second)
    assert not (second / "predictions.tsv").exists()
    sweeping = ForkedSweep("sweep", [*words, "--jobs", "2"], folder / "second.log")
    assert sweeping.wait() == 0, sweeping.output
    return Resumed(folder / "runs", words, before, n_updates, sweeping.output)


@pytest.mark.slow
def test_a_killed_sweep_resumes(resumed):
    first, second = (resumed.runs / name for name in NAMES)
    assert resumed.updates == 1
    assert first / "predictions.tsv" in resumed.before
    assert {file: file.stat().st_mtime_ns for file in resumed.before} == resumed.before
    assert f"{first.name}: scored before" in resumed.output
    log = (second / "run.log").read_text()
    assert re.search(r"Loaded checkpoint \S+checkpoint_last.pt \(epoch \d @ 1 up", log)
    assert [updates(resumed.runs / name) for name in NAMES] == [N_UPDATES] * 2
    assert_table_is_that_of_the_predictions(resumed.runs)

    assert sweep.main(resumed.words) == 0  # in this process: nothing is left to be run
    assert (second / "run.log").read_text() == log


def assert_table_is_that_of_the_predictions(runs):
    """UAR by scikit-learn: the mean over folds, and of both folds together."""
    out = runs / "table.csv"
    assert collect.main([str(runs), "--metric", "uar", "--resamples", "20", "--csv", str(out)]) == 0
    (row,) = csv.DictReader(out.open())
    folds = [predictions.read(runs / name / "predictions.tsv") for name in NAMES]
    assert float(row["mean"]) == pytest.approx(sum(map(uar, folds)) / 2)
    assert float(row["pooled"]) == pytest.approx(uar(folds[0] + folds[1]))
    assert (row["n_runs"], row["n_missing"], row["tested_on"]) == ("2", "0", "toy")
    assert row["chosen_by"] == "valid (largest uar)"
    assert row["speakers_low"]


def uar(rows):
    columns = ([row[name] for row in rows] for name in ("truth", "prediction"))
    return balanced_accuracy_score(*columns)


def test_a_run_with_other_options_is_refused(config_dir, tmp_path):
    """By the configuration beside its results; options without effect may change."""
    runs = tmp_path / "runs"
    (planned,) = plan_runs(config_dir, "tiny", ["++task.fold=k_fold/1"])
    run = RunFolder(runs / planned.name)
    config = {}
    for name, value in planned.composed.values.items():
        section, _, option = name.partition(".")
        config.setdefault(section, {})[option] = value
    (run.path / ".hydra").mkdir(parents=True)
    run.predictions_file().touch()
    for section, option, value, code in (
        ("common", "log_interval", 7, None),
        ("criterion", "label_smoothing", 0.1, "run-options-changed"),
    ):
        config[section][option] = value
        (run.path / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
        words = arguments(config_dir, runs, "++task.fold=k_fold/1", "--dry-run")
        if code is None:
            assert sweep.main(words) == 0
        else:
            with raises(code) as error:
                sweep.main(words)
            assert "criterion.label_smoothing 0.1 -> 0.0" in str(error.value)


def test_a_run_that_was_trained_on_other_rows_is_refused(config_dir, tmp_path):
    """Its options are the same, and its table would be of the rows before they were corrected."""
    (planned,) = plan_runs(config_dir, "tiny", ["++task.fold=k_fold/1"])
    run = RunFolder(tmp_path / "runs" / planned.name)
    (run.path / ".hydra").mkdir(parents=True)
    sections = {}
    for name, value in planned.composed.values.items():
        section, _, option = name.partition(".")
        sections.setdefault(section, {})[option] = value
    (run.path / ".hydra" / "config.yaml").write_text(yaml.safe_dump(sections))
    run.predictions_file().touch()
    words = arguments(config_dir, tmp_path / "runs", "++task.fold=k_fold/1", "--dry-run")
    rows = learned_rows(planned.options)
    assert rows is not None
    for recorded in (None, rows):  # none by older versions
        run.set_state(TRAINED, recorded)
        assert sweep.main(words) == 0
    run.set_state(TRAINED, rows[::-1])
    with raises("run-rows-changed"):
        sweep.main(words)
    read = learned_inputs(planned.options)
    assert [*read] == ["recordings"]
    run.set_state(TRAINED, rows, inputs={**read, "text/gone": "1"})
    assert sweep.main(words) == 0
    run.set_state(TRAINED, rows, inputs={"recordings": "other"})
    with raises("run-rows-changed") as error:
        sweep.main(words)
    assert "was trained on recordings that have changed since" in str(error.value)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--split", "test1", "++task.fold=k_fold/1"), "split-of-fold"),
        (("--split", "tset"), "split-missing"),
        (("--split", "train"), "split-learned"),
        (("--split", "valid"), "split-learned"),
    ],
)
def test_a_split_that_is_no_test_set(config_dir, tmp_path, more, code):
    with raises(code):
        sweep.main(arguments(config_dir, tmp_path / "runs", *more, "--dry-run"))


def test_a_fold_that_no_run_can_read_is_refused_before_any_is_started(config_dir, data, tmp_path):
    runs = tmp_path / "runs"
    with raises("fold-unknown"):
        sweep.main(arguments(config_dir, runs, "++task.fold=k_fold/1,k_fold/9"))
    with raises("data-dir-missing"):
        sweep.main(arguments(config_dir, runs, f"task.data={tmp_path / 'nowhere'}"))
    assert not runs.exists()


def test_a_refused_run_stops_the_others_unless_keep_going(config_dir, tmp_path):
    """The end of its log is printed; the exit code is 1."""
    runs = tmp_path / "runs"
    words = arguments(config_dir, runs, "task.modality=nonsense,other", "++task.fold=k_fold/1")
    code, output = run_here("sweep", words)
    assert code == 1
    stopped = "stopped: 1 of 2 runs were not started, since the first was refused: "
    assert stopped in output
    assert "add --keep-going" in output
    assert "[2/2]" not in output
    code, output = run_here("sweep", [*words, "--keep-going"])
    assert code == 1
    names = [f"tiny,task.fold=k_fold-1,task.modality={word}" for word in ("nonsense", "other")]
    for number, name in enumerate(names, start=1):
        assert f"[{number}/2] {name}: FAILED" in output
        reason = "its training has not ended"
        assert f"not in the table: {runs / name}: {reason}" in output
        assert RunFolder(runs / name).position() == number - 1
    assert re.search(r"\| .*nonsense", output)


@pytest.mark.slow
def test_another_corpus(resumed, data, tmp_path, capsys):
    """With other labels; predictions that are up to date are not made again."""
    run = resumed.runs / NAMES[0]
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
    code, output = run_here("score", command)
    assert code == 0, output
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
    assert "[label-unknown]" in capsys.readouterr().out


@pytest.mark.slow
def test_a_sweep_that_scores_another_corpus_too(resumed, data, tmp_path):
    """Its runs have ended: only what is new is scored, and the table has both corpora."""
    other = tmp_path / "other"
    shutil.copytree(data, other, symlinks=True)
    corpus = read_corpus(other)
    corpus.name = "third"
    splits = {split: read_manifest(other / f"{split}.tsv") for split in corpus.splits}
    write_corpus(other, corpus, splits)
    words = [*resumed.words, "--also-score", str(other)]
    code, output = run_here("sweep", words)
    assert code == 0, output
    assert "scored before, scored on third in" in output
    for name in NAMES:
        rows = predictions.read(resumed.runs / name / "predictions.third.tsv")
        assert {row["id"] for row in rows} == {row.id for row in splits["test"]}
    assert re.search(r"tested on third|third, test", output)
    with raises("data-dir-missing"):
        sweep.main([*resumed.words, "--also-score", str(tmp_path / "nowhere")])
