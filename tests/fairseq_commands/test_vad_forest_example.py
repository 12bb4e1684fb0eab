"""The regressor of examples/vad_forest: its command and its YAML train the same, in small."""

import hf_folders
import pytest
import torch
from vad_forest_example import FOLDER as EXAMPLE
from vad_forest_example import load

from data_prep.commands.tokenize_text import tokenize_with_hf
from data_prep.schema import read_manifest
from emo_fairseq.vad_to_emotion.__main__ import make_parser

README = (EXAMPLE / "README.md").read_text().replace("\\\n", " ")


def lines(start):
    return [line.removeprefix(start) for line in README.splitlines() if line.startswith(start)]


def command():
    (found,) = [line for line in lines("fairseq-train ") if "--save-dir" in line and "hf:" in line]
    return found


@pytest.fixture
def data(copy_toy, tmp_path):
    """The toy corpus in the words of a tiny RoBERTa."""
    folder = copy_toy()
    (folder / "text").unlink()
    texts = [row.text for row in read_manifest(folder / "train.tsv")]
    hf_folders.build(tmp_path / "roberta", "roberta", texts)
    tokenize_with_hf(folder, tmp_path / "roberta")
    return folder


def test_same_weights_as_the_plain_command(data, fairseq, run_here, commands, tmp_path):
    plugin, encoder = commands["validate"].split()[1], tmp_path / "roberta"
    finished = run_here(
        "hydra-train",
        f"--config-dir {EXAMPLE / 'config'} --config-name regressor common.user_dir={plugin}",
        f"task.data={data} task.text_encoder=hf:{encoder} common.cpu=true",
        f"checkpoint.save_dir={tmp_path / 'hydra'} dataset.num_workers=0",
        "task.max_text_tokens=30 optimization.max_epoch=2",
    )
    fairseq(
        "train",
        command(),
        f"--user-dir {plugin} --data {data} --text-encoder hf:{encoder} --cpu",
        f"--save-dir {tmp_path / 'plain'} --num-workers 0 --max-text-tokens 30 --max-epoch 2",
    )
    assert finished.code == 0, finished.errors[-2000:]
    plain, hydra = (
        torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True)
        for name in ("plain", "hydra")
    )
    assert plain["optimizer_history"][-1]["num_updates"] == 4  # two epochs of 32 rows by 16
    for name, value in plain["model"].items():
        assert torch.equal(value, hydra["model"][name]), name


def test_what_the_test_above_replaces():
    yaml = (EXAMPLE / "config" / "regressor.yaml").read_text()
    for option, value in (
        ("data", "data/msp_podcast"),
        ("save_dir", "checkpoints/vad_forest/regressor"),
        ("text_encoder", "hf:models/roberta-base"),
        ("max_text_tokens", "128"),
        ("max_epoch", "5"),
    ):
        assert f"  {option}: {value}\n" in yaml
        assert f"--{option.replace('_', '-')} {value} " in command()


def test_the_options_of_the_readme_are_there():
    found = lines("python -m emo_fairseq.vad_to_emotion ")
    assert [words.split()[0] for words in found] == ["fit", "apply", "gold", "zero-shot", "compare"]
    for words in found:
        make_parser().parse_args(words.split())


def test_the_toy_tokenizer_knows_every_word(copy_toy, tmp_path):
    data = copy_toy()
    (data / "text").unlink()
    load("toy_tokenizer").write_tokenizer(tmp_path / "words")
    folder = tokenize_with_hf(data, tmp_path / "words")
    assert {counts.unknown for counts in folder.splits.values()} == {0}
