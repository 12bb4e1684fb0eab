"""The predictions file: one row an utterance, tab-separated, with a header, and a last line.

Columns: ``id``, ``split``, then for labels ``truth``, ``prediction`` and one
``probability_<label>`` each; for numbers ``truth_<axis>`` and ``prediction_<axis>``. A missing
truth is empty; further columns are kept. Of a distribution over labels ``truth`` is the majority
label, if there is one, and one ``votes_<label>`` each is the share of the annotators' votes. The
last line, ``# rows 240 sha256 9f86d0...``, holds the number of rows and the digest of all before
it, which a reader verifies. Metrics and reports are made from this file alone.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from data_prep.files.documents import (
    Count,
    Document,
    JsonObject,
    load_json,
)
from data_prep.files.replacing import replacing
from data_prep.manifest.cells import parse_number
from emo_fairseq.errors import UsageError

PROBABILITY = "probability_"
TRUTH_OF = "truth_"
PREDICTION_OF = "prediction_"
VOTES_OF = "votes_"

_AGAIN = "write it again with --save-predictions"
_END = re.compile(r"# rows ([0-9]{1,15}) sha256 ([0-9a-f]{64})")
_ROUNDED = 1e-6  # by which a probability may be outside of [0, 1]
_EXACT = 1e-5  # by which probabilities of a softmax, written with nine digits, miss 1
_OFF = 1e-3  # by which no row of such may miss 1
_SATURATED = 0.99  # a probability from which on those of separate questions may well add up to 1

Row = Mapping[str, str | float]
Cells = dict[str, str]


def label_row(
    labels: Sequence[str],
    truth: int,
    prediction: int,
    probabilities: Sequence[float],
    votes: Sequence[float] | None = None,
) -> dict[str, str | float]:
    """Return the columns of one utterance whose label was predicted, but for id and split.

    Args:
        labels: K names.
        truth: id of the true label, -1 = missing.
        prediction: id of the predicted label.
        probabilities: (K,)
        votes: (K,), the shares of the votes that are the truth of a distribution; else None.

    >>> label_row(["sad", "happy"], 0, 1, [0.25, 0.75])["probability_happy"]
    0.75
    """
    return {
        "truth": labels[truth] if truth >= 0 else "",
        "prediction": labels[prediction],
        **{PROBABILITY + k: p for k, p in zip(labels, probabilities, strict=True)},
        **{VOTES_OF + k: q for k, q in zip(labels, votes or (), strict=votes is not None)},
    }


def number_row(
    axes: Sequence[str], truth: Sequence[float], prediction: Sequence[float]
) -> dict[str, str | float]:
    """Return the columns of one utterance whose numbers were predicted, but for id and split.

    >>> number_row(["valence"], [0.5], [0.25])
    {'truth_valence': 0.5, 'prediction_valence': 0.25}
    """
    return {
        **{TRUTH_OF + axis: x for axis, x in zip(axes, truth, strict=True)},
        **{PREDICTION_OF + axis: x for axis, x in zip(axes, prediction, strict=True)},
    }


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows, which all have the columns of the first, in the order of split and id.

    The file is complete or absent: it is written under another name and then moved.

    Raises:
        UsageError: there are no rows, an id is there twice in a split, or a prediction is no
            number.
    """
    if not rows:
        raise UsageError(
            f"{path}: there is no prediction to write; score a split with utterances",
            "predictions-empty",
        )
    ordered = sorted(rows, key=lambda row: (str(row["split"]), str(row["id"])))
    columns = list(ordered[0])
    cells = [{name: _cell(row[name]) for name in columns} for row in ordered]
    _check(path, columns, cells, "the model's outputs are no predictions: see its training")
    lines = ["\t".join(columns)] + ["\t".join(row.values()) for row in cells]
    content = "\n".join(lines) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(with_last_line(content), encoding="utf-8")


def read(path: Path) -> list[Cells]:
    """Read what :func:`write` wrote, as strings.

    Line ends of Windows, a byte order mark, cells that a spreadsheet added to the last line, and
    the end of that line, change nothing.

    Raises:
        UsageError: there is no such file, it was cut or changed, it has no header, a row has
            another number of cells, an id is there twice in a split, a column twice, or a
            prediction is no number, no probability or no label.
    """
    lines = _read_lines(path)
    columns = lines[0].split("\t")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise UsageError(
                f"{path}: row {number}: {len(cells)} cells, the header {len(columns)}; {_AGAIN}",
                "predictions-ragged",
            )
        rows.append(dict(zip(columns, cells, strict=True)))
    _check(path, columns, rows, _AGAIN)
    return rows


