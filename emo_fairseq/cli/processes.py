"""Run commands of this environment, each printed first as a shell takes it."""

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from data_prep.messages import INTERRUPTED_CODE
from data_prep.next_commands import NEXT_SWITCH, NO_COMMANDS
from emo_fairseq.cli import fairseq_tool
from emo_fairseq.compat.verbosity import EVERYTHING, VERBOSE_SWITCH, WARNINGS, is_verbose

PLUGIN = Path(__file__).resolve().parents[1]  # emo_fairseq, what --user-dir names
_STANDARD_ERROR = 2
_ENDING_SECONDS = 30.0  # of a command that was interrupted; it may be writing a checkpoint

# Where commands and their output go: None = standard output and error.
_log: TextIO | None = None


def tool(name: str) -> str:
    """Return the path of a fairseq command of this environment, active or not."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def module(name: str, *arguments: str | Path) -> list[str]:
    """Return the command line of ``python -m NAME ...`` with this Python."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def show(words: Sequence[str]) -> None:
    """Print a command as a shell takes it."""
    write(f"$ {shlex.join(words)}")


def write(line: str) -> None:
    """Print a line, flushed before the output of the next process."""
    stream = _log or sys.stdout
    stream.write(f"{line}\n")
    stream.flush()


def write_error(line: str) -> None:
    """Print a line to standard error."""
    stream = _log or sys.stderr
    stream.write(f"{line}\n")
    stream.flush()


def run(words: Sequence[str], discard_output: bool = False) -> int:
    """Print a command, run it on this terminal, and return its exit code.

    With `discard_output` its errors alone are printed.
    """
    show(words)
    return _wait_for(words, subprocess.DEVNULL if discard_output else _log)


def run_quietly(words: Sequence[str]) -> int:
    """Run a command of fairseq without printing it, and return its exit code.

    Its warnings and its progress line go to standard error; with ``-v`` its whole log does.
    """
    quiet = {} if is_verbose() else {VERBOSE_SWITCH: WARNINGS}
    return _wait_for(words, _log or _STANDARD_ERROR, {**os.environ, **quiet})


def _wait_for(
    words: Sequence[str], out: TextIO | int | None, environment: Mapping[str, str] | None = None
) -> int:
    command = fairseq_tool.started(words)
    environment = {**(environment or os.environ), NEXT_SWITCH: NO_COMMANDS}
    with subprocess.Popen(command, stdout=out, stderr=_log, env=environment) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:  # which the terminal sends to the command, too
            _end(process)
            return INTERRUPTED_CODE


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Wait for an interrupted command, which prints that it is; a second interruption kills it."""
    try:
        process.wait(_ENDING_SECONDS)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        process.kill()


@contextlib.contextmanager
def logged_to(file: Path) -> Iterator[None]:
    """Write commands and their output to the end of a file, in place of the terminal."""
    global _log  # noqa: PLW0603 - every command of this process prints to one terminal
    with file.open("a", encoding="utf-8") as log:
        previous, _log = _log, log
        try:
            yield
        finally:
            _log = previous


def explained(words: Sequence[str], code: int) -> int:
    """Explain on standard error that a signal has ended a command, which could not print why.

    Returns:
        Its exit code; 1 where a signal has ended it.
    """
    if code < 0:
        write_error(f"error: {_explain(words, -code)}")
    return code if code >= 0 else 1


def _explain(words: Sequence[str], number: int) -> str:
    """Return a sentence on a command that a signal has ended.

    >>> _explain(["/env/bin/fairseq-train", "--data", "d"], 9).partition(";")[0]
    'fairseq-train was killed by SIGKILL, as the system does when memory is full'
    """
    name = words[2] if words[1:2] == ["-m"] else Path(words[0]).name
    again = "the same command continues from there"
    if number == signal.SIGKILL:
        return (
            f"{name} was killed by SIGKILL, as the system does when memory is full; give a smaller "
            f"--batch-size, and {again}"
        )
    return f"{name} was ended by {signal.Signals(number).name}; {again}"


# -- verbosity -------------------------------------------------------------------------------------


def add_verbose(parser: Any) -> None:
    """Add ``-v`` to a subcommand that runs commands of fairseq, or to a group of its options."""
    about = f"print fairseq's own log, as {VERBOSE_SWITCH}={EVERYTHING} does for every command"
    parser.add_argument("-v", "--verbose", action=_Verbose, nargs=0, help=about)


class _Verbose(argparse.Action):
    """Sets the switch for the commands that this process starts."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        *_: object,
    ) -> None:
        os.environ[VERBOSE_SWITCH] = EVERYTHING
        setattr(namespace, self.dest, True)
