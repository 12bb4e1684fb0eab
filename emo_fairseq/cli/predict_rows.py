"""What ``predict`` writes: a row an item, as CSV or as JSON lines."""

import csv
import json
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from emo_fairseq.evaluation.predictions import (
    PREDICTION_OF,
    PROBABILITY,
)

Row = Mapping[str, Any]


class CsvRows:
    """Rows under a header: item, label or values, probabilities, input, warning, error.

    Args:
        out: takes the rows.
        labels, axes, auxiliary: of the predictor.
        has_times: rows may be segments.
    """

    def __init__(self, out: TextIO, predictor: Any, has_times: bool) -> None:
        place = ["start", "end"] if has_times else []
        of_labels = ["label", *(f"{PROBABILITY}{label}" for label in predictor.labels)]
        numbers = [f"{PREDICTION_OF}{axis}" for axis in predictor.axes]
        others = [f"{name}.{one}" for name, names in predictor.auxiliary.items() for one in names]
        ends = ["modalities", "text", "seconds", "warning", "error"]
        columns = ["item", *place, *(of_labels if predictor.labels else numbers), *others, *ends]
        self._writer = csv.DictWriter(out, columns, lineterminator="\n", restval="")
        self._writer.writeheader()
        self._flush = out.flush

    def write(self, row: Row) -> None:
        """One row: ``item`` and what a prediction holds, or ``item`` and ``error``."""
        flat = {name: value for name, value in row.items() if name in self._writer.fieldnames}
        flat |= {f"{PROBABILITY}{k}": f"{x:.6g}" for k, x in row.get("probabilities", {}).items()}
        flat |= {f"{PREDICTION_OF}{k}": f"{x:.6g}" for k, x in row.get("values", {}).items()}
        for name, answer in row.get("auxiliary", {}).items():
            flat |= {f"{name}.{k}": f"{x:.6g}" for k, x in answer.items()}
        flat["warning"] = "; ".join(row.get("warnings", ()))
        flat["modalities"] = "+".join(row.get("modalities", ()))
        self._writer.writerow({k: _writable(x) for k, x in flat.items()})
        self._flush()


class JsonRows:
    """A JSON object a line, with all that a prediction holds but its embedding."""

    def __init__(self, out: TextIO, predictor: Any, has_times: bool) -> None:
        self._out = out

    def write(self, row: Row) -> None:
        """One row; see :meth:`CsvRows.write`."""
        self._out.write(_writable(json.dumps(row, ensure_ascii=False, allow_nan=False)) + "\n")
        self._out.flush()


def _writable(cell: Any) -> Any:
    r"""A cell as UTF-8 can hold it: file names may have bytes that are none.

    >>> _writable("caf\udce9.wav")
    'caf\\udce9.wav'
    """
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell


FORMATS: Mapping[str, Callable[[TextIO, Any, bool], CsvRows | JsonRows]] = {
    "csv": CsvRows,
    "jsonl": JsonRows,
}
