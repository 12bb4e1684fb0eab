"""Tables of text, and how numbers are written in them: terminal, Markdown, LaTeX, CSV and JSON."""

import csv
import io
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

UNDEFINED = "undefined"  # a metric that has no value, such as a correlation with a constant
NONE = "–"  # a cell that there is nothing for
_SMALLEST = 0.0005  # p-value that three decimals show
_WIDTH = 10_000  # characters, where there is no terminal to fit into: a table is never as wide


@dataclass(frozen=True)
class Table:
    """Cells of text.

    Attributes:
        header: names of the columns.
        rows: cells, one for each column.
        title: above the table.
        notes: below the table.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    notes: Sequence[str] = field(default=())


# -- numbers ---------------------------------------------------------------------------------------


def format_number(
    value: float, digits: int = 3, sign: bool = False, undefined: str = UNDEFINED
) -> str:
    """Return a number in decimals, or a word for one that is not defined, which is never 0.

    >>> format_number(0.90625), format_number(float("nan")), format_number(0.5, sign=True)
    ('0.906', 'undefined', '+0.500')
    """
    if not math.isfinite(value):
        return undefined
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def format_interval(
    ends: Sequence[float], digits: int = 3, sign: bool = False, undefined: str = UNDEFINED
) -> str:
    """Return the ends of an interval.

    >>> format_interval((0.87, 0.94))
    '0.870 to 0.940'
    """
    if not all(map(math.isfinite, ends)):
        return undefined
    low, high = (format_number(end, digits, sign) for end in ends)
    return f"{low} to {high}"


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and deviation (n - 1 in the divisor); NaN where a value is, or is the only one.

    >>> mean_and_deviation([1.0, 2.0, 3.0])
    (2.0, 1.0)
    """
    if any(math.isnan(value) for value in values):
        return math.nan, math.nan
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def format_mean(mean: float, deviation: float, undefined: str = UNDEFINED) -> str:
    """Return mean ± standard deviation; of a single value, whose deviation is NaN, the mean alone.

    >>> format_mean(0.61, 0.02), format_mean(0.61, float("nan"))
    ('0.610 ± 0.020', '0.610')
    """
    number = format_number(mean, undefined=undefined)
    return number if math.isnan(deviation) else f"{number} ± {format_number(deviation)}"


def format_p_value(p_value: float) -> str:
    """Return a p-value in three decimals, or that it is below the last of them.

    >>> format_p_value(0.0416), format_p_value(0.0002)
    ('0.042', '< 0.001')
    """
    return "< 0.001" if p_value < _SMALLEST else format_number(p_value, undefined=NONE)


def format_count(n: int, noun: str) -> str:
    """Return a number of things.

    >>> format_count(1, "speaker"), format_count(2610, "utterance")
    ('1 speaker', '2,610 utterances')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def without_nan(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return the same for JSON, which has no NaN: an undefined number becomes null."""
    return {key: x if math.isfinite(x) else None for key, x in values.items()}


# -- tables ----------------------------------------------------------------------------------------


def print_table(table: Table, left: Collection[str] = ()) -> None:
    """Print to the terminal; in full width where the output goes elsewhere.

    Columns that are not in `left` are aligned on the right.
    """
    from rich.console import Console
    from rich.table import Table as RichTable

    grid = RichTable()
    for name in table.header:
        # A name that is cut off would be that of several systems.
        grid.add_column(name, justify="left" if name in left else "right", overflow="fold")
    for row in table.rows:
        grid.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    if table.title:
        console.print(table.title, markup=False, highlight=False, soft_wrap=True)
    console.print(grid, markup=False)
    for note in table.notes:
        console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)


def to_markdown(table: Table) -> str:
    """Return a pipe table under its title, and the notes as a list.

    >>> print(to_markdown(Table(["metric", "value"], [["UAR", "0.610"]])), end="")
    | metric | value |
    | --- | --- |
    | UAR | 0.610 |
    """
    lines = [f"**{table.title}**", ""] if table.title else []
    lines += [_pipes(table.header), _pipes(["---"] * len(table.header))]
    lines += [_pipes(row) for row in table.rows]
    if table.notes or table.title:
        lines += [""] + [f"- {note}" for note in table.notes] + [""]
    return "\n".join([*lines, ""] if lines[-1] else lines)


def _pipes(cells: Sequence[str]) -> str:
    escaped = " | ".join(cell.replace("|", r"\|") for cell in cells)
    return f"| {escaped} |"


def to_latex(table: Table) -> str:
    """Return a table for the package booktabs, with title and notes in its caption."""
    caption = ". ".join([table.title, *table.notes])
    lines = (
        [
            r"\begin{table}",
            rf"\caption{{{_tex(caption)}}}",
            rf"\begin{{tabular}}{{{'l' * len(table.header)}}}",
            r"\toprule",
            _ampersands(table.header),
            r"\midrule",
        ]
        + [_ampersands(row) for row in table.rows]
        + [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    )
    return "\n".join(lines) + "\n"


def _ampersands(cells: Sequence[str]) -> str:
    return " & ".join(_tex(cell) for cell in cells) + r" \\"


def _tex(text: str) -> str:
    """Escape the characters that are commands in TeX, and replace those that it lacks."""
    for character in "\\&%$#_{}":
        text = text.replace(character, rf"\{character}" if character != "\\" else "/")
    for character, word in (("±", r"$\pm$"), ("–", "--"), ("…", r"\dots "), ("<", "$<$")):
        text = text.replace(character, word)
    return text.replace(">", "$>$").replace("~", r"\textasciitilde ")


def to_csv(records: Sequence[Mapping[str, object]]) -> str:
    """Return records with a header; numbers unrounded, empty where NaN or where a record lacks one.

    >>> print(to_csv([{"metric": "uar", "value": 0.61}, {"metric": "ccc"}]), end="")
    metric,value
    uar,0.61
    ccc,
    """
    text = io.StringIO()
    columns = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _csv_cell(x) for name, x in row.items()} for row in records)
    return text.getvalue()


def _csv_cell(value: object) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else str(value)
