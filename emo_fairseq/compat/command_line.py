"""The command line of fairseq's commands: ``--help``, errors, ``--arch``, checks of options."""

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from fairseq import options
from fairseq.distributed import utils as distributed_utils

from emo_fairseq.compat.console import shorten
from emo_fairseq.compat.patching import wrap
from emo_fairseq.compat.precision import apply_precision
from emo_fairseq.compat.run_options import check_parsed, check_training, set_default_architecture

_HELP = ("-h", "--help")


def apply() -> None:
    """Replace the functions of fairseq that this module is about."""
    wrap(options, "parse_args_and_arch", _help_with_all_options)
    wrap(distributed_utils, "call_main", _with_checked_options)


def _with_checked_options(call_main: Callable[..., Any]) -> Callable[..., Any]:
    def call(cfg: Any, main: Callable[..., Any], **kwargs: Any) -> Any:
        shorten()
        check_training(cfg)
        apply_precision(cfg)
        return call_main(cfg, main, **kwargs)

    return call


def _help_with_all_options(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``--help`` list the options of the task, the model and the criterion, too.

    fairseq parses once to find out which those are and adds them; but argparse prints the help in
    that first pass, and exits.
    """

    def parse_args_and_arch(parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> Any:
        find = parser.parse_known_args

        def find_names(words: Sequence[str] | None = None, namespace: Any = None) -> Any:
            vars(parser).pop("parse_known_args", None)  # the first pass alone
            words = sys.argv[1:] if words is None else words
            return find([word for word in words if word not in _HELP], namespace)

        parser.parse_known_args = find_names  # type: ignore[method-assign,assignment]
        parser.error = partial(_exit_with_error, parser)  # type: ignore[method-assign]
        shorten()
        set_default_architecture(parser, _task_of(args, kwargs))
        parsed = parse(parser, *args, **kwargs)
        check_parsed(parsed[0] if isinstance(parsed, tuple) else parsed)
        return parsed

    return parse_args_and_arch


def _exit_with_error(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """Exit with the error alone: the usage that argparse prints before it has hundreds of lines."""
    _, is_unknown, words = message.partition("unrecognized arguments: ")
    names = [word.partition("=")[0] for word in words.split() if word.startswith("--")]
    close = [difflib.get_close_matches(name, parser._option_string_actions, 1) for name in names]
    hints = " ".join(name for names in close for name in names) if is_unknown else ""
    hint = f"; there is {hints}" if hints else ""
    parser.exit(2, f"{parser.prog}: error: {message}{hint} (--help lists all options)\n")


def _task_of(args: Sequence[Any], kwargs: dict[str, Any]) -> str | None:
    """Return what ``--task`` names on the command line that is parsed next."""
    words = args[0] if args else kwargs.get("input_args")
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--task")
    known = finder.parse_known_args(sys.argv[1:] if words is None else list(words))[0]
    return known.task and str(known.task)
