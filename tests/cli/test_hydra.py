"""The YAML files of examples/ train the very weights that their READMEs' commands train."""

import re
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"
SECTIONS = ("task", "model", "criterion", "optimization", "optimizer", "lr_scheduler")
CONFIGS = sorted(str(file.relative_to(EXAMPLES)) for file in EXAMPLES.glob("*/config/*.yaml"))
SMALL = {
    "text_embed_dim": 16,
    "text_attention_heads": 2,
    "speech_embed_dim": 16,
    "speech_attention_heads": 2,
    "fusion_embed_dim": 16,
    "encoder_attention_heads": 2,
}


def test_every_corpus_has_an_example():
    assert {Path(config).parts[0] for config in CONFIGS} == {"emobank", "meld", "ravdess", "toy"}


@pytest.mark.parametrize("config", CONFIGS)
def test_same_weights_as_the_plain_command(
    config, fairseq, fairseq_process, commands, toy_corpus, tmp_path
):
    """The toy corpus stands for the others, which are not at hand."""
    file = EXAMPLES / config
    running = fairseq_process(
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
    finished = running.wait()
    assert finished.code == 0, finished.errors[-2000:]
    plain, hydra = (
        torch.load(tmp_path / run / "checkpoint_last.pt", weights_only=True)
        for run in ("plain", "hydra")
    )
    assert plain["optimizer_history"][-1]["num_updates"] == 3
    assert plain["model"].keys() == hydra["model"].keys()
    assert all(torch.equal(plain["model"][key], hydra["model"][key]) for key in plain["model"])
    for section in SECTIONS:
        assert given(hydra["cfg"][section]) == given(plain["cfg"][section])
    for option in ("best_checkpoint_metric", "maximize_best_checkpoint_metric"):
        assert hydra["cfg"]["checkpoint"][option] == plain["cfg"]["checkpoint"][option]


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
