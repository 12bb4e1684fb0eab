"""Tables as text: for the terminal, Markdown, LaTeX and CSV."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table as RichTable

from emo_fairseq.experiments.comparison import Row

UNKNOWN = "–"
_SMALLEST = 0.0005  # p-value that three decimals show
_WIDE = 200  # columns, where there is no terminal to fit into


class Grid(NamedTuple):
    """A table of text.

    Attributes:
        title: what it is of.
        header: of the columns.
        cells: row by row.
        notes: that belong below it.
    """

    title: str
    header: Sequence[str]
    cells: Sequence[Sequence[str]]
    notes: Sequence[str]


def number(value: float, sign: bool = False) -> str:
    """Three decimals; a dash for what is not known."""
    if math.isnan(value):
        return UNKNOWN
    return f"{value:+.3f}" if sign else f"{value:.3f}"


def chance(p_value: float) -> str:
    """A p-value: three decimals, or that it is below the last of them."""
    return "< 0.001" if p_value < _SMALLEST else number(p_value)


def spread(mean: float, deviation: float) -> str:
    """Mean and standard deviation, of several values."""
    return number(mean) if math.isnan(deviation) else f"{number(mean)} ± {number(deviation)}"


def _ends(ends: tuple[float, float], sign: bool = False) -> str:
    low, high = (number(end, sign) for end in ends)
    return UNKNOWN if math.isnan(ends[0]) else f"{low} to {high}"


def _other(row: Row) -> str:
    return f"{chance(row.other.p_value)} {row.other.name}" if row.other else UNKNOWN


# header: cell; a column without a single known cell is left out
_COLUMNS: dict[str, Callable[[Row], str]] = {
    "metric": lambda row: row.metric,
    "system": lambda row: f"{row.system} *" if row.n_missing else row.system,
    "of": lambda row: row.part or UNKNOWN,
    "n": lambda row: str(row.n_runs),
    "mean ± std": lambda row: spread(row.mean, row.deviation),
    "pooled": lambda row: number(row.pooled),
    "95 %, utterances": lambda row: _ends(row.utterances),
    "95 %, speakers": lambda row: _ends(row.speakers),
    "difference": lambda row: number(row.difference, sign=True),
    "95 %": lambda row: _ends(row.difference_ends, sign=True),
    "p": lambda row: chance(row.p),
    "p, Holm": lambda row: chance(row.p_holm),
    "p, speakers": lambda row: chance(row.p_speakers),
    "p, speakers, Holm": lambda row: chance(row.p_speakers_holm),
    "other test, p": _other,
    "other test, p, Holm": lambda row: chance(row.other_holm),
}


def grid_of(title: str, rows: Sequence[Row], notes: Sequence[str]) -> Grid:
    """Rows of figures as text."""
    cells = {name: [cell(row) for row in rows] for name, cell in _COLUMNS.items()}
    known = {name: column for name, column in cells.items() if set(column) != {UNKNOWN}}
    return Grid(title, list(known), list(zip(*known.values(), strict=True)), notes)


def print_grid(grid: Grid) -> None:
    """To the terminal; in full width where the output goes elsewhere."""
    table = RichTable()
    for name in grid.header:
        table.add_column(name, justify="left" if name in ("metric", "system", "of") else "right")
    for row in grid.cells:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    console.print(grid.title, markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    for note in grid.notes:
        console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)


def as_markdown(grid: Grid) -> str:
    """A pipe table under its title, and the notes as a list."""
    lines = [f"**{grid.title}**", "", _pipes(grid.header), _pipes(["---"] * len(grid.header))]
    lines += [_pipes([cell.replace("|", "\\|") for cell in row]) for row in grid.cells]
    return "\n".join([*lines, "", *(f"- {note}" for note in grid.notes), ""])


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_latex(grid: Grid) -> str:
    """A table for the package booktabs, with title and notes in its caption."""
    caption = ". ".join([grid.title, *grid.notes])
    lines = [
        r"\begin{table}",
        rf"\caption{{{_tex(caption)}}}",
        rf"\begin{{tabular}}{{{'l' * len(grid.header)}}}",
        r"\toprule",
        _ampersands(grid.header),
        r"\midrule",
        *(_ampersands(row) for row in grid.cells),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _ampersands(cells: Sequence[str]) -> str:
    return " & ".join(_tex(cell) for cell in cells) + r" \\"


def _tex(text: str) -> str:
    """Characters that TeX takes for commands, and those that it has none of, in its words."""
    for character in "\\&%$#_{}":
        text = text.replace(character, rf"\{character}" if character != "\\" else "/")
    for character, word in (("±", r"$\pm$"), ("–", "--"), ("…", r"\dots "), ("<", "$<$")):
        text = text.replace(character, word)
    return text.replace(">", "$>$").replace("~", r"\textasciitilde ")


_CSV_COLUMNS = (
    *("system", "part", "metric", "n_runs", "n_missing", "mean", "deviation", "pooled"),
    *("utterances_low", "utterances_high", "speakers_low", "speakers_high"),
    *("no_speakers", "difference", "difference_low", "difference_high"),
    *("p", "p_holm", "p_speakers", "p_speakers_holm"),
    *("other_test", "other_p", "other_p_holm"),
)


def csv_rows(rows: Sequence[Row], about: dict[str, str]) -> list[dict[str, str]]:
    """Every figure unrounded, what is not known empty; `about` is in each row."""
    found = []
    for row in rows:
        other = (row.other.name, row.other.p_value) if row.other else ("", math.nan)
        values = (
            *(row.system, row.part, row.metric, row.n_runs, row.n_missing),
            *(row.mean, row.deviation, row.pooled, *row.utterances, *row.speakers),
            *(row.no_speakers, row.difference, *row.difference_ends),
            *(row.p, row.p_holm, row.p_speakers, row.p_speakers_holm, *other, row.other_holm),
        )
        found.append({**about, **dict(zip(_CSV_COLUMNS, map(_plain, values), strict=True))})
    return found


def _plain(value: object) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else str(value)


def as_csv(rows: Sequence[dict[str, str]]) -> str:
    """Rows with a header; a cell is empty where a row lacks the column."""
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
