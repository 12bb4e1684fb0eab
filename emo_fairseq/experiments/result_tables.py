"""Tables of the results of runs: metrics of systems, and matrices of corpora."""

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.files.replacing import write_atomically
from data_prep.folds.file import folds_path
from data_prep.schema import TEST
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import NOT_SEEDS, OVER_SPEAKERS, OVER_UTTERANCES
from emo_fairseq.evaluation.names import N_RESAMPLES, display_name
from emo_fairseq.evaluation.tables import (
    NONE,
    Table,
    format_interval,
    format_mean,
    format_number,
    format_p_value,
    mean_and_deviation,
    print_table,
    to_csv,
    to_latex,
    to_markdown,
)
from emo_fairseq.experiments.comparison import Row, table_rows
from emo_fairseq.experiments.results import Result, Unfinished, folds_of, read_results, speakers_of
from emo_fairseq.experiments.runs import RunFolder
from emo_fairseq.experiments.selection import selection_set
from emo_fairseq.experiments.systems import (
    SeedAndFold,
    Setting,
    System,
    by_system,
    group_by_setting,
)

_MOST_MISSING = 6  # missing runs that are named
_FIRST_SYSTEM = (
    "the first system is that of `collect --baseline`, else that of the first run in the order of "
    "the sweep's command line, else of the folders"
)
_LEFT = ("metric", "system", "of")  # columns of words
Files = Mapping[str, Path | None]  # csv, markdown, latex


def show(
    runs: Sequence[RunFolder],
    metrics: Sequence[str] | None = None,
    by: str = "system",
    baseline: str = "",
    n_resamples: int = N_RESAMPLES,
    files: Files | None = None,
) -> int:
    """Print the tables of runs, and write them to files by format; return 1 if there are none."""
    results, unfinished = read_results(runs)
    tables, records = [], []
    for setting in group_by_setting(results, unfinished, baseline):
        rows, notes = table_rows(setting, metrics or (), by, n_resamples)
        tables.append(_table(_title(setting), rows, [*_notes(setting), *notes]))
        records += [{**_about(setting), **_record(row)} for row in rows]
    _output(tables, records, unfinished, files or {})
    return 0 if tables else 1


def show_matrix(runs: Sequence[RunFolder], metric: str, files: Files) -> int:
    """Print the matrices of runs, and write them to files by format; return 1 if there are none."""
    results, unfinished = read_results(runs)
    tables = matrices(results, metric)
    records = [
        {"matrix": table.title, **dict(zip(table.header, row, strict=True))}
        for table in tables
        for row in table.rows
    ]
    _output(tables, records, unfinished, files)
    return 0 if tables else 1


def _output(
    tables: Sequence[Table],
    records: Sequence[Mapping[str, object]],
    unfinished: Sequence[Unfinished],
    files: Files,
) -> None:
    for table in tables:
        print_table(table, _LEFT)
    left_out = [f"not in the table: {run.run.path}: {run.reason}" for run in unfinished]
    sys.stdout.write("".join(f"{line}\n" for line in left_out))
    if file := files.get("markdown"):
        notes = "".join(f"- {line}\n" for line in left_out)
        write_atomically(file, "\n".join([*map(to_markdown, tables), notes]))
    if file := files.get("latex"):
        notes = "".join(f"% {line}\n" for line in left_out)
        write_atomically(file, "\n".join([*map(to_latex, tables), notes]))
    if records and (file := files.get("csv")):
        write_atomically(file, to_csv(records))


# --- Rows as text and as records ------------------------------------------------------------------


def _number(value: float, sign: bool = False) -> str:
    return format_number(value, sign=sign, undefined=NONE)


def _interval(ends: Sequence[float], sign: bool = False) -> str:
    return format_interval(ends, sign=sign, undefined=NONE)


# header: cell; a column whose cells are all empty is left out
_COLUMNS: dict[str, Callable[[Row], str]] = {
    "metric": lambda row: display_name(row.metric),
    "system": lambda row: f"{row.system} *" if row.n_missing else row.system,
    "of": lambda row: row.part or NONE,
    "n": lambda row: str(row.n_runs),
    "mean ± std": lambda row: format_mean(row.mean, row.deviation, undefined=NONE),
    "pooled": lambda row: _number(row.pooled),
    "95 %, utterances": lambda row: _interval(row.utterances),
    "95 %, speakers": lambda row: _interval(row.speakers),
    "difference": lambda row: _number(row.difference, sign=True),
    "95 %, of it": lambda row: _interval(row.difference_ends, sign=True),
    "p, utterances": lambda row: format_p_value(row.p),
    "p, utterances, Holm": lambda row: format_p_value(row.p_holm),
    "p, speakers": lambda row: format_p_value(row.p_speakers),
    "p, speakers, Holm": lambda row: format_p_value(row.p_speakers_holm),
    "other test, p": lambda row: (
        f"{format_p_value(row.other.p_value)} {row.other.name}" if row.other else NONE
    ),
    "other test, p, Holm": lambda row: format_p_value(row.other_holm),
}


