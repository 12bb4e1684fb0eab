"""Rows of ``predict``: one for each item or window, as CSV, TSV or JSON lines.

A row of a table keeps its own columns, in their order and with their values; columns of predictions
follow. One of these whose name the tables have, too, gets the prefix ``model_``.
"""

import csv
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from data_prep.errors import CodedError
from data_prep.messages import sentence_with_code
from emo_fairseq.cli.predict.items import Item
from emo_fairseq.evaluation.predictions import PREDICTION_OF, PROBABILITY

if TYPE_CHECKING:
    from emo_fairseq.inference.prediction import Prediction
    from emo_fairseq.inference.predictor import EmotionPredictor

PREFIX = "model_"


@dataclass(frozen=True)
class Row:
    """The prediction for an item, or for a window of it, or why there is none.

    Attributes:
        item: that was predicted.
        prediction: for it; None for an error.
        times: start and end of a window.
        error: why there is no prediction.
    """

    item: Item
    prediction: "Prediction | None" = None
    times: Mapping[str, float] = field(default_factory=dict)
    error: CodedError | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields beside the cells of the item: of a prediction, or the error."""
        fields: dict[str, Any] = {"item": self.item.name, **self.times}
        if self.error is not None:
            fields["error"] = sentence_with_code(self.error)
        if self.prediction is None:
            return fields
        fields |= self.prediction.as_dict()
        if self.item.cells is not None:
            del fields["text"]  # a column of the table has it
        return fields


@dataclass(frozen=True)
class Layout:
    """Which columns rows have.

    Args:
        predictor: names labels and numbers.
        tables: columns of the tables.
        has_times: rows are windows of recordings.
        has_text: some items come from no table.
        transcribes: speech is transcribed.
        recording: file name of the recording whose turns are the items.
    """

    predictor: "EmotionPredictor"
    tables: Sequence[str] = ()
    has_times: bool = False
    has_text: bool = True
    transcribes: bool = False
    recording: str = ""

    def columns(self) -> list[str]:
        """Return the names of our columns, before those that collide get a prefix."""
        predictor = self.predictor
        times = ["start", "end"] if self.has_times else []
        labels = ["label"] + [f"{PROBABILITY}{label}" for label in predictor.labels]
        values = [f"{PREDICTION_OF}{axis}" for axis in predictor.axes]
        others = [f"{name}.{axis}" for name, axes in predictor.auxiliary.items() for axis in axes]
        texts = ["text"] if self.has_text else []
        transcripts = ["transcript", "transcript_language"] if self.transcribes else []
        ends = ["modalities", *texts, *transcripts, "seconds", "truncated", "warning", "error"]
        return ["item", *times, *(labels if predictor.labels else values), *others, *ends]

    def keys(self) -> list[str]:
        """Return the keys of our values in JSON, as :meth:`columns`."""
        times = ["start", "end"] if self.has_times else []
        texts = ["text"] if self.has_text else []
        keys = ["item", *times, "label", "probabilities", "values", "auxiliary", "modalities"]
        ends = ["seconds", "transcript", "transcript_language", "warnings", "truncations", "error"]
        return [*keys, *texts, *ends]


def without_collisions(names: Iterable[str], tables: Collection[str]) -> dict[str, str]:
    """Return {our name: our name in the output}.

    >>> without_collisions(["item", "label"], ["label", "model_label", "file"])
    {'item': 'item', 'label': 'model_model_label'}
    """
    renamed = {}
    for name in names:
        new = name
        while new in tables:
            new = f"{PREFIX}{new}"
        renamed[name] = new
    return renamed


# -- rows, as delimited text or as JSON lines ------------------------------------------------------


class Writer(Protocol):
    """Writes rows.

    Attributes:
        names: {our name: our name in the output}.
        n_left_out: cells of the tables that are not written, since they are bytes.
    """

    names: dict[str, str]
    n_left_out: int

    def write(self, row: Row) -> None:
        """Write a row."""

    def finish(self) -> None:
        """Write what is left, after the last row."""


class DelimitedRows:
    """Rows under a header.

    Args:
        out: takes the rows.
        layout: of them.
        delimiter: between cells.
    """

    def __init__(self, out: TextIO, layout: Layout, delimiter: str) -> None:
        self.names = without_collisions(layout.columns(), layout.tables)
        self.n_left_out = 0
        self._tables = layout.tables
        header = [*layout.tables, *self.names.values()]
        # A cell that holds \r is quoted only where \r ends lines, too.
        self._writer = csv.DictWriter(
            _WithPlainEnds(out), header, delimiter=delimiter, lineterminator="\r\n", restval=""
        )
        self._writer.writeheader()
        self._flush = out.flush

    def write(self, row: Row) -> None:
        """Write a row; a cell of text stays as it is."""
        cells = row.item.cells or {}
        self.n_left_out += sum(isinstance(value, bytes) for value in cells.values())
        flat = {name: _as_text(value) for name, value in cells.items() if name in self._tables}
        for name, value in self._ours(row).items():
            if name in self.names:
                flat[self.names[name]] = value
        self._writer.writerow({name: _writable(value) for name, value in flat.items()})
        self._flush()

    def finish(self) -> None:
        """Do nothing: every row is written at once."""

    def _ours(self, row: Row) -> dict[str, Any]:
        fields = row.as_dict()
        flat = {name: value for name, value in fields.items() if name in self.names}
        flat |= _numbers(PROBABILITY, fields.get("probabilities", {}))
        flat |= _numbers(PREDICTION_OF, fields.get("values", {}))
        for name, outputs in fields.get("auxiliary", {}).items():
            flat |= _numbers(f"{name}.", outputs)
        if row.prediction is not None:
            truncations = row.prediction.truncations
            flat["truncated"] = "; ".join(truncation.describe() for truncation in truncations)
        flat["warning"] = "; ".join(fields.get("warnings", ()))
        flat["modalities"] = "+".join(fields.get("modalities", ()))
        return flat


class _WithPlainEnds:
    r"""Replaces the \r\n that ends each row by \n."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, row: str) -> int:
        return self._out.write(row.removesuffix("\r\n") + "\n")


