"""The predictions file: one row an utterance, tab-separated, with a header.

Columns: ``id``, ``split``, then for labels ``truth``, ``prediction`` and one
``probability_<label>`` each; for numbers ``truth_<axis>`` and ``prediction_<axis>``. A missing
truth is empty. This is all that reports are made from.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.files.replacing import replacing
from emo_fairseq.errors import UsageError

PROBABILITY = "probability_"
TRUTH_OF = "truth_"
PREDICTION_OF = "prediction_"

Row = Mapping[str, str | float]


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows, which all have the columns of the first, in the order of their ids.

    The file is complete or not there: it is written beside its place and then moved.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(rows, key=lambda row: (str(row["split"]), str(row["id"])))
    columns = list(ordered[0])
    lines = [
        "\t".join(columns),
        *("\t".join(_cell(row[name]) for name in columns) for row in ordered),
    ]
    with replacing(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> list[dict[str, str]]:
    """Read what :func:`write` wrote, as strings.

    Raises:
        UsageError: there is no such file, it has no header, or a row has another number of cells.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file; write one with --save-predictions")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: no UTF-8 text; write it with --save-predictions") from error
    columns = lines[0].split("\t")
    if columns[:2] != ["id", "split"]:
        raise UsageError(f"{path}: not a predictions file; write one with --save-predictions")
    rows = []
    for number, line in enumerate(lines[1:-1], start=2):
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise UsageError(f"{path}: row {number}: {len(cells)} cells, the header {len(columns)}")
        rows.append(dict(zip(columns, cells, strict=True)))
    return rows


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else f"{value:.9g}"