def _table(title: str, rows: Sequence[Row], notes: Sequence[str]) -> Table:
    columns = {name: [cell(row) for row in rows] for name, cell in _COLUMNS.items()}
    shown = {name: cells for name, cells in columns.items() if set(cells) != {NONE}}
    return Table(list(shown), list(zip(*shown.values(), strict=True)), title, notes)


def _record(row: Row) -> dict[str, object]:
    """The values of a row, unrounded."""
    return {
        "system": row.system,
        "part": row.part,
        "metric": row.metric,
        "n_runs": row.n_runs,
        "n_missing": row.n_missing,
        "mean": row.mean,
        "deviation": row.deviation,
        "pooled": row.pooled,
        "utterances_low": row.utterances.low,
        "utterances_high": row.utterances.high,
        "speakers_low": row.speakers.low,
        "speakers_high": row.speakers.high,
        "no_speakers": row.no_speakers,
        "difference": row.difference,
        "difference_low": row.difference_ends.low,
        "difference_high": row.difference_ends.high,
        "p": row.p,
        "p_holm": row.p_holm,
        "p_speakers": row.p_speakers,
        "p_speakers_holm": row.p_speakers_holm,
        "other_test": row.other.name if row.other else "",
        "other_p": row.other.p_value if row.other else math.nan,
        "other_p_holm": row.other_holm,
    }


# --- Titles and notes -----------------------------------------------------------------------------


def _title(setting: Setting) -> str:
    about = _about(setting)
    tested = f"{about['tested_on']}, {about['split']} ({about['labels']})"
    is_own = setting.tested_on == setting.trained_on
    trained = "" if is_own else f", trained on {setting.trained_on}"
    folds = f", {setting.protocol}, folds {about['folds']}" if setting.protocol else ""
    return f"{tested}{trained}{folds}, seeds {about['seeds']}"


def _about(setting: Setting) -> dict[str, str]:
    """The columns that every record of a table has, without which no metric can be read."""
    return {
        "trained_on": setting.trained_on,
        "tested_on": setting.tested_on,
        "split": setting.split,
        "labels": " ".join(setting.names),
        "protocol": setting.protocol or "splits on disk",
        "folds": " ".join(setting.folds),
        "seeds": " ".join(map(str, setting.seeds)),
        "intervals": f"95 %; utterances: {OVER_UTTERANCES}; speakers: {OVER_SPEAKERS}; {NOT_SEEDS}",
        "chosen_by": "; ".join(sorted({result.selected_by for result in setting.results})),
        "leak_allowed": "; ".join(_leaks(setting.results)),
        "transductive": "; ".join(_transductive(setting.results)),
    }


def _leaks(results: Sequence[Result]) -> list[str]:
    """What ``--allow-leak`` accepted, by run."""
    return [f"{result.run.path}: {leak}" for result in results for leak in result.leaks]


def _transductive(results: Sequence[Result]) -> list[str]:
    """How predictions depend on other rows of the split, by run."""
    return [f"{result.run.path}: {note}" for result in results for note in result.transductive]


def _notes(setting: Setting) -> list[str]:
    """The notes below the table."""
    notes = [f"checkpoints chosen by: {_about(setting)['chosen_by']}"]
    if len(setting.systems) > 1:
        first = setting.systems[0].name
        notes.append(
            f"difference: from {first}, with its 95 % interval over utterances; {_FIRST_SYSTEM}"
        )
    results, split = setting.results, setting.split
    if any(split == selection_set(x.options) and not x.is_cross_corpus for x in results):
        notes.append(f"{split} is the set that chose the checkpoints, not a test set")
    notes += [f"leak allowed: {leak}" for leak in _leaks(results)]
    notes += [f"transductive: {note}" for note in _transductive(results)]
    left_out = {label: n for result in results for label, n in result.left_out.items()}
    if left_out:
        rows = ", ".join(f"{n} {label}" for label, n in sorted(left_out.items()))
        notes.append(f"rows left out, their labels are none of the model's: {rows}")
    notes += [_note_on_missing(system) for system in setting.systems if system.missing]
    data, trained = results[0].data, results[0].options.data
    if not speakers_of(data, split):
        notes.append(f"no intervals over speakers: {data} is not at hand")
    if setting.protocol and not folds_of(trained, setting.protocol):
        file = folds_path(trained, setting.protocol)
        notes.append(f"only folds that were run are known: {file} is not at hand")
    return [*notes, *setting.notes]


