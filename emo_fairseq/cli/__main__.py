"""``emotion-recognize SUBCOMMAND ...``; ``python -m emo_fairseq.cli`` is the same.

Every training is fairseq-train's and every score fairseq-validate's: the command that is run is
printed first (that of ``evaluate`` with ``-v``), and can be run without this one.
"""

import argparse
import importlib
import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import emo_fairseq
from data_prep.errors import CodedError
from data_prep.messages import (
    INTERRUPTED,
    INTERRUPTED_CODE,
    exit_code,
    missing_library,
    sentence_with_code,
)
from emo_fairseq.cli import subcommands
from emo_fairseq.cli.checkpoints import local_model
from emo_fairseq.compat.excepthook import TRACEBACK_SWITCH, find_mistake
from emo_fairseq.compat.garbage_collection import no_garbage_collection

_PROGRAM = "emotion-recognize"
_FURTHER = "--"  # options after it are passed to fairseq


class _Subcommand(NamedTuple):
    module: str  # below emo_fairseq.cli: its `add` adds the parser, whose defaults name its `run`
    about: str


# In the order of use. Only the module of the one that is called is imported.
_SUBCOMMANDS: Mapping[str, _Subcommand] = {
    "train": _Subcommand(
        "train.command",
        "train and score a model on a table, a folder of recordings, a corpus or a data dir",
    ),
    "evaluate": _Subcommand(
        "evaluate.command",
        "score one model or several on a split, and print their metrics with intervals",
    ),
    "predict": _Subcommand(
        "predict.command", "predict from audio or video files, folders, tables, or lines of text"
    ),
    "analyze": _Subcommand(
        "analyze.command",
        "find the turns of recordings, predict each, and write a table and a page",
    ),
    "export": _Subcommand(
        "export", "write a model folder: weights, options, tokenizers, model card, ONNX"
    ),
    "import": _Subcommand(
        "import_classifier", "write a classifier of Hugging Face or FunASR as a model folder"
    ),
    "push": _Subcommand(
        "push", "upload a model folder to the Hugging Face hub, private unless --public"
    ),
    "serve": _Subcommand(
        "serve",
        "serve a trained model: a web page for recordings, videos and texts, and a JSON API",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code: 0, 1 if it failed, 2 if an option is wrong."""
    # Before a library does it, one of which would show debug messages of the others.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if subcommands.takes(words):
        return _exit_code(lambda: subcommands.run(words))
    own, further = _split(words)
    parser = _parser(words[0] if words else "")
    options, unknown = parser.parse_known_args(own)
    if unknown and not _take_items(options, unknown):
        parser.error(_unknown_options(options, own, unknown))
    if further and not options.takes_further:
        parser.error(f"{options.subcommand} takes no options after --")
    options.further = further
    options.words = [_PROGRAM, *words]  # for remedies

    def work() -> int:
        if options.loads_models:
            _find_models(options)  # before the imports that take seconds
        return int(options.run(options))

    return _exit_code(work)


def _find_models(options: argparse.Namespace) -> None:
    """Replace the models of a command line by their paths on this machine."""
    if getattr(options, "models", None):
        options.models = [local_model(model) for model in options.models]
    else:
        options.model = local_model(options.model)


def _exit_code(work: Callable[[], int]) -> int:
    """Run `work` and return its exit code; an error of the user is one line on standard error."""
    try:
        return work()
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTED}\n")
        return INTERRUPTED_CODE
    except BrokenPipeError:  # the reader of our output has closed it, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (CodedError, ModuleNotFoundError, OSError) as error:
        missing = missing_library(error)
        if isinstance(error, ModuleNotFoundError) and missing is None:
            raise
        if os.environ.get(TRACEBACK_SWITCH):
            raise
        mistake = missing or find_mistake(error) or error
        sys.stderr.write(f"error: {sentence_with_code(mistake)}\n")
        return exit_code(mistake)


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a command line into our own arguments and those after ``--``.

    >>> _split(["train", "data", "--", "--dropout", "0.3"])
    (['train', 'data'], ['--dropout', '0.3'])
    """
    end = words.index(_FURTHER) if _FURTHER in words else len(words)
    return list(words[:end]), list(words[end + 1 :])


def _take_items(options: argparse.Namespace, unknown: Sequence[str]) -> bool:
    """Append words after options to the items of a subcommand, if it has items and they are such.

    argparse accepts items only where they follow one another.
    """
    are_items = all(word == "-" or not word.startswith("-") for word in unknown)
    if are_items and "items" in options:
        options.items += unknown
        return True
    return False


def _unknown_options(
    options: argparse.Namespace, own: Sequence[str], unknown: Sequence[str]
) -> str:
    """Return the message for words that a subcommand does not have."""
    names = [word.partition("=")[0] for word in unknown if word.startswith("-")]
    if not names:
        return f"unrecognized arguments: {' '.join(unknown)}"
    if not options.takes_further:
        return (
            f"{options.subcommand} has no option {', '.join(names)}; `{_PROGRAM} "
            f"{options.subcommand} --help` lists its own"
        )
    first, known = own.index(unknown[0]), [word for word in own if word not in unknown]
    example = [_PROGRAM, *known, _FURTHER, *own[first:]] if own[first:] == list(unknown) else []
    remedy = f": {shlex.join(example)}" if example else f", at the end after {_FURTHER}"
    return (
        f"{options.subcommand} has no option {', '.join(names)} (--help lists its own); options of "
        f"fairseq follow {_FURTHER}{remedy}"
    )


def _parser(called: str) -> argparse.ArgumentParser:
    """Return the parser of the command line, with the options of the subcommand that is called."""
    parser = argparse.ArgumentParser(
        _PROGRAM,
        description="Multimodal emotion recognition: train, evaluate, predict, analyze, serve.",
        epilog=f"`{_PROGRAM} SUBCOMMAND --help` lists the options of each.",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show program's version number and exit"
    )
    parsers = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    for name, (module, about) in _SUBCOMMANDS.items():
        if name == called:
            with no_garbage_collection():
                importlib.import_module(f"emo_fairseq.cli.{module}").add(parsers, about)
        else:
            parsers.add_parser(name, help=about)
    subcommands.add(parsers)
    return parser


class _Version(argparse.Action):
    """Print the version, whose look-up takes time, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("emo_fairseq")
        except PackageNotFoundError:
            number = emo_fairseq.__version__
        parser.exit(message=f"{_PROGRAM} {number}\n")


if __name__ == "__main__":
    sys.exit(main())
