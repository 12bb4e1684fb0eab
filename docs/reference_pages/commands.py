"""The pages of all commands with their options, from their parsers."""

import argparse
import copy
from collections.abc import Iterator
from pathlib import Path

import data_prep
from data_prep.corpora.registry import CORPORA
from emo_fairseq.cli import subcommands
from reference_pages.docstrings import to_markdown
from reference_pages.markdown import GENERATED, code, escaped, joined, table
from reference_pages.parsers import parser_of, subparsers_of

# The commands of packages that are for people, beside those of data_prep: module, what is run.
ANALYSIS = {
    "emo_fairseq.report.__main__": "python -m emo_fairseq.report",
    "emo_fairseq.experiments.sweep": "python -m emo_fairseq.experiments.sweep",
    "emo_fairseq.experiments.search": "python -m emo_fairseq.experiments.search",
    "emo_fairseq.experiments.score": "python -m emo_fairseq.experiments.score",
    "emo_fairseq.experiments.collect": "python -m emo_fairseq.experiments.collect",
    "emo_fairseq.vad_to_emotion.__main__": "python -m emo_fairseq.vad_to_emotion",
    "emo_fairseq.export.adapter": "python -m emo_fairseq.export.adapter",
    "emo_fairseq.export.merge_lora": "python -m emo_fairseq.export.merge_lora",
}
_PREPARE = "data_prep.commands.prepare"
_MODULES = Path(data_prep.__file__).parent / "commands"
_OF_THE_MACHINE = {"workers": "one for each core"}  # defaults that differ between machines
Command = tuple[str, argparse.ArgumentParser]


def pages() -> dict[str, str]:
    """Return a page for `emotion-recognize`, for `data_prep`, and for experiments and reports."""
    return {
        "reference/commands/emotion_recognize.md": _page(
            "emotion-recognize",
            "One command from a corpus to a served model. It prints every fairseq command that it "
            "runs. `python -m emo_fairseq.cli` is the same.",
            emotion_recognize(),
        ),
        "reference/commands/data_prep.md": _page(
            "Data preparation",
            "Each corpus, and each step of preparation, is a command of `data_prep`. "
            "`emotion-recognize prepare CORPUS` and `emotion-recognize tokenize` run them, too.",
            preparation(),
        ),
        "reference/commands/analysis.md": _page(
            "Reports, experiments and the forest",
            "What is run on predictions files, on many trainings, and on predicted VAD.",
            analysis(),
        ),
    }


def every_command() -> Iterator[Command]:
    """Yield all commands with their parsers."""
    yield from emotion_recognize()
    yield from preparation()
    yield from analysis()


def emotion_recognize() -> Iterator[Command]:
    """Yield the subcommands of `emotion-recognize`."""
    for name, sub in subparsers_of(_emotion_recognize("--help")).items():
        # The options of a subcommand are there where it is called; of some, in another command.
        called = sub if subcommands.takes([name]) else subparsers_of(_emotion_recognize(name))[name]
        yield f"emotion-recognize {name}", called


def _emotion_recognize(word: str) -> argparse.ArgumentParser:
    return parser_of("emo_fairseq.cli.__main__", "main", [word])


def preparation() -> Iterator[Command]:
    """Yield the corpora, then the other commands of `data_prep`."""
    for corpus in CORPORA:
        yield f"python -m data_prep.{corpus}", parser_of(_PREPARE, "main", corpus)
    for file in sorted(_MODULES.glob("[a-z]*.py")):
        if file.stem != "prepare":
            parser = parser_of(f"data_prep.commands.{file.stem}")
            yield f"python -m data_prep.{file.stem}", parser
    yield "python -m data_prep.folds", parser_of("data_prep.folds.__main__")


def analysis() -> Iterator[Command]:
    """Yield the commands of `ANALYSIS`, and those of their subcommands."""
    for module, name in ANALYSIS.items():
        parser = parser_of(module)
        subparsers = subparsers_of(parser)
        if not subparsers:
            yield name, parser
        for word, sub in subparsers.items():
            yield f"{name} {word}", sub


def _page(title: str, introduction: str, commands: Iterator[Command]) -> str:
    parts = [f"# {title}", introduction, GENERATED]
    for name, parser in commands:
        parts += [f"## `{name}`", to_markdown(_capitalized(parser.description or ""))]
        parts += _arguments(parser)
    return joined(parts)


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    shown = [action for action in parser._actions if _is_shown(action)]
    shown.sort(key=lambda action: bool(action.option_strings))  # positional ones first
    rows = [_row(parser, action) for action in shown]
    if rows:
        yield table(["argument", "values", "default", "what it does"], rows)


def _is_shown(action: argparse.Action) -> bool:
    hidden = (argparse._VersionAction, argparse._SubParsersAction)
    is_help = "--help" in action.option_strings
    return action.help != argparse.SUPPRESS and not is_help and not isinstance(action, hidden)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    names = ", ".join(map(code, action.option_strings)) or code(_name(action))
    return [names, _values(action), _default(action), escaped(_help(parser, action))]


def _name(action: argparse.Action) -> str:
    return action.metavar if isinstance(action.metavar, str) else action.dest


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    shown = copy.copy(action)
    shown.default = _OF_THE_MACHINE.get(action.dest, action.default)
    return parser._get_formatter()._expand_help(shown) if action.help else ""


def _values(action: argparse.Action) -> str:
    if action.choices is not None:
        return ", ".join(code(str(choice)) for choice in action.choices)
    if action.nargs == 0:
        return "flag"
    if not action.option_strings:
        return {"*": "any number", "+": "one or more", "?": "optional"}.get(str(action.nargs), "")
    if isinstance(action.metavar, tuple):
        return code(" ".join(action.metavar))
    many = " …" if action.nargs in ("+", "*") else ""
    return code((action.metavar or action.dest.upper()) + many)


def _default(action: argparse.Action) -> str:
    if action.required and action.option_strings:
        return "required"
    default = action.default
    if default in (None, False, [], (), argparse.SUPPRESS) or "%(default)" in (action.help or ""):
        return ""
    if isinstance(default, list | tuple):
        default = " ".join(map(str, default))
    return code(str(default))
