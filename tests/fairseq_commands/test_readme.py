"""The commands of the top README, run as they stand but for paths and length."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from data_prep.corpora.toy import prepare_toy
from emo_fairseq.cli import subcommands
from emo_fairseq.cli.__main__ import _parser
from emo_fairseq.evaluation import predictions
from emo_fairseq.vad_to_emotion.__main__ import make_parser

README = Path(__file__).parents[2] / "README.md"
PREPARED = ("tokenize_text", "tokenize_speech", "extract_features", "validate")


def commands_of(program: str) -> list[list[str]]:
    """Every command of the README's code blocks that begins so, without its comment."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    text = "\n".join(block for language, block in blocks if not language)
    lines = [part for line in text.replace("\\\n", " ").splitlines() for part in line.split(" && ")]
    found = [shlex.split(line, comments=True) for line in lines if line.strip()]
    return [words for words in found if " ".join(words).startswith(program)]


def test_train_validate_report(toy_corpus, fairseq, monkeypatch, tmp_path):
    (train,) = commands_of("fairseq-train")
    (validate,) = commands_of("fairseq-validate")
    monkeypatch.chdir(tmp_path)
    here = f"--user-dir {README.parent / 'emo_fairseq'} --data {toy_corpus} --num-workers 0"
    fairseq("train", shlex.join(train[1:]), here, "--max-update 2")
    fairseq("validate", shlex.join(validate[1:]), here)
    assert len(predictions.read(tmp_path / "predictions.tsv")) == 12
    assert commands_of("python -m emo_fairseq.report") == [
        ["python", "-m", "emo_fairseq.report", "predictions.tsv"]
    ]


@pytest.mark.parametrize("module", PREPARED)
def test_preparation(module, monkeypatch, tmp_path):
    (words,) = commands_of(f"python -m data_prep.{module}")
    assert words[3:] == ["data/toy"]
    prepare_toy(tmp_path, n_train=16, n_valid=4, n_test=4, speakers=(2, 1, 1))
    monkeypatch.setattr("sys.argv", [module, str(tmp_path)])
    assert importlib.import_module(f"data_prep.{module}").main() == 0


def test_the_console_command_takes_these_words():
    found = [words[1:] for words in commands_of("emotion-recognize ")]
    passed_on = [words for words in found if subcommands.takes(words)]
    parsed = [_parser().parse_args(words).subcommand for words in found if words not in passed_on]
    assert {words[0] for words in passed_on} == {"prepare", "tokenize"}
    assert {*parsed} == {"train", "evaluate", "export", "predict", "serve"}


def test_the_forest_takes_these_words():
    found = [words[3:] for words in commands_of("python -m emo_fairseq.vad_to_emotion ")]
    assert [words[0] for words in found] == ["fit", "apply"]
    for words in found:
        make_parser().parse_args(words)


def test_every_other_command_exists():
    """Those on corpora that are not at hand have tests of their own; here, that they are real."""
    for words in commands_of("python -m data_prep."):
        folder = README.parent.joinpath(*words[2].split("."))
        assert folder.with_suffix(".py").is_file() or (folder / "__main__.py").is_file()
