"""The parser of a command, without running the command."""

import argparse
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest import mock


class _Built(Exception):  # noqa: N818  # no error: it ends `main` where the parser is complete
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__(parser)
        self.parser = parser


def parser_of(module: str, function: str = "main", *arguments: Any) -> argparse.ArgumentParser:
    """Return the parser that a command's main function builds.

    Args:
        module: such as ``emo_fairseq.report.__main__``.
        function: its main function.
        arguments: what `function` is called with.

    Raises:
        LookupError: the function returned without parsing anything.
    """
    main = getattr(importlib.import_module(module), function)
    with _ending_at_the_parser():
        try:
            main(*arguments)
        except _Built as built:
            return built.parser
    raise LookupError(f"{module}.{function} parses nothing")


@contextmanager
def _ending_at_the_parser() -> Iterator[None]:
    """Let every parser end its command."""
    hook = sys.excepthook

    def end(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        raise _Built(parser)

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", end),
        mock.patch.object(argparse.ArgumentParser, "parse_known_args", end),
        mock.patch.object(argparse.ArgumentParser, "parse_intermixed_args", end),
        mock.patch.object(sys, "argv", ["command", "--help"]),
    ):
        try:
            yield
        finally:
            sys.excepthook = hook


def subparsers_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of its subcommands by name; empty where it has none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
