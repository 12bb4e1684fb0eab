"""Every command line in the documentation is one that its program accepts."""

import argparse
import contextlib
import io
import re
from pathlib import Path

import pytest
from code_blocks import REPOSITORY, blocks, written_by_hand
from fairseq import options as fairseq_options
from reference_pages.commands import every_command

from emo_fairseq.cli.__main__ import _split
from emo_fairseq.options.option import flag, rules_of
from emo_fairseq.options.registered import registered_schemas

PAGES = written_by_hand()
NAMES = [str(page.relative_to(REPOSITORY)) for page in PAGES]
COMMANDS = dict(every_command())
FAIRSEQ = {
    "fairseq-train": fairseq_options.get_training_parser,
    "fairseq-validate": fairseq_options.get_validation_parser,
}
# Options of other programs that the pages name: pip's, torchrun's, those of benchmarks and so on.
OF_OTHERS = {
    "--address",
    "--all",
    "--checkout",
    "--compare",
    "--full",
    "--gpus-per-node",
    "--head",
    "--help",
    "--index-url",
    "--jobs",
    "--json",
    "--minutes",
    "--missed",
    "--nnodes",
    "--no-deps",
    "--nodes",
    "--nproc_per_node",
    "--only",
    "--peak-tflops",
    "--rdzv_conf",
    "--rounds",
    "--save",
    "--seconds",
    "--size",
    "--soak",
    "--stops",
    "--strict",
    "--turns",
    "--version",
}
VARIABLE = re.compile(r"EMO_FAIRSEQ_[A-Z]+")
BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
PASSED_ON = ("prepare", "tokenize", "report")


def refusal(parser: argparse.ArgumentParser, words: list[str]) -> str:
    """Parse words; return what is printed if they are refused."""
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
        try:
            parser.parse_intermixed_args(words)
        except TypeError:  # has subcommands
            parser.parse_args(words)
        except SystemExit:
            return printed.getvalue().strip().splitlines()[-1]
    return ""


def refusal_of_fairseq(program: str, words: list[str]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed):
        try:
            fairseq_options.parse_args_and_arch(FAIRSEQ[program](), input_args=words)
        except SystemExit:
            return printed.getvalue().strip().splitlines()[-1]
    return ""


def problem(words: list[str]) -> str:
    """Return why a command line is none of ours, or not accepted; empty if all is well."""
    program = words[0]
    if program in FAIRSEQ:
        return refusal_of_fairseq(program, [word for word in words[1:] if word != "…"])
    if program == "emotion-recognize":
        words = [*words[:1], *_split(words[1:])[0]]
        if words[1] in PASSED_ON:
            return problem(passed_on(words[1:]))
        return known(" ".join(words[:2]), words[2:])
    if words[:2] == ["python", "-m"] and words[2].startswith(("data_prep.", "emo_fairseq.")):
        for length in (4, 3):
            if (name := " ".join(words[:length])) in COMMANDS:
                return known(name, words[length:])
        return "there is no such module"
    if words[:2] == ["python", "-m"]:
        module = Path(REPOSITORY, *words[2].split("."))
        files = module.with_suffix(".py"), module / "__main__.py"
        return "" if any(file.is_file() for file in files) else "none"
    if program == "make":
        return "" if f"\n{words[1]}:" in (REPOSITORY / "Makefile").read_text() else "no such target"
    return ""


def known(name: str, words: list[str]) -> str:
    return refusal(COMMANDS[name], words) if name in COMMANDS else "there is no such command"


def passed_on(words: list[str]) -> list[str]:
    """Return the command that a subcommand of emotion-recognize runs."""
    if words[0] == "report":
        return ["python", "-m", "emo_fairseq.report", *words[1:]]
    if words[0] == "tokenize":
        kind = "speech" if words[1] == "--speech" else "text"
        return ["python", "-m", f"data_prep.tokenize_{kind}", *words[1 + (kind == "speech") :]]
    return ["python", "-m", f"data_prep.{words[1]}", *words[2:]]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_line_is_accepted(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)  # for --user-dir emo_fairseq
    lines = [words for block in blocks(page) for words in block.commands]
    problems = [(problem(words), " ".join(words)) for words in lines]
    assert [one for one in problems if one[0]] == []


@pytest.fixture(scope="module")
def options() -> set[str]:
    """All options of our commands and of fairseq's."""
    parsers = [*COMMANDS.values(), *(make() for make in FAIRSEQ.values())]
    of_parsers = {word for parser in parsers for word in parser._option_string_actions}
    of_plugin = {
        flag(name)
        for schemas in registered_schemas().values()
        for schema in schemas.values()
        for name in rules_of(schema)
    }
    return of_parsers | of_plugin | OF_OTHERS


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_option_that_is_named_exists(page: Path, options: set[str]) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    named = {
        word.rstrip("-")
        for code in re.findall(r"`([^`]+)`", text)
        for word in re.findall(r"(?<![\w-])--[a-z][a-z0-9_-]+", code)
    }
    assert named - options == set()


def test_every_environment_variable_is_described() -> None:
    files = [*(REPOSITORY / "emo_fairseq").rglob("*.py"), *(REPOSITORY / "data_prep").rglob("*.py")]
    used = {name for file in files for name in VARIABLE.findall(file.read_text(encoding="utf-8"))}
    page = (REPOSITORY / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    assert used == set(VARIABLE.findall(page))