def _read_lines(path: Path) -> list[str]:
    """Return the header and the rows, verified by the last line."""
    if not path.is_file():
        raise UsageError(
            f"{path}: there is no such file; write one with --save-predictions",
            "predictions-missing",
        )
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: no UTF-8 text; write it with --save-predictions", "predictions-not-text"
        ) from error
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); check the path", "predictions-unreadable"
        ) from error
    return _verified_lines(path, text)


def _verified_lines(path: Path, text: str) -> list[str]:
    """Return the header and the rows of a file whose last line is there, and fits them."""
    content, line_end, last = text.rstrip("\t\n").rpartition("\n")
    end = _END.fullmatch(last)
    if end is None and text and not text.endswith("\n"):
        raise UsageError(
            f"{path}: the last line has no end, so the file was cut; copy it again, or {_AGAIN}",
            "predictions-cut",
        )
    if text.split("\n")[0].split("\t")[:2] != ["id", "split"]:
        raise UsageError(
            f"{path}: not a predictions file; write one with --save-predictions",
            "predictions-no-header",
        )
    lines = content.split("\n")
    if joined := [number for number, line in enumerate(lines, start=1) if _END.match(line)]:
        raise UsageError(
            f"{path}: row {joined[0]} is the last line of a predictions file, and lines "
            "follow; give each file by itself",
            "predictions-joined",
        )
    if end is None:
        raise UsageError(
            f"{path}: the last line, with the number of rows, is not there, so the file was cut; "
            f"copy it again, or {_AGAIN}",
            "predictions-cut",
        )
    content += line_end
    n_rows = len(lines) - 1
    if int(end[1]) != n_rows:
        raise UsageError(
            f"{path}: {n_rows} rows where {end[1]} were written; copy it again, or {_AGAIN}",
            "predictions-cut",
        )
    if last != _end_of(content, n_rows):
        raise UsageError(
            f"{path}: was changed since it was written, as a spreadsheet does that rounds numbers; "
            f"copy it again, or {_AGAIN}",
            "predictions-changed",
        )
    return lines


def with_last_line(content: str) -> str:
    r"""Return the content of a predictions file: header and rows, and the line that verifies them.

    >>> with_last_line("id\tsplit\n").splitlines()[1][:24]
    '# rows 0 sha256 972fd757'
    """
    n_rows = content.count("\n") - 1
    return f"{content}{_end_of(content, n_rows)}\n"


def _end_of(content: str, n_rows: int) -> str:
    return f"# rows {n_rows} sha256 {hashlib.sha256(content.encode()).hexdigest()}"


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else f"{value:.9g}"


# -- valid rows ------------------------------------------------------------------------------------


def _check(path: Path, columns: Sequence[str], rows: Sequence[Cells], remedy: str) -> None:
    """Raise a `UsageError` for the first cell that is no prediction."""
    for code, fault in _faults(columns, rows):
        raise UsageError(f"{path}: {fault}; {remedy}", code)


Fault = tuple[str, str]  # code, sentence


def _faults(columns: Sequence[str], rows: Sequence[Cells]) -> Iterator[Fault]:
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        yield "predictions-column-twice", f"the column {twice[0]} is there twice"
    names = Counter((row["split"], row["id"]) for row in rows)
    for (split, name), count in names.items():
        if not (split and name):
            yield "predictions-no-id", f"a row has no {'id' if split else 'split'}"
        if count > 1:
            yield "predictions-id-twice", f"{name} is there {count} times in the split {split}"
    labels = [name.removeprefix(PROBABILITY) for name in columns if name.startswith(PROBABILITY)]
    if labels:
        yield from _label_faults(columns, labels, rows)
        yield from _vote_faults(columns, labels, rows)
    for column in columns:
        if column.startswith((PREDICTION_OF, TRUTH_OF)):
            yield from _number_faults(column, rows)


