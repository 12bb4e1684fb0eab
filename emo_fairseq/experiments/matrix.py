"""Which corpus was trained on, and which was tested on: a matrix of one metric."""

from collections.abc import Sequence

from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.measuring import mean_and_deviation
from emo_fairseq.experiments.rendering import (
    UNKNOWN,
    Grid,
    spread,
)
from emo_fairseq.experiments.results import Result
from emo_fairseq.experiments.selection import TEST
from emo_fairseq.experiments.systems import by_system

Cell = tuple[str, str]  # trained on, tested on


def matrices(results: Sequence[Result], metric: str) -> list[Grid]:
    """A matrix for each system: rows are trained on, columns tested on.

    Cells are means ± standard deviations over runs, their number in brackets.

    Raises:
        UsageError: a run has no such metric.
    """
    return [
        _matrix(f"{name}, {metric}: rows trained on, columns tested on", members, metric)
        for name, members in by_system(results).items()
    ]


def _matrix(title: str, results: Sequence[Result], metric: str) -> Grid:
    figures: dict[Cell, list[float]] = {}
    notes = {}
    for result in results:
        found = result.answers.figures()
        if metric not in found:
            raise UsageError(f"--matrix {metric}: choose from {', '.join(found)}")
        figures.setdefault(_cell(result), []).append(found[metric])
        for leak in result.leaks:
            what = f"leak allowed: {result.run.path}: {leak}"
            notes[what] = what
        if result.left_out:
            counted = ", ".join(f"{n} {label}" for label, n in result.left_out.items())
            what = f"{result.trained_on} on {result.tested_on}: {counted} left out"
            notes[what] = f"{what}, which the model has no word for"
    trained, tested = (list(dict.fromkeys(cell[n] for cell in figures)) for n in (0, 1))
    cells = [
        [row, *(_text(figures.get((row, column), [])) for column in tested)] for row in trained
    ]
    return Grid(title, ["trained on", *tested], cells, list(notes.values()))


def _cell(result: Result) -> Cell:
    protocol = f" ({result.options.protocol})" if result.options.protocol else ""
    split = "" if result.split == TEST else f" ({result.split})"
    return f"{result.trained_on}{protocol}", f"{result.tested_on}{split}"


def _text(figures: Sequence[float]) -> str:
    if not figures:
        return UNKNOWN
    return f"{spread(*mean_and_deviation(figures))} ({len(figures)})"
