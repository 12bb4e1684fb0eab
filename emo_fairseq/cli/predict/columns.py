"""How the tables of ``predict`` are written, and which column fills which field.

Both are inferred as in preparation, by :mod:`data_prep.tables`, from the first rows; what is not
plain is printed. A column that has the name of a field fills it, whatever it holds.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from data_prep.tables.column_contents import Contents, decimal_of, read_contents
from data_prep.tables.column_map import Decision, map_columns
from data_prep.tables.column_names import NAMES
from data_prep.tables.reader import DELIMITERS, JSONL, PARQUET, SHEETS, check_readable, open_table
from data_prep.tables.sniffing import sniff
from data_prep.tables.spooled import SpooledTable
from data_prep.tables.table import Row, Table, TableFormat
from emo_fairseq.errors import UsageError

FIELDS = ("id", "audio", "video", "text", "start", "end", "speaker", "dialogue", "turn")
_ROWS = 1000  # that are inferred from: a table may have millions


@dataclass(frozen=True)
class TableOptions:
    """How tables are read.

    Attributes:
        columns: {field: column} of ``--column``; "" for a field that no column fills.
        format: delimiter, quotes and sheet.
        encoding: of delimited text; None: detected.
        header: whether the first row names the columns; None: detected.
        data_raw: folder that audio paths start from; None: found.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    format: TableFormat = TableFormat()  # noqa: RUF009 - it is frozen
    encoding: str | None = None
    header: bool | None = None
    data_raw: Path | None = None


def open_typed(path: Path, options: TableOptions) -> tuple[Table, list[str]]:
    """Open a table, and return what was found of how it is written, to be printed.

    Raises:
        CodedError: it cannot be read, or two delimiters fit alike.
    """
    how = replace(options.format, keeps_index=True)
    suffix = path.suffix.lower()
    if how.delimiter is None and suffix in (PARQUET, JSONL, *SHEETS):
        table = open_table(path, replace(how, header=options.header is not False))
        return (SpooledTable(table) if suffix == JSONL else table), []
    check_readable(path)
    sniffed = sniff(path, how, encoding=options.encoding, header=options.header)
    if sniffed.rivals:
        rivals = " and ".join(map(repr, (sniffed.format.delimiter, *sniffed.rivals)))
        raise UsageError(
            f"{path}: {rivals} could each delimit the cells; give --delimiter C",
            "delimiter-unknown",
        )
    usual = how.delimiter or DELIMITERS.get(suffix)
    is_usual = sniffed.format == replace(how, delimiter=usual)
    return open_table(path, sniffed.format), [] if is_usual else list(sniffed.findings)


@dataclass(frozen=True)
class Columns:
    """The columns of the fields of one table.

    Attributes:
        of: {field: column}.
        undecided: {field: decision} where several columns fit alike.
        decimal: the decimal separator of times.
        audio: names of audio files, or else of videos, of the first rows.
        declined: fields that no column is to fill.
    """

    of: Mapping[str, str]
    undecided: Mapping[str, Decision] = field(default_factory=dict)
    decimal: str = "."
    audio: Sequence[str] = ()
    declined: Collection[str] = ()

    def describe(self, fields: Collection[str]) -> str:
        """Return which of these fields are filled by columns of another name; may be empty."""
        pairs = [(key, column) for key, column in self.of.items() if key in fields]
        return ", ".join(f"{key}={column}" for key, column in pairs if key != column)


def find_columns(table: Table, given: Mapping[str, str]) -> Columns:
    """Return which column of a table fills which field; `given` ones win.

    Raises:
        UsageError: an unknown field, a column that is not there, or neither texts nor audio.
    """
    _check_given(table, given)
    if not table.columns:
        return Columns({})  # JSON lines none of which can be read: each row has its error
    contents = read_contents([_FirstRows(table)], ())
    own = {name: name for name in FIELDS if name in table.columns} | dict(given)
    # Rows may repeat what looks like an id, which only a column of that name has to be.
    others = dict.fromkeys([name for name in NAMES if name not in FIELDS or name == "id"], "")
    mapped = map_columns(contents, {**others, **own})
    columns = {name: mapped.columns[name] for name in FIELDS if name in mapped.columns}
    undecided = {_field_of(decision): decision for decision in mapped.decisions}
    if not {"text", "audio", "video"} & {*columns, *undecided}:
        raise UsageError(
            f"{table.path}: no column of texts, audio or videos among {', '.join(table.columns)}; "
            "name yours by --column text=COLUMN, --column audio=COLUMN or --column video=COLUMN",
            "column-missing",
        )
    return Columns(
        columns,
        undecided,
        _decimal(contents, columns),
        _audio(contents, columns),
        declined=[name for name, column in given.items() if not column],
    )


def _check_given(table: Table, given: Mapping[str, str]) -> None:
    if unknown := [name for name in given if name not in FIELDS]:
        raise UsageError(
            f"--column {unknown[0]}={given[unknown[0]]}: predict reads no such field; it reads "
            f"{', '.join(FIELDS)}",
            "field-unknown",
        )
    for name, column in given.items():
        if column and table.columns and column not in table.columns:
            raise UsageError(
                f"{table.path}: no column {column!r} for --column {name}={column}; it has "
                f"{', '.join(table.columns)}",
                "column-missing",
            )


@dataclass(frozen=True)
class _FirstRows:
    """The first rows of a table."""

    table: Table

    @property
    def path(self) -> Path:
        return self.table.path

    @property
    def columns(self) -> Sequence[str]:
        return self.table.columns

    @property
    def class_names(self) -> Mapping[str, Sequence[str]]:
        return self.table.class_names

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        return islice(self.table.rows(wanted), _ROWS)


def _field_of(decision: Decision) -> str:
    return decision.words[-1].partition("=")[0]


def _decimal(contents: Mapping[str, Contents], columns: Mapping[str, str]) -> str:
    times = [contents[columns[name]] for name in ("start", "end") if name in columns]
    return decimal_of([value for column in times for value in column.values]) or "."


def _audio(contents: Mapping[str, Contents], columns: Mapping[str, str]) -> list[str]:
    column = columns.get("audio") or columns.get("video")
    return list(contents[column].values) if column else []


def check_decided(path: Path, columns: Columns, fields: Collection[str]) -> None:
    """Raise a `UsageError` if one of these fields could be one of several columns."""
    for name in fields:
        if decision := columns.undecided.get(name):
            words = " ".join(decision.words)
            raise UsageError(f"{path}: {decision.problem}; give {words}", decision.code)