def _label_faults(
    columns: Sequence[str], labels: Sequence[str], rows: Sequence[Cells]
) -> Iterator[Fault]:
    known = {"truth": {*labels, ""}, "prediction": {*labels}}
    for row in rows:
        for column in known.keys() & {*columns}:
            if row[column] not in known[column]:
                text = f"{row['id']}: {column} {row[column]!r} is none of {', '.join(labels)}"
                yield "predictions-label-unknown", text
    probabilities = []
    for row in rows:
        values = [_number(row[PROBABILITY + label]) for label in labels]
        for label, value in zip(labels, values, strict=True):
            if not -_ROUNDED <= value <= 1 + _ROUNDED:  # never so of a NaN
                cell = row[PROBABILITY + label]
                text = f"{row['id']}: {PROBABILITY}{label} is {cell!r}, no number from 0 to 1"
                yield "predictions-no-probability", text
        probabilities.append(values)
    yield from _sum_faults(rows, probabilities)


def _vote_faults(
    columns: Sequence[str], labels: Sequence[str], rows: Sequence[Cells]
) -> Iterator[Fault]:
    voted = [name.removeprefix(VOTES_OF) for name in columns if name.startswith(VOTES_OF)]
    if voted and voted != [*labels]:
        names = f"{', '.join(voted)}, and probabilities of {', '.join(labels)}"
        yield "predictions-no-votes", f"there are votes for {names}"
        return
    for row in rows if voted else ():
        shares = [_number(row[VOTES_OF + label]) for label in voted]
        if not (min(shares) >= 0 and abs(math.fsum(shares) - 1) < _OFF):  # never so of a NaN
            cells = ", ".join(row[VOTES_OF + label] for label in voted)
            yield "predictions-no-votes", f"{row['id']}: {cells} are no shares of votes"


def _sum_faults(rows: Sequence[Cells], probabilities: Sequence[Sequence[float]]) -> Iterator[Fault]:
    """Yield rows whose probabilities miss 1, if those of most rows are of one softmax."""
    sums = [math.fsum(values) for values in probabilities]
    adds_up = [
        abs(total - 1) < _EXACT
        for values, total in zip(probabilities, sums, strict=True)
        if max(values) < _SATURATED
    ]
    if 2 * sum(adds_up) <= len(adds_up):
        return
    for row, total in zip(rows, sums, strict=True):
        if not abs(total - 1) < _OFF:
            text = f"{row['id']}: its probabilities add up to {total:.4g}, those of others to 1"
            yield "predictions-no-softmax", text


def _number_faults(column: str, rows: Sequence[Cells]) -> Iterator[Fault]:
    may_be_empty = column.startswith(TRUTH_OF)
    for row in rows:
        cell = row[column]
        if not math.isfinite(_number(cell)) and not (may_be_empty and cell == ""):
            yield "predictions-no-number", f"{row['id']}: {column} is {cell!r}, no number"


def _number(cell: str) -> float:
    try:
        return parse_number(cell)
    except ValueError:
        return math.nan


# -- how a predictions file was made: predictions.json beside it -----------------------------------


class SetFacts(Document):
    """The rows that were scored, with digests of what they were read from.

    `rows` is that of the manifests; `inputs` has those of recordings, features and tokens, by name.
    """

    split: str
    data: str | None = None
    labels: dict[str, str | None] | None = None
    rows: str | None = None
    inputs: dict[str, str] = Field(default_factory=dict)


class PredictionFacts(Document):
    """The schema of the file."""

    set: SetFacts | None = None
    corpus: str | None = None
    trained_on: str | None = None
    checkpoint: str | None = None
    updates: Count | None = None
    chosen_by: str | None = None
    left_out: dict[str, Count] | None = None
    options: JsonObject | None = None
    forest: JsonObject | None = None
    zero_shot: JsonObject | None = None


def facts_path(predictions: Path) -> Path:
    """Return the path of the facts of a predictions file."""
    return predictions.with_suffix(".json")


def read_facts(predictions: Path) -> dict[str, Any]:
    """Load the facts of a predictions file as plain values; empty where there are none.

    Raises:
        UsageError: it is not of the schema `PredictionFacts`.
    """
    file = facts_path(predictions)
    if not file.is_file():
        return {}
    facts = load_json(file, PredictionFacts, remedy="score the run again")
    return facts.model_dump(exclude_unset=True)