def _numbers(prefix: str, values: Mapping[str, float]) -> dict[str, str]:
    return {f"{prefix}{name}": f"{value:.6g}" for name, value in values.items()}


class JsonRows:
    """A JSON object a line, with the cells of the row and all of a prediction but its embedding."""

    def __init__(self, out: TextIO, layout: Layout) -> None:
        self.names = without_collisions(layout.keys(), layout.tables)
        self.n_left_out = 0
        self._out = out

    def write(self, row: Row) -> None:
        """Write a row."""
        cells = row.item.cells or {}
        self.n_left_out += sum(isinstance(value, bytes) for value in cells.values())
        content = {
            **{name: _as_json(value) for name, value in cells.items()},
            **{self.names[name]: value for name, value in row.as_dict().items()},
        }
        self._out.write(_writable(json.dumps(content, ensure_ascii=False, allow_nan=False)) + "\n")
        self._out.flush()

    def finish(self) -> None:
        """Do nothing: every row is written at once."""


def _as_text(value: Any) -> str:
    """Return a cell of a table as text: one of text as it is, nested values as JSON."""
    if isinstance(value, str):
        return value
    value = _as_json(value)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_json(value: Any) -> Any:
    """Return a cell of a table as JSON has it; None for bytes, NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(name): _as_json(inner) for name, inner in value.items()}
    if hasattr(value, "tolist"):  # an array or a number of NumPy
        return _as_json(value.tolist())
    if isinstance(value, list | tuple):
        return [_as_json(inner) for inner in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if isinstance(value, bytes) else str(value)  # a date, a decimal


def _writable(cell: Any) -> Any:
    r"""Escape what UTF-8 cannot encode: file names may have bytes that are not UTF-8.

    >>> _writable("caf\udce9.wav")
    'caf\\udce9.wav'
    """
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell


def _delimited(delimiter: str) -> Callable[[TextIO, Layout], Writer]:
    return lambda out, layout: DelimitedRows(out, layout, delimiter)


FORMATS: Mapping[str, Callable[[TextIO, Layout], Writer]] = {
    "csv": _delimited(","),
    "tsv": _delimited("\t"),
    "jsonl": JsonRows,
}
