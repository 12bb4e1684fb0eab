"""The YAML files of examples/ train the very weights that their READMEs' commands train."""

import importlib
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from extended import all_but

from data_prep.commands import (
    extract_features,
    fit_prototypes,
)
from data_prep.features.stored import write_split
from data_prep.schema import read_manifest
from emo_fairseq.evaluation import predictions

EXAMPLES = Path(__file__).parents[2] / "examples"
OBJECTIVES = EXAMPLES / "objectives"
OF_PRETRAINED = EXAMPLES / "vad_forest" / "config" / "regressor.yaml"  # test_vad_forest_example.py
SECTIONS = ("task", "model", "criterion", "optimization", "optimizer", "lr_scheduler")
OF_FEATURES = [
    EXAMPLES / "emobank" / "config" / f"{name}_vad.yaml" for name in ("features", "probe")
]
CONFIGS = sorted(
    str(file.relative_to(EXAMPLES))
    for file in EXAMPLES.glob("*/config/*.yaml")
    if OBJECTIVES not in file.parents and file not in (OF_PRETRAINED, *OF_FEATURES)
)
NAMES = sorted(file.stem for file in OBJECTIVES.glob("config/objective/*.yaml"))
SMALL = {
    "text_embed_dim": 16,
    "text_attention_heads": 2,
    "speech_embed_dim": 16,
    "speech_attention_heads": 2,
    "fusion_embed_dim": 16,
    "encoder_attention_heads": 2,
}


def test_every_corpus_has_an_example():
    corpora = {"emobank", "meld", "ravdess", "toy", "vad_forest"}
    assert {Path(config).parts[0] for config in CONFIGS} == corpora


def test_every_objective_is_in_the_readme():
    assert [*objectives()] == [name for name in objectives() if name in NAMES]
    assert sorted(objectives()) == NAMES


@pytest.fixture
def begun(fairseq, run_here, commands, toy_corpus, monkeypatch):
    """The options of a plain command and of a configuration, as both begin to train."""

    def begin(words, plain, *overrides):
        options = []
        # In this order: the module of the first imports the second when it is imported.
        for main in ("fairseq_cli.hydra_train.pre_main", "fairseq_cli.train.main"):
            monkeypatch.setattr(main, options.append)
        fairseq("train", plain, f"--user-dir {plugin(commands)} --data {toy_corpus}")
        finished = run_here("hydra-train", words, f"common.user_dir={plugin(commands)}", *overrides)
        assert finished.code == 0, finished.errors[-2000:]
        assert len({cfg["checkpoint"]["save_dir"] for cfg in options}) == 1
        return options

    return begin


@pytest.mark.parametrize("config", CONFIGS)
def test_same_options_as_the_plain_command(config, begun, toy_corpus):
    file = EXAMPLES / config
    words = f"--config-dir {file.parent} --config-name {file.stem} task.data={toy_corpus}"
    assert_same_options(*begun(words, readme_command(file)))


@pytest.mark.parametrize("config", all_but({"toy/config/text_speech.yaml"}, CONFIGS))
def test_same_weights_as_the_plain_command(
    config, fairseq, run_here, commands, toy_corpus, tmp_path
):
    """The toy corpus stands for the others, which are not at hand."""
    file = EXAMPLES / config
    finished = run_here(
        "hydra-train",
        f"--config-dir {file.parent} --config-name {file.stem} common.user_dir={plugin(commands)}",
        f"task.data={toy_corpus} ++task.data_raw={toy_corpus}",
        f"checkpoint.save_dir={tmp_path / 'hydra'} dataset.num_workers=0",
        "optimization.max_update=3 lr_scheduler.total_num_update=450",
        " ".join(f"+model.{option}={value}" for option, value in SMALL.items()),
    )
    fairseq(
        "train",
        readme_command(file),
        f"--user-dir {plugin(commands)} --data {toy_corpus} --data-raw {toy_corpus}",
        f"--save-dir {tmp_path / 'plain'}",
        "--max-update 3 --total-num-update 450 --num-workers 0",
        " ".join(f"--{option.replace('_', '-')} {value}" for option, value in SMALL.items()),
    )
    assert finished.code == 0, finished.errors[-2000:]
    assert_same_training(tmp_path / "plain", tmp_path / "hydra", updates=3)


