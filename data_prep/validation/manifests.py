"""Faults of the manifests of a data dir: of single rows, of counts, and of what splits share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from data_prep.errors import Fault
from data_prep.manifest.cells import id_key, is_blank
from data_prep.manifest.table import BoolArray, ManifestTable, codes, numbers, values
from data_prep.manifest.tsv import Scan
from data_prep.manifest.votes import OTHER, parse_votes
from data_prep.schema import CORPUS_FILE, LABEL_COLUMNS, Corpus, Utterance, shared_values

SCORE_LIMIT = 3.0  # sentiment_score runs from -3 to 3


def row_faults(file: str, scan: Scan) -> Iterator[Fault]:
    """Yield the faults of single rows."""
    for row in np.flatnonzero(_may_be_faulty(scan.rows)).tolist():
        for fault in _faults_of_row(scan.rows[row]):
            yield Fault(file, int(scan.lines[row]), *fault)


def _may_be_faulty(rows: ManifestTable) -> BoolArray:
    """Return which rows to check, (N,): all of those that have a fault, and few others."""
    has_audio, has_length = rows.has("audio"), rows.has("n_samples")
    with np.errstate(invalid="ignore"):
        is_empty = numbers(rows, "n_samples") == 0
        is_outside = np.abs(numbers(rows, "sentiment_score")) > SCORE_LIMIT
    text, audio, video = (rows.column(name) for name in ("text", "audio", "video"))
    # What is no blank text has a visible character other than a space; most begin with one.
    may_be_blank = pc.invert(pc.match_substring_regex(text, "^[!-~]"))
    may_be_absolute = [pc.starts_with(paths, "/") for paths in (audio, video)]
    by_text = [np.asarray(x.fill_null(False)) for x in (may_be_blank, *may_be_absolute)]
    neither = ~rows.has("text") & ~has_audio & ~rows.has("video")
    return np.any([neither, has_audio != has_length, is_empty, is_outside, *by_text], axis=0)


def _faults_of_row(row: Utterance) -> Iterator[tuple[str, str, str]]:
    """Yield (problem, remedy, code)."""
    if row.text is None and row.audio is None and row.video is None:
        yield "neither text, audio nor video", "give the row one of them, or remove it", "row-empty"
    if row.text is not None and is_blank(row.text):
        yield "the text is blank", "leave the field empty if there is no text", "text-blank"
    if row.audio is not None and row.n_samples is None:
        remedy = "write its length in samples at the corpus's rate"
        yield "audio without n_samples", remedy, "length-missing"
    if row.audio is None and row.n_samples is not None:
        yield "n_samples without audio", "name the audio file, or empty n_samples", "audio-missing"
    if row.n_samples == 0:
        yield "n_samples is 0", "remove the audio from the row", "audio-empty"
    for name, path, option in (("audio", row.audio, "data"), ("video", row.video, "video")):
        if path is not None and Path(path).is_absolute():
            problem = f"{name} {path} is an absolute path"
            yield problem, f"write it relative to --{option}-raw", "path-absolute"
    if row.sentiment_score is not None and abs(row.sentiment_score) > SCORE_LIMIT:
        problem = f"sentiment_score is {row.sentiment_score:g}, outside -3 to 3"
        yield problem, "correct the score", "score-out-of-range"


def label_faults(file: str, scan: Scan, corpus: Corpus | None) -> Iterator[Fault]:
    """Yield labels that corpus.yaml does not name."""
    if corpus is None:
        return
    for key in LABEL_COLUMNS:
        names = corpus.labels.get(key)
        unknown = _rows_of_values(scan, key, lambda label: not (names and label in names))  # noqa: B023
        for line, label in unknown:
            if names is None:
                remedy = f"list the {key} labels there, in order"
                problem = f"{CORPUS_FILE} has no {key} labels"
                yield Fault(file, line, problem, remedy, "labels-missing")
                break
            remedy = f"use one of {', '.join(names)}, or leave the field empty"
            yield Fault(file, line, f"unknown {key} {label!r}", remedy, "label-unknown")


def vote_faults(file: str, scan: Scan, corpus: Corpus | None) -> Iterator[Fault]:
    """Yield votes for labels that corpus.yaml does not name."""
    if corpus is None:
        return
    known = {*corpus.labels.get("emotion", ()), OTHER}
    for line, votes in _rows_of_values(
        scan, "votes", lambda cell: bool({*parse_votes(cell)} - known)
    ):
        unknown = next(label for label in parse_votes(votes) if label not in known)
        remedy = f"use {', '.join(sorted(known))}; {OTHER} is what is no class"
        problem = f"votes for {unknown!r}, which is no emotion of {CORPUS_FILE}"
        yield Fault(file, line, problem, remedy, "label-unknown")


def _rows_of_values(
    scan: Scan, key: str, is_meant: Callable[[str], bool]
) -> Iterator[tuple[int, str]]:
    """Yield (line, value) of the rows whose value is meant; each value is judged once."""
    number_of, names = codes(scan.rows, key)
    meant = [number for number, name in enumerate(names) if is_meant(name)]
    for row in np.flatnonzero(np.isin(number_of, meant)).tolist():
        yield int(scan.lines[row]), names[int(number_of[row])]


def count_faults(path: Path, n_rows: int, corpus: Corpus | None) -> Iterator[Fault]:
    """Yield a split that corpus.yaml does not name, or of which it counts other rows."""
    if corpus is None:
        return
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
