"""All speed benchmarks by one command: ``python -m benchmarks --input NAME=FOLDER …``.

Runs the rows of :mod:`benchmarks.registry`, each in a process of its own, quick ones by default.
Prints what each prints, saves the ratios after each row with date and machine (``--save``), prints
one table of them, compares them with saved ones (``--compare``), and ends with 1 if a ratio has
fallen by more than 15 % or a row failed.
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.registry import INPUTS, ROWS, Row, by_name
from benchmarks.results import Ratio, read_ratios

REGRESSION = 0.15  # of a ratio: what two runs on one quiet machine differ by at most


@dataclass(frozen=True)
class Measured:
    """A ratio, and how to measure it again.

    Attributes:
        row: name of its row.
        command: that measured it, with the names of inputs for their folders.
        ratio: the figure.
    """

    row: str
    command: str
    ratio: Ratio


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=by_name(), metavar="ROW", help="these rows")
    parser.add_argument(
        "--input",
        nargs="+",
        default=[],
        metavar="NAME=FOLDER",
        help="; ".join(f"{name}: {description}" for name, description in INPUTS.items()),
    )
    parser.add_argument("--full", action="store_true", help="as published; takes far longer")
    parser.add_argument("--list", action="store_true", help="list the rows, and run nothing")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the ratios as JSON")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="ratios of an earlier --save")
    args = parser.parse_args(arguments)
    inputs = _parse_inputs(parser, args.input)
    rows = [row for row in ROWS if args.only is None or row.name in args.only]
    if args.list:
        for row in rows:
            print(f"{row.name:15s} {command_of(row, args.full)}")
        return 0
    earlier = read_saved(args.compare) if args.compare else {}

    def keep(so_far: Sequence[Measured]) -> None:
        if args.save:
            save(args.save, so_far)

    measured, failed = run_rows(rows, inputs, args.full, keep)
    print(table(measured, datetime.date.today(), machine()))
    regressions = list(find_regressions(measured, earlier))
    for message in regressions:
        print(f"regression: {message}")
    return 1 if failed or regressions else 0


def _parse_inputs(parser: argparse.ArgumentParser, words: Sequence[str]) -> dict[str, str]:
    inputs = dict(word.partition("=")[::2] for word in words)
    for name, folder in inputs.items():
        if name not in INPUTS:
            parser.error(f"--input {name}: there are {', '.join(INPUTS)}")
        if not Path(folder).is_dir():
            parser.error(f"--input {name}={folder}: there is no such folder")
    return inputs


def command_of(row: Row, full: bool) -> str:
    """Return the command of a row, with the names of its inputs in capitals."""
    return shlex.join(["python", "-m", *row.words({n: n.upper() for n in row.inputs}, full)])


def run_rows(
    rows: Sequence[Row],
    inputs: Mapping[str, str],
    full: bool,
    keep: Callable[[Sequence[Measured]], None] = lambda so_far: None,
) -> tuple[list[Measured], list[str]]:
    """Run the rows whose inputs are given, and name those that are left out.

    Args:
        rows: to be run.
        inputs: folders by name.
        full: as published.
        keep: called after each row with all that was measured so far.

    Returns:
        What was measured, and the names of the rows that failed.
    """
    measured: list[Measured] = []
    failed = []
    for row in rows:
        if missing := [name for name in row.inputs if name not in inputs]:
            print(f"{row.name}: not run, since it needs --input {' '.join(missing)}")
            continue
        print(f"{row.name}: {command_of(row, full)}", flush=True)
        ratios, has_failed = _run(row.words(inputs, full))
        if has_failed:
            failed.append(row.name)
        measured += [Measured(row.name, command_of(row, full), ratio) for ratio in ratios]
        keep(measured)
    return measured, failed


def _run(words: Sequence[str]) -> tuple[list[Ratio], bool]:
    """Run a benchmark; return its ratios, also those before a failure, and whether it failed."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "ratios.json"
        command = [sys.executable, "-m", *words, "--json", str(file)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(f"  {line.rstrip()}", flush=True)
        ratios = read_ratios(file) if file.is_file() else []
        if process.returncode or not ratios:
            print(f"failed with {process.returncode}")
        return ratios, bool(process.returncode) or not ratios


def table(measured: Sequence[Measured], day: datetime.date, on: str) -> str:
    """Return the Markdown table of the documentation.

    Args:
        measured: the ratios.
        day: of the run.
        on: the machine.
    """
    lines = [
        f"Measured on {day.isoformat()}; {on}.",
        "",
        "| what | measured | ratio | to | command |",
        "|---|---|---|---|---|",
    ]
    for result in measured:
        ratio = result.ratio
        lines.append(
            f"| {ratio.of} | {ratio.measured:.4g} {ratio.unit} | {ratio.ratio:.2f} | "
            f"{ratio.against} | `{result.command}` |"
        )
    return "\n".join(lines)


def machine() -> str:
    """Describe processor and libraries, without a name of the machine."""
    import torch
    import transformers

    from emo_fairseq.tasks.environment import processor_name

    return (
        f"{processor_name()}, {len(os.sched_getaffinity(0))} cores, Python "
        f"{platform.python_version()}, torch {torch.__version__}, transformers "
        f"{transformers.__version__}"
    )


def save(file: Path, measured: Sequence[Measured]) -> None:
    """Write the ratios with date and machine."""
    document: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "ratios": [
            {"row": result.row, "command": result.command, **asdict(result.ratio)}
            for result in measured
        ],
    }
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_saved(file: Path) -> dict[tuple[str, str], float]:
    """Read the ratios of a :func:`save` by command and name: a quick one is not a full one."""
    rows = json.loads(file.read_text(encoding="utf-8"))["ratios"]
    return {(row["command"], f"{row['of']} / {row['against']}"): row["ratio"] for row in rows}


def find_regressions(
    measured: Sequence[Measured], earlier: Mapping[tuple[str, str], float]
) -> list[str]:
    """Describe each ratio that has fallen by more than :data:`REGRESSION`.

    >>> now = [Measured("text", "python -m x", Ratio("text", 9.0, "rows/s", "a loop", 1.6))]
    >>> find_regressions(now, {("python -m x", "text / a loop"): 2.0})
    ['text / a loop: 1.60, which was 2.00 (python -m x)']
    >>> find_regressions(now, {("python -m x", "text / a loop"): 1.8})
    []
    """
    messages = []
    for result in measured:
        before = earlier.get((result.command, result.ratio.name))
        if before is not None and result.ratio.ratio < (1 - REGRESSION) * before:
            messages.append(
                f"{result.ratio.name}: {result.ratio.ratio:.2f}, which was {before:.2f} "
                f"({result.command})"
            )
    return messages


if __name__ == "__main__":
    sys.exit(main())
