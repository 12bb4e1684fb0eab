"""A real sweep of the regressor over folds of the train split, as `fit` needs it."""

import json
import shutil
from pathlib import Path

import pytest
import vad_forest_example
import yaml
from codes import raises
from sweep_here import run_here

import emo_fairseq
from data_prep.commands.tokenize_text import tokenize_with_hf
from data_prep.folds import __main__ as folds_command
from data_prep.schema import read_corpus, read_manifest, write_corpus
from emo_fairseq.evaluation import predictions
from emo_fairseq.vad_to_emotion.__main__ import main

# Of what these sweeps print, no interval is compared.
pytestmark = pytest.mark.usefixtures("few_resamples")

run = vad_forest_example.load("run")
CONFIG = vad_forest_example.FOLDER / "config" / "toy.yaml"
SMALL = {"text_embed_dim": 16, "text_attention_heads": 2, "embedding_dim": 16}


@pytest.fixture
def data(toy_corpus, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(toy_corpus, folder, ignore=shutil.ignore_patterns("text", "speech"))
    names = {"train": "train", "valid": "valid", "test": "test1"}  # as in MSP-Podcast
    rows = {name: read_manifest(folder / f"{split}.tsv") for split, name in names.items()}
    write_corpus(folder, read_corpus(folder), rows)
    (folder / "test.tsv").unlink(missing_ok=True)
    vad_forest_example.load("toy_tokenizer").write_tokenizer(tmp_path / "words")
    tokenize_with_hf(folder, tmp_path / "words")
    words = ["--protocol", "k_fold", "--base", "train", "--n-folds", "3"]
    assert folds_command.main([str(folder), *words]) == 0
    return folder


def sweep(data, tmp_path, name, *more):
    overrides = [
        f"common.user_dir={Path(emo_fairseq.__file__).parent}",
        f"task.data={data}",
        "optimization.max_update=1",
        "dataset.num_workers=0",
        *(f"+model.{option}={value}" for option, value in SMALL.items()),
    ]
    place = ["--config-dir", str(CONFIG.parent), "--config-name", CONFIG.stem]
    words = [*place, *more, str(tmp_path / name), *overrides]
    code, output = run_here("sweep", words)
    assert code == 0, output[-3000:]
    return sorted((tmp_path / name).glob("*/predictions.tsv"))


@pytest.mark.slow
def test_from_folds_to_the_table(data, tmp_path, capsys):
    """The commands of examples/vad_forest/run.py."""
    folds = sweep(data, tmp_path, "folds", "--folds", "k_fold")
    (test,) = sweep(data, tmp_path, "whole", "--split", "test1")
    assert len(folds) == 3
    forest, table = tmp_path / "forest.skops", tmp_path / "table.json"
    where = ["--data", str(data)]
    fit = ["fit", *where, "--output", str(forest), "--trees", "20", "--predictions"]
    assert main([*fit, *map(str, folds)]) == 0
    n_rows = len(read_manifest(data / "train.tsv"))
    assert f"20 trees, {n_rows} rows" in capsys.readouterr().out
    given = [*where, "--forest", str(forest)]
    words = ["--predictions", str(test), "--output", str(tmp_path / "emotions.tsv")]
    assert main(["apply", *given, *words]) == 0
    assert main(["compare", *given, "--regressor", str(test), "--json", str(table)]) == 0
    assert "another regressor" not in capsys.readouterr().out
    assert [row["rows"] for row in json.loads(table.read_text())["systems"]] == [12, 12]

    with raises("rows-unknown"):
        main([*fit, *map(str, folds[:2]), str(test)])
    own = scored_on_train(test)
    with raises("rows-seen"):
        main([*fit, str(own)])


def scored_on_train(test):
    """The files that `experiments.score --split train` writes, with the rows of a fold."""
    file = test.with_name("predictions.train.tsv")
    fold = next(test.parents[2].glob("folds/*/predictions.tsv"))
    predictions.write(file, [{**row, "split": "train"} for row in predictions.read(fold)])
    facts = json.loads(test.with_suffix(".json").read_text())
    facts["set"]["split"] = "train"
    file.with_suffix(".json").write_text(json.dumps(facts))
    return file


def test_the_example_runs_these_commands(data, tmp_path, capsys, monkeypatch):
    """Without training: what the sweeps leave is there already, as files."""
    called = []

    def note(words, check):
        called.append(words[2:])
        runs = tmp_path / "runs"
        for name in ("folds/a", "folds/b", "whole/c"):
            (runs / name).mkdir(parents=True, exist_ok=True)
            (runs / name / "predictions.tsv").touch()
        return type("Done", (), {"returncode": 0})()

    monkeypatch.setattr(run.subprocess, "run", note)
    words = [
        "--data",
        str(data),
        "--runs",
        str(tmp_path / "runs"),
        "--nli",
        "hf:x",
        "--split",
        "test1",
        "--n-folds",
        "2",
        "common.seed=2",
    ]
    assert run.main(words) == 0
    names = [words[:2] for words in called]
    forest = "emo_fairseq.vad_to_emotion"
    steps = ("fit", "apply", "gold", "zero-shot", "compare")
    assert names[3:] == [[forest, step] for step in steps]
    assert [name for name, _ in names[:3]] == [
        "data_prep.folds",
        "emo_fairseq.experiments.sweep",
        "emo_fairseq.experiments.sweep",
    ]
    assert called[1][-4:] == ["common.seed=2", "--metric", "ccc", "pearson"]
    steps_of = [("sweep", called[2]), *((words[1], words) for words in called[3:])]
    on_split = [name for name, words in steps_of if "--split test1" in " ".join(words)]
    assert on_split == ["sweep", "gold", "zero-shot"]
    with pytest.raises(
        SystemExit, match="folds: 3 scored runs are wanted, there are 2 .a, b.; rem"
    ):
        run.main([*words, "--n-folds", "3"])
    assert yaml.safe_load(CONFIG.read_text())["task"]["target"] == "vad"
