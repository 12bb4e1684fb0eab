"""The console command as a whole: quick to start, and each error on one line with its code."""

import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.corpora.registry import CORPORA
from emo_fairseq.cli.__main__ import _parser, main

ROOT = Path(__file__).parents[2]


def test_help_is_there_before_torch_is():
    code = (
        "import sys; sys.argv = ['emotion-recognize', 'train', '--help']\n"
        "from emo_fairseq.cli.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'fairseq', 'transformers', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "--target" in done.stdout


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "export", "push", "serve"])
def test_every_subcommand_has_help(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"emotion-recognize {name}" in capsys.readouterr().out


MISTAKES = {
    "no data dir": (["train", "{tmp}"], "[source-unknown]"),
    "no checkpoint": (["predict", "{tmp}", "a.wav"], "[checkpoint-missing]"),
    "nothing there": (["evaluate", "{tmp}/x", "{tmp}"], "[checkpoint-missing]"),
    "no data": (["evaluate", "{tmp}", "{tmp}/x"], "[data-missing]"),
    "no model": (["export", "{tmp}/x.pt", "--output", "{tmp}/y"], "[checkpoint-missing]"),
    "not to be exported": (
        ["export", "{tmp}", "--output", "y"],
        "or a folder of --save-dir [checkpoint-missing]\n",
    ),
    "no folder": (["serve", "{tmp}/x"], "[checkpoint-missing]"),
    "no corpus": (["prepare", "friends"], "[corpus-unknown]"),
}


@pytest.mark.parametrize(("words", "ending"), MISTAKES.values(), ids=MISTAKES)
def test_an_error_is_one_line_with_its_code(words, ending, tmp_path, capsys):
    ended_with = main([word.format(tmp=tmp_path) for word in words])
    errors = capsys.readouterr().err
    assert ended_with == (2 if errors.startswith("error: --") else 1)
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert ending in errors


def test_options_of_fairseq_are_refused_where_they_are_not_passed_on(capsys):
    with pytest.raises(SystemExit) as end:
        main(["predict", "model", "a.wav", "--", "--dropout", "0.3"])
    assert end.value.code == 2
    assert "predict takes no options after --" in capsys.readouterr().err


def test_corpora_are_prepared_and_tokenized_by_data_prep(command, started, tmp_path):
    data = tmp_path / "toy"
    command("prepare", "toy", data, "--n-train", "16", "--n-valid", "4", "--n-test", "4")
    printed = command("tokenize", data, "--vocab-size", "300")
    assert f"-m data_prep.tokenize_text {data} --vocab-size 300" in printed
    printed = command("tokenize", "--speech", data, "--n-clusters", "1000000", code=1)
    assert f"-m data_prep.tokenize_speech {data} --n-clusters 1000000" in printed
    assert (data / "text" / "sentencepiece-300" / "train.idx").is_file()


def test_what_is_passed_on_runs_in_a_process_of_its_own(capfd):
    assert main(["prepare", "toy", "--help"]) == 0
    assert "usage: python -m data_prep.toy" in capfd.readouterr().out
    assert main(["prepare", "toy", "--no-such-option"]) == 2
    assert "error: " in capfd.readouterr().err


def test_prepare_lists_the_corpora_and_own_data_alone(capsys):
    assert main(["prepare", "--help"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:2] == "  "]
    assert listed == [*CORPORA, "table", "hf_table"]


@pytest.mark.parametrize(
    ("word", "remedy"),
    [("combine", "run python -m data_prep.combine"), ("../meld", "choose one of cmu_mosei")],
)
def test_prepare_refuses_what_is_no_corpus(word, remedy, capsys):
    assert main(["prepare", word, "data"]) == 1
    refusal = capsys.readouterr().err
    assert remedy in refusal
    assert "[corpus-unknown]" in refusal


@pytest.mark.parametrize("name", ["predict", "analyze", "serve"])
def test_an_unknown_option_is_named_with_its_subcommand(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "model", "--epochs=3"])
    assert end.value.code == 2
    wanted = f"{name} has no option --epochs; `emotion-recognize {name} --help` lists its own"
    assert wanted in capsys.readouterr().err


def test_cpu_is_an_option_of_commands_that_predict():
    for name in ("predict", "analyze"):
        assert _parser(name).parse_args([name, "model", "a.wav", "--cpu"]).device == "cpu"