def test_recipes_of_stored_features(run_here, commands, copy_toy, tmp_path):
    """They have no plain command: what they train is what their options say."""
    data = copy_toy()
    for split in ("train", "valid", "test"):
        rows = read_manifest(data / f"{split}.tsv")
        vectors = (np.full((1, 4), number / len(rows), "f4") for number in range(len(rows)))
        settings = {"modality": "text", "weights": "minilm", "dtype": "float32"}
        write_split(data / "features" / "minilm", split, rows, vectors, settings, "content")
    done = {
        file.stem: run_here(
            "hydra-train",
            f"--config-dir {file.parent} --config-name {file.stem}",
            f"common.user_dir={plugin(commands)} task.data={data}",
            f"dataset.num_workers=0 checkpoint.save_dir={file.stem}",
            "optimization.max_update=2 lr_scheduler.total_num_update=450"
            if file.stem == "features_vad"
            else "",
        )
        for file in OF_FEATURES
    }
    for name, finished in done.items():
        assert finished.code == 0, finished.errors[-2000:]
        state = torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True)
        task = state["cfg"]["task"]
        assert (task["text_encoder"], task["target"]) == ("features:minilm", "vad")
        assert ("--probe: solved" in finished.log) == (name == "probe_vad")
        assert -1 <= best_of(tmp_path / name) <= 1


# -- objectives: one YAML file for what they share, and one for each ------------------------------


@pytest.fixture
def two_corpora(copy_toy):
    """The toy corpus as if it were two, with prototypes and log-mel frames."""

    def name_corpora(split, rows):
        return [replace(row, corpus=f"toy{number % 2}") for number, row in enumerate(rows)]

    data = copy_toy(name_corpora)
    assert fit_prototypes.main([str(data)]) == 0
    assert extract_features.main([str(data), "--workers", "1"]) == 0
    return data


@pytest.mark.parametrize("name", NAMES)
def test_an_objective_has_the_options_of_its_command(name, begun, toy_corpus):
    """All of them; some are trained below."""
    words = f"--config-dir {OBJECTIVES / 'config'} --config-name base objective={name}"
    assert_same_options(*begun(words, objective_command(name), f"task.data={toy_corpus}"))


# The teacher, its student, and the one that is scored; below is one that reads prototypes.
SOME = ("cross_entropy", "distillation_kd", "multitask")


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [SOME, pytest.param(NAMES, marks=pytest.mark.extended)], ids=["some", "all"]
)
def test_objectives_by_sweep(
    names, fairseq, run_here, commands, two_corpora, monkeypatch, tmp_path
):
    """As the jobs of one sweep."""
    first = "cross_entropy"  # the teacher
    order = [first, *(name for name in names if name != first)]
    swept = run_here(
        "hydra-train",
        f"-m --config-dir {OBJECTIVES / 'config'} --config-name base objective={','.join(order)}",
        f"common.user_dir={plugin(commands)} task.data={two_corpora} dataset.num_workers=0",
        "optimization.max_update=2 lr_scheduler.total_num_update=450",
        " ".join(f"+model.{option}={value}" for option, value in SMALL.items()),
    )
    assert swept.code == 0, swept.errors[-2000:]
    (tmp_path / "plain").mkdir()
    monkeypatch.chdir(tmp_path / "plain")
    for name in order:
        fairseq(
            "train",
            objective_command(name),
            f"--user-dir {plugin(commands)} --data {two_corpora} --num-workers 0",
            "--max-update 2 --total-num-update 450",
            " ".join(f"--{option.replace('_', '-')} {value}" for option, value in SMALL.items()),
        )
    for name in order:
        folder = f"checkpoints/objectives/{name}/seed1"
        assert_same_training(tmp_path / "plain" / folder, tmp_path / folder, updates=2)
    scored = fairseq(
        "validate",
        command_of("fairseq-validate"),
        f"--user-dir {plugin(commands)}",
        f"--data {two_corpora} --num-workers 0",
    )
    assert {"uar", "ccc@vad", "uar@sentiment"} <= scored.figures("test").keys()


def test_what_the_sweep_replaces():
    """Its length, and where its data are."""
    yaml = (OBJECTIVES / "config" / "base.yaml").read_text()
    options = re.findall(r"^  (data|max_update|batch_size): (\S+)", yaml, re.MULTILINE)
    assert len(options) == 3
    for option, value in options:
        assert f"--{option.replace('_', '-')} {value} " in command_of("fairseq-train")


def test_sweep_over_values(run_here, commands, two_corpora, tmp_path):
    """The README's second sweep: each job is what it is alone, whatever ran before it."""
    (folder,) = re.findall(
        r"^    ('checkpoint.save_dir=.*')$", readme_of_objectives(), re.MULTILINE
    )
    common = [
        f"--config-dir {OBJECTIVES / 'config'} --config-name base objective=supcon",
        f"common.user_dir={plugin(commands)} task.data={two_corpora} dataset.num_workers=0",
        "task.modality=text task.speech_input=null criterion.supcon_weighting=v1",
        " ".join(f"+model.{option}={value}" for option, value in SMALL.items() if "text" in option),
        "optimization.max_update=2 checkpoint.best_checkpoint_metric=loss",
        "checkpoint.maximize_best_checkpoint_metric=false",
    ]
    swept = run_here("hydra-train", "-m", *common, folder, "common.seed=2,1")
    alone = run_here("hydra-train", *common, "common.seed=1 checkpoint.save_dir=alone")
    for finished in (alone, swept):
        assert finished.code == 0, finished.errors[-2000:]
    jobs = tmp_path / "checkpoints" / "sweep" / "v1"
    assert sorted(job.name for job in jobs.iterdir()) == ["seed1", "seed2"]
    first, second = (best_of(jobs / job) for job in ("seed2", "seed1"))
    assert first < second  # which fairseq would not have saved, remembering the first
    assert second == best_of(tmp_path / "alone")
    assert_same_training(tmp_path / "alone", jobs / "seed1", updates=2)


