"""Faults of the splits of a data dir: counts that differ, and what several of them share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data_prep.errors import Fault
from data_prep.manifest.cells import id_key
from data_prep.manifest.table import values
from data_prep.manifest.tsv import Scan
from data_prep.schema import CORPUS_FILE, Corpus, shared_values


def count_faults(path: Path, n_rows: int, corpus: Corpus) -> Iterator[Fault]:
    """Yield a split that corpus.yaml does not name, or of which it counts other rows."""
    counts = corpus.splits.get(path.stem)
    if counts is None:
        problem = f"a split that {CORPUS_FILE} does not name"
        remedy = "move it away, or run the data_prep command again"
        yield Fault(str(path), None, problem, remedy, "split-unknown")
    elif counts.get("rows") != n_rows:
        problem = f"{n_rows} rows where {CORPUS_FILE} counts {counts.get('rows')}"
        remedy = "run the data_prep command again, or correct the count"
        yield Fault(str(path), None, problem, remedy, "count-mismatch")


def sharing_faults(manifests: Mapping[Path, Scan], disjoint: Sequence[str]) -> Iterator[Fault]:
    """Yield ids, and values of the `disjoint` columns, in more than one split."""
    named = {str(path): scan for path, scan in manifests.items()}
    splits = {file: scan.rows for file, scan in named.items()}
    for key in ("id", *disjoint):
        line_of: dict[str, dict[str, int]] = {}
        for value, files in shared_values(splits, key).items():
            others = ", ".join(Path(file).name for file in files[:-1])
            line_of = line_of or {file: _first_lines(scan, key) for file, scan in named.items()}
            row = line_of[files[-1]][value]
            remedy = f"keep each {key} in one split"
            problem = f"{key} {value!r} is in {others} too"
            code = "id-duplicate" if key == "id" else "splits-overlap"
            yield Fault(files[-1], row, problem, remedy, code)
    for key in disjoint:
        for path, scan in manifests.items():
            unknown = scan.lines[~scan.rows.has(key)]
            if len(unknown):
                problem = (
                    f"{len(unknown)} rows from here have no {key}, by which splits are disjoint"
                )
                remedy = f"fill the {key} column"
                yield Fault(str(path), int(unknown[0]), problem, remedy, "unit-missing")


def _first_lines(scan: Scan, key: str) -> dict[str, int]:
    """Return the first line of each value of a column, an id by its `id_key`."""
    lines: dict[str, int] = {}
    for value, line in zip(values(scan.rows, key), scan.lines.tolist(), strict=True):
        if value is not None:
            lines.setdefault(id_key(value) if key == "id" else value, line)
    return lines