def _note_on_missing(system: System) -> str:
    runs = [f"seed {seed}" + (f" fold {fold}" if fold else "") for seed, fold in system.missing]
    n_more = len(runs) - _MOST_MISSING
    more = f" and {n_more} more" if n_more > 0 else ""
    return f"* {system.name} is incomplete: no {', '.join(runs[:_MOST_MISSING])}{more}"


# --- The matrix of one metric: rows trained on, columns tested on ---------------------------------


def matrices(results: Sequence[Result], metric: str) -> list[Table]:
    """Return a matrix for each system: rows are trained on, columns tested on.

    Cells are means ± standard deviations over runs, their number in brackets.

    Raises:
        UsageError: a run has no such metric.
    """
    return [
        _matrix(f"{name}, {metric}: rows trained on, columns tested on", members, metric)
        for name, members in by_system(results).items()
    ]


def _matrix(title: str, results: Sequence[Result], metric: str) -> Table:
    values: dict[tuple[_SetOf, _SetOf], dict[SeedAndFold, float]] = {}  # by training and test set
    first_runs: dict[object, Path] = {}
    joined = _joined(of_set for result in results for of_set in _sets(result))
    notes = {}
    for result in results:
        trained_on, tested_on = _sets(result)
        sets, run = (joined[trained_on], joined[tested_on]), result.run.path
        first = first_runs.setdefault((sets, result.seed_and_fold), run)
        if first is not run:
            note = f"{run} is the same run as {first}, and left out"
            notes[note] = note
            continue
        metrics = result.predictions.statistics().metrics()
        if metric not in metrics:
            raise UsageError(
                f"--matrix {metric}: choose from {', '.join(metrics)}", "metric-unknown"
            )
        values.setdefault(sets, {})[result.seed_and_fold] = metrics[metric]
        for leak in result.leaks:
            note = f"leak allowed: {result.run.path}: {leak}"
            notes[note] = note
        for sentence in result.transductive:
            note = f"transductive: {result.run.path}: {sentence}"
            notes[note] = note
        if result.left_out:
            counts = ", ".join(f"{n} {label}" for label, n in result.left_out.items())
            note = f"{result.trained_on} on {result.tested_on}: {counts} left out"
            notes[note] = f"{note}, which the model has no word for"
    trained, tested = (_headings([sets[n] for sets in values]) for n in (0, 1))
    rows = [
        [heading] + [_cell([*values.get((row, column), {}).values()]) for column in tested]
        for row, heading in trained.items()
    ]
    return Table(["trained on", *tested.values()], rows, title, list(notes.values()))


class _SetOf(NamedTuple):
    """A set that is trained or tested on.

    Attributes:
        name: of the corpus, with the protocol or the split.
        data: the data dir: two of one corpus may have other rows or labels.
    """

    name: str
    data: Path


def _sets(result: Result) -> tuple[_SetOf, _SetOf]:
    protocol = f" ({result.options.protocol})" if result.options.protocol else ""
    split = "" if result.split == TEST else f" ({result.split})"
    trained = _SetOf(f"{result.trained_on}{protocol}", result.options.data)
    return trained, _SetOf(f"{result.tested_on}{split}", result.data)


def _joined(sets: Iterable[_SetOf]) -> dict[_SetOf, _SetOf]:
    """Return for each set the first one of the same name and data dir, in whatever form."""
    firsts: dict[str, list[_SetOf]] = {}
    joined: dict[_SetOf, _SetOf] = {}
    for of_set in sets:
        known = firsts.setdefault(of_set.name, [])
        same = next((first for first in known if _is_same_dir(first.data, of_set.data)), None)
        if same is None:
            known.append(of_set)
        joined[of_set] = same or of_set
    return joined


def _is_same_dir(one: Path, other: Path) -> bool:
    """Return whether two paths may be of one folder.

    One that is relative to another folder than that of this program is the end of the other.
    """
    one, other = (path.resolve() if path.is_dir() else path for path in (one, other))
    if one.is_absolute() == other.is_absolute():
        return one == other
    relative, absolute = (other, one) if one.is_absolute() else (one, other)
    end = [part for part in relative.parts if part != ".."]
    return bool(end) and list(absolute.parts[-len(end) :]) == end


def _headings(sets: Sequence[_SetOf]) -> dict[_SetOf, str]:
    """Return the name of each set, with its data dir where two of them have one name."""
    distinct = dict.fromkeys(sets)
    times = Counter(of_set.name for of_set in distinct)
    return {x: x.name if times[x.name] == 1 else f"{x.name}, {x.data}" for x in distinct}


def _cell(values: Sequence[float]) -> str:
    if not values:
        return NONE
    return f"{format_mean(*mean_and_deviation(values), undefined=NONE)} ({len(values)})"
