"""Collect runs into a table: means, pooled folds, intervals, tests against the first system.

    python -m emo_fairseq.experiments.collect RUNS… [--by system|fold|seed] [--metric uar …]
        [--csv F] [--markdown F] [--latex F] [--matrix METRIC] [--baseline NAME]

Systems are runs that differ in anything but seed, fold and paths. `mean ± std` is over the n runs
of a system, folds and seeds; `pooled` takes the predictions of all folds of a seed together and is
the mean over seeds; its intervals are a bootstrap over utterances, and Student's t over speakers
where the data dir still names enough of them. `p` is a paired bootstrap over utterances, `p,
speakers` a paired t test over speakers; `Holm` is each corrected for all tests of the table. None
of them contains the variance over seeds. Systems that lack a fold or a seed have a *.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep.commands.number_types import positive_int
from data_prep.folds.file import folds_path
from data_prep.schema import write_atomically
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import (
    N_RESAMPLES,
    NOT_SEEDS,
    OVER_SPEAKERS,
    OVER_UTTERANCES,
)
from emo_fairseq.experiments.comparison import BY, mean_and_deviation, table_rows
from emo_fairseq.experiments.options import TEST, selection_set
from emo_fairseq.experiments.rendering import (
    UNKNOWN,
    Grid,
    as_csv,
    as_latex,
    as_markdown,
    csv_rows,
    grid_of,
    print_grid,
    spread,
)
from emo_fairseq.experiments.runs import (
    Result,
    RunFolder,
    Unfinished,
    find_runs,
    folds_of,
    read_results,
    speakers_of,
)
from emo_fairseq.experiments.systems import System, Table, by_system, make_tables

_SHOWN = 6  # missing runs that are named


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 if there is nothing to collect."""
    args = make_parser().parse_args(arguments)
    files = {name: getattr(args, name) for name in ("csv", "markdown", "latex")}
    runs = find_runs(args.runs)
    if args.matrix:
        return show_matrix(runs, args.matrix, files)
    return show(runs, args.metric, args.by, args.baseline, args.resamples, files)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.experiments.collect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUNS", help="runs, or folders of runs")
    add("--by", choices=BY, default="system", help="what a row is of (default: %(default)s)")
    add("--metric", nargs="+", help="which, by name (default: the usual ones of the target)")
    add("--baseline", default="", help="begin with the system whose name holds this")
    add("--matrix", metavar="METRIC", help="rows trained on, columns tested on, instead of tables")
    add(
        "--resamples", type=positive_int, default=N_RESAMPLES, help="of the bootstrap (%(default)s)"
    )
    for name in ("csv", "markdown", "latex"):
        add(f"--{name}", type=Path, metavar="FILE", help="write the table there, too")
    return parser


def show(
    runs: Sequence[RunFolder],
    metrics: Sequence[str] | None = None,
    by: str = "system",
    baseline: str = "",
    n_resamples: int = N_RESAMPLES,
    files: dict[str, Path | None] | None = None,
) -> int:
    """Print the tables of some runs, and write them to files by kind; 1 if there are none."""
    results, unfinished = read_results(runs)
    grids, lines = [], []
    for table in make_tables(results, unfinished, baseline):
        rows, notes = table_rows(table, metrics or (), by, n_resamples)
        lines += csv_rows(rows, _about(table))
        grids.append(grid_of(_title(table), rows, [*_notes(table), *notes]))
    _put_out(grids, unfinished, files or {})
    if files and files.get("csv") and lines:
        write_atomically(files["csv"], as_csv(lines))  # type: ignore[arg-type]
    return 0 if grids else 1


def show_matrix(runs: Sequence[RunFolder], metric: str, files: dict[str, Path | None]) -> int:
    """Print the matrices of some runs, and write them to files by kind; 1 if there are none."""
    results, unfinished = read_results(runs)
    grids = matrices(results, metric)
    _put_out(grids, unfinished, files)
    lines = [
        {"matrix": grid.title, **dict(zip(grid.header, row, strict=True))}
        for grid in grids
        for row in grid.cells
    ]
    if files["csv"] and lines:
        write_atomically(files["csv"], as_csv(lines))
    return 0 if grids else 1


def _put_out(
    grids: Sequence[Grid], unfinished: Sequence[Unfinished], files: dict[str, Path | None]
) -> None:
    for grid in grids:
        print_grid(grid)
    left_out = [f"not in the table: {run.run.path}: {run.reason}" for run in unfinished]
    sys.stdout.write("".join(f"{line}\n" for line in left_out))
    if file := files.get("markdown"):
        lost = "".join(f"- {line}\n" for line in left_out)
        write_atomically(file, "\n".join([*map(as_markdown, grids), lost]))
    if file := files.get("latex"):
        lost = "".join(f"% {line}\n" for line in left_out)
        write_atomically(file, "\n".join([*map(as_latex, grids), lost]))


def _title(table: Table) -> str:
    about = _about(table)
    place = f"{about['tested_on']}, {about['split']}"
    trained = "" if table.tested_on == table.trained_on else f", trained on {table.trained_on}"
    folds = f", {table.protocol}, folds {about['folds']}" if table.protocol else ""
    return f"{place} ({about['labels']}){trained}{folds}, seeds {about['seeds']}"


def _about(table: Table) -> dict[str, str]:
    """What a figure is worth nothing without."""
    return {
        "trained_on": table.trained_on,
        "tested_on": table.tested_on,
        "split": table.split,
        "labels": " ".join(table.names),
        "protocol": table.protocol or "splits on disk",
        "folds": " ".join(table.folds),
        "seeds": " ".join(map(str, table.seeds)),
        "intervals": f"95 %; utterances: {OVER_UTTERANCES}; speakers: {OVER_SPEAKERS}; {NOT_SEEDS}",
        "chosen_by": "; ".join(sorted({result.selected_by for result in table.results})),
        "leak_allowed": "; ".join(_leaks(table.results)),
    }


def _leaks(results: Sequence[Result]) -> list[str]:
    """By run what ``--allow-leak`` let pass."""
    return [f"{result.run.path}: {leak}" for result in results for leak in result.leaks]


def _notes(table: Table) -> list[str]:
    """What stands below the figures."""
    notes = [f"checkpoints chosen by: {_about(table)['chosen_by']}"]
    results = table.results
    if any(table.split == selection_set(x.options) and not x.is_cross_corpus for x in results):
        notes.append(f"{table.split} is the set that chose the checkpoints, not a test set")
    notes += [f"leak allowed: {leak}" for leak in _leaks(results)]
    counted = {label: n for result in results for label, n in result.left_out.items()}
    if counted:
        rows = ", ".join(f"{n} {label}" for label, n in sorted(counted.items()))
        notes.append(f"rows left out, their labels are none of the model's: {rows}")
    notes += [_incomplete(system) for system in table.systems if system.missing]
    data, trained = results[0].data, results[0].options.data
    if not speakers_of(data):
        notes.append(f"no intervals over speakers: {data} is not at hand")
    if table.protocol and not folds_of(trained, table.protocol):
        file = folds_path(trained, table.protocol)
        notes.append(f"only folds that were run are known: {file} is not at hand")
    return [*notes, *table.notes]


def _incomplete(system: System) -> str:
    places = [f"seed {seed}" + (f" fold {fold}" if fold else "") for seed, fold in system.missing]
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return f"* {system.name} is incomplete: no {', '.join(places[:_SHOWN])}{more}"


if __name__ == "__main__":
    raise SystemExit(main())


# --- Which corpus was trained on, and which was tested on: a matrix of one metric -----------------

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