TINY = {"data_prep.toy": "--n-train 16 --n-valid 8 --n-test 8 --speakers 2 2 2"}


def test_across_corpora(fairseq, commands, monkeypatch, tmp_path):
    """The README's commands, on fewer utterances: train on two corpora, score on the third."""
    monkeypatch.chdir(tmp_path)
    for line in readme_of_objectives().splitlines():
        words = shlex.split(line) if line.startswith("python -m") else []
        if words:
            module = importlib.import_module(words[2])
            assert module.main([*words[3:], *TINY.get(words[2], "").split()]) == 0
    here = f"--user-dir {plugin(commands)} --num-workers 0 --batch-size 8"
    small = " ".join(f"--{option.replace('_', '-')} {value}" for option, value in SMALL.items())
    log = fairseq("train", objective_command("corpus_adversary"), here, small, "--max-update 2")
    assert 0 <= log.figures("train")["corpus_adversary_accuracy"] <= 1
    folder = Path("checkpoints/objectives/corpus_adversary/seed1")
    score = f"--path {folder}/checkpoint_last.pt --data data/cross --valid-subset test"
    save = "--batch-size 8 --save-predictions predictions.tsv"
    fairseq("validate", commands["validate"], score, save)
    names = [row["id"] for row in predictions.read(Path("predictions.tsv"))]
    assert len(names) == 8
    assert all(name.startswith("toy3/") for name in names)


@pytest.mark.parametrize("config", CONFIGS)
def test_what_the_test_above_replaces(config):
    """Paths and lengths are the same, too."""
    yaml = (EXAMPLES / config).read_text()
    options = re.findall(r"^  (save_dir|data|max_update|batch_size): (\S+)", yaml, re.MULTILINE)
    assert len(options) == 4
    for option, value in options:
        assert f"--{option.replace('_', '-')} {value} " in readme_command(EXAMPLES / config)


def readme_command(config: Path) -> str:
    """The options of the README's training command that saves where this file does."""
    readme = (config.parents[1] / "README.md").read_text().replace("\\\n", " ")
    (folder,) = re.findall(r"^  save_dir: (\S+)", config.read_text(), re.MULTILINE)
    (command,) = [
        line.removeprefix("fairseq-train ")
        for line in readme.splitlines()
        if line.startswith("fairseq-train") and f"--save-dir {folder} " in line
    ]
    return command


def plugin(commands: dict[str, str]) -> str:
    return commands["validate"].split()[1]


def given(section):
    return {name: value for name, value in section.items() if value is not None}


def readme_of_objectives() -> str:
    return (OBJECTIVES / "README.md").read_text()


def objectives() -> dict[str, str]:
    """The options of each objective, as the README's tables have them."""
    return dict(
        re.findall(r"^\| `(\w+)` \| .* \| `(.*)` \|$", readme_of_objectives(), re.MULTILINE)
    )


def command_of(program: str) -> str:
    """The options of the one command of the README that begins so."""
    readme = readme_of_objectives().replace("\\\n", " ")
    (command,) = re.findall(rf"^{program} (.*)$", readme, re.MULTILINE)
    return command


def objective_command(name: str) -> str:
    """The README's command, with another last line."""
    shared, folder, options = re.split(r"--save-dir (\S+)", command_of("fairseq-train"))
    assert options.strip() == objectives()["cross_entropy"]
    return f"{shared} --save-dir {folder.replace('cross_entropy', name)} {objectives()[name]}"


def assert_same_training(plain: Path, hydra: Path, updates: int) -> None:
    """The same weights, reached under the same options."""
    one, other = (
        torch.load(folder / "checkpoint_last.pt", weights_only=True) for folder in (plain, hydra)
    )
    assert one["optimizer_history"][-1]["num_updates"] == updates
    assert one["model"].keys() == other["model"].keys()
    assert all(torch.equal(one["model"][key], other["model"][key]) for key in one["model"])
    assert_same_options(one["cfg"], other["cfg"])


def assert_same_options(plain, hydra) -> None:
    for section in SECTIONS:
        assert given(hydra[section]) == given(plain[section])
    for option in ("best_checkpoint_metric", "maximize_best_checkpoint_metric"):
        assert hydra["checkpoint"][option] == plain["checkpoint"][option]


def best_of(folder: Path) -> float:
    """The score of its best checkpoint."""
    state = torch.load(folder / "checkpoint_best.pt", weights_only=True)
    return float(state["extra_state"]["val_loss"])
