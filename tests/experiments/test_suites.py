"""The suites of examples/: their grids, and that every choice is accepted."""

import re
import shlex
from math import prod
from pathlib import Path

import pytest
import yaml
from extended import all_but
from fairseq import tasks
from fairseq_configs import fairseq_config

from data_prep.commands.fit_prototypes import main as fit_prototypes
from emo_fairseq.experiments import sweep
from emo_fairseq.experiments.grid import plan_runs

SUITES = Path(__file__).parents[2] / "examples" / "suites"
NAMES = sorted(file.stem for file in SUITES.glob("suite/*.yaml"))
README = (SUITES / "README.md").read_text()
SMALL = [
    "++model.text_embed_dim=16",
    "++model.text_ffn_embed_dim=16",
    "++model.speech_embed_dim=16",
    "++model.speech_ffn_embed_dim=16",
    "++model.text_attention_heads=2",
    "++model.speech_attention_heads=2",
    "++model.text_encoder_layers=1",
    "++model.speech_encoder_layers=1",
]


def params(name):
    suite = yaml.safe_load((SUITES / "suite" / f"{name}.yaml").read_text())
    return {key: str(x).split(",") for key, x in suite["hydra"]["sweeper"]["params"].items()}


def one_at_a_time(name):
    """The first value of each choice, and each of the others with the first ones of the rest."""
    first = {key: values[0] for key, values in params(name).items()}
    others = [
        {**first, key: value}
        for key, values in params(name).items()
        for value in values[1:]
        if key != "common.seed"
    ]
    return [first, *others]


JOBS = {
    f"{name}-{number}": (name, choice)
    for name in NAMES
    for number, choice in enumerate(one_at_a_time(name))
}
KEPT = {f"{name}-{number}" for name in NAMES for number in (0, len(one_at_a_time(name)) - 1)}


@pytest.fixture(scope="module")
def data(toy_corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("suites") / "toy"
    folder.mkdir()
    for path in toy_corpus.iterdir():
        (folder / path.name).symlink_to(path)
    assert fit_prototypes([str(folder)]) == 0
    return folder


def test_the_readme_counts_the_runs():
    told = re.findall(r"^\| `(\w+)` \| (\d+) \|", README, re.MULTILINE)
    assert {name: int(count) for name, count in told} == {
        name: prod(map(len, params(name).values())) for name in NAMES
    }
    assert len(NAMES) == 7


@pytest.mark.parametrize(("name", "choice"), all_but(KEPT, JOBS))
def test_every_choice_acts(name, choice, data):
    """As fairseq-hydra-train does until the first update: unknown or idle options are refused."""
    words = [f"suite={name}", f"task.data={data}", *SMALL]
    if name in ("text_only", "audio_only"):
        other = {"text_only": "speech", "audio_only": "text"}[name]
        words = [word for word in words if f".{other}_" not in word]
    chosen = [f"{key}={value}" for key, value in choice.items()]
    (run,) = plan_runs(SUITES, "base", [*words, *chosen])
    for key, value in choice.items():
        assert str(run.options.get(key)) == value
    config = fairseq_config(run.options.values)
    task = tasks.setup_task(config.task)
    task.build_model(config.model)
    task.build_criterion(config.criterion)


def test_a_suite_is_all_of_its_runs(data):
    """And the command line goes before what the suite asks for."""
    words = ["suite=fusion_ablation", f"task.data={data}", "common.seed=2"]
    runs = plan_runs(SUITES, "base", words)
    assert [run.options.get("model.fusion") for run in runs] == params("fusion_ablation")[
        "model.fusion"
    ]
    assert {run.options.seed for run in runs} == {2}
    assert runs[-1].options.get("checkpoint.save_dir") == (
        "checkpoints/suites/fusion_ablation/misa/seed2"
    )


def test_a_dry_run_of_the_readmes_sweep(capsys, monkeypatch):
    monkeypatch.chdir(SUITES.parents[1])
    (line,) = re.findall(r"^python -m emo_fairseq\.experiments\.sweep (.*)$", README, re.MULTILINE)
    words = [*shlex.split(line), "--dry-run", "common.seed=1,2", "model.fusion=gated,lmf"]
    assert sweep.main(words) == 0
    commands = [shlex.split(said) for said in capsys.readouterr().out.splitlines()]
    assert [words[:1] for words in commands] == [["fairseq-hydra-train"]] * 4
    assert sum("model.fusion=lmf" in words for words in commands) == 2
