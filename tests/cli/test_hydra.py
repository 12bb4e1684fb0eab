"""fairseq-hydra-train with examples/toy's YAML files trains what the README's commands train."""

import re
from pathlib import Path

import pytest
import torch

TOY = Path(__file__).parents[2] / "examples" / "toy"
SECTIONS = ("task", "model", "criterion", "optimization", "optimizer", "lr_scheduler")
NAMES = ("text", "speech", "text_speech")
SMALL = {
    "text_embed_dim": 16,
    "text_attention_heads": 2,
    "speech_embed_dim": 16,
    "speech_attention_heads": 2,
    "fusion_embed_dim": 16,
    "encoder_attention_heads": 2,
}


@pytest.mark.parametrize("name", NAMES)
def test_same_weights_as_the_plain_command(
    name, fairseq, fairseq_process, commands, toy_corpus, tmp_path
):
    running = fairseq_process(
        "hydra-train",
        f"--config-dir {TOY / 'config'} --config-name {name} common.user_dir={plugin(commands)}",
        f"task.data={toy_corpus} checkpoint.save_dir={tmp_path / 'hydra'} dataset.num_workers=0",
        "optimization.max_update=3 lr_scheduler.total_num_update=450",
        " ".join(f"+model.{option}={value}" for option, value in SMALL.items()),
    )
    fairseq(
        "train",
        readme_command(name),
        f"--user-dir {plugin(commands)} --data {toy_corpus} --save-dir {tmp_path / 'plain'}",
        "--max-update 3 --num-workers 0",
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


@pytest.mark.parametrize("name", NAMES)
def test_what_the_test_above_replaces(name):
    """Paths and lengths are the same, too."""
    yaml = (TOY / "config" / f"{name}.yaml").read_text()
    options = re.findall(r"^  (save_dir|data|max_update|batch_size): (\S+)", yaml, re.MULTILINE)
    assert len(options) == 4
    for option, value in options:
        assert f"--{option.replace('_', '-')} {value} " in readme_command(name)


def readme_command(name: str) -> str:
    """The options of the README's training command that saves under this name."""
    readme = (TOY / "README.md").read_text().replace("\\\n", " ")
    (command,) = [
        line.removeprefix("fairseq-train ")
        for line in readme.splitlines()
        if line.startswith("fairseq-train") and f"checkpoints/toy/{name} " in line
    ]
    return command


def plugin(commands: dict[str, str]) -> str:
    return commands["validate"].split()[1]


def given(section):
    return {name: value for name, value in section.items() if value is not None}
