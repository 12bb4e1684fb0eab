"""The commands of the top README and of the page on fairseq's commands, run on a small corpus."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
from code_blocks import REPOSITORY, blocks
from extended import all_but

import emo_fairseq
from data_prep.corpora.toy import prepare_toy
from emo_fairseq.cli.__main__ import _parser
from emo_fairseq.evaluation import predictions
from emo_fairseq.fitting import Fitted

README = REPOSITORY / "README.md"
PAGE = REPOSITORY / "docs" / "how-to" / "fairseq_commands.md"
RESULTS = REPOSITORY / "docs" / "results.md"
PREPARED = ("tokenize_text", "tokenize_speech", "extract_features", "validate")
NUMBER = re.compile(r"(?<![\w.])\.\d{3,}")


def commands_of(page: Path, program: str) -> list[list[str]]:
    """Every command of a page's code blocks that begins so, without its comment."""
    lines = [words for block in blocks(page) for words in block.commands]
    return [words for words in lines if " ".join(words).startswith(program)]


@pytest.mark.parametrize("page", all_but({"README"}, {"README": README, "page": PAGE}))
def test_train_validate_report(page, toy_corpus, fairseq, monkeypatch, tmp_path):
    train, *_ = commands_of(page, "fairseq-train")
    (validate,) = commands_of(PAGE, "fairseq-validate")
    monkeypatch.chdir(tmp_path)
    here = f"--user-dir {REPOSITORY / 'emo_fairseq'} --data {toy_corpus} --num-workers 0"
    fairseq("train", shlex.join(train[1:]), here, "--max-update 2")
    fairseq("validate", shlex.join(validate[1:]), here)
    assert len(predictions.read(tmp_path / "predictions.tsv")) == 12
    report, *_ = commands_of(PAGE, "python -m emo_fairseq.report")
    assert report == ["python", "-m", "emo_fairseq.report", "predictions.tsv"]


@pytest.mark.parametrize("module", PREPARED)
def test_preparation(module, monkeypatch, tmp_path):
    (words,) = commands_of(PAGE, f"python -m data_prep.{module}")
    assert words[3:] == ["data/toy"]
    prepare_toy(tmp_path, n_train=16, n_valid=4, n_test=4, speakers=(2, 1, 1))
    monkeypatch.setattr("sys.argv", [module, str(tmp_path)])
    assert importlib.import_module(f"data_prep.{module}").main() == 0


def test_the_console_command_takes_these_words():
    words = [command[1:] for command in commands_of(README, "emotion-recognize ")]
    parsed = [_parser(line[0]).parse_args(line).subcommand for line in words]
    assert set(parsed) == {"train", "evaluate", "predict", "analyze", "serve"}


def test_what_python_is_shown_exists():
    (code,) = [block.text for block in blocks(README) if block.language == "python"]
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)]
    used = {(ast.unparse(node.value), node.attr) for node in nodes}
    assert ("emo_fairseq", "fit") in used
    of = {"emo_fairseq": emo_fairseq, "model": Fitted}
    assert all(hasattr(of[name], attribute) for name, attribute in used)


def test_figures_are_those_of_the_results():
    shown = set(NUMBER.findall(README.read_text()))
    assert shown
    assert shown <= set(NUMBER.findall(RESULTS.read_text()))
