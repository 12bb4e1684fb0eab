"""Summarize a data dir as plain text: rows, hours, labels and dropped rows of every split.

Everything is counted anew from the manifests; corpus.yaml has the order of labels and splits, and
the rows that were dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from data_prep.manifest.corpus_card import (
    count_split,
    read_corpus,
)
from data_prep.manifest.labels import check_labels
from data_prep.manifest.records import (
    LABEL_COLUMNS,
    Corpus,
    DroppedRow,
    Utterance,
)
from data_prep.manifest.tsv import read_manifest

NAMED_IDS = 5  # of the rows that were dropped for one reason
NAMED_REASONS = 20
TOTAL = "total"
NO_LABEL = "(none)"
# What count_split counts -> the head of its column; an optional one is shown when any row has it.
_COLUMNS = {
    "rows": "rows",
    "hours": "hours",
    "with_text": "text",
    "with_audio": "audio",
    "with_vad": "VAD",
    "with_score": "score",
    "speakers": "speakers",
    "dialogues": "dialogues",
}
_OPTIONAL = ("with_score",)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")

Splits = Mapping[str, Sequence[Utterance]]


@dataclass(frozen=True)
class DroppedGroup:
    """Rows, or rows' audio, that were dropped for one reason."""

    what: str  # "row" or "audio"
    reason: str  # where reasons differ in their numbers only, N stands for those
    count: int
    first_ids: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """What `summarize` counts. `counts` is {split: as `count_split`}, `TOTAL` last."""

    name: str
    protocol: str
    counts: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, Mapping[str, Mapping[str, int]]]  # column -> split -> label -> rows
    dropped: Sequence[DroppedGroup]
    notes: Sequence[str]
    warnings: Sequence[str] = ()  # of labels, see `check_labels`


def summarize(corpus: Corpus, splits: Splits) -> Summary:
    """Count the rows of every split and of all; a speaker in two splits is one speaker of all."""
    everything: dict[str, Sequence[Utterance]] = dict(splits)
    everything[TOTAL] = list(chain.from_iterable(splits.values()))
    counts = {}
    labels: dict[str, dict[str, dict[str, int]]] = {key: {} for key in corpus.labels}
    for split, rows in everything.items():
        found = count_split(rows, corpus)
        found["with_score"] = sum(row.sentiment_score is not None for row in rows)
        for key in corpus.labels:
            shares = dict(found[key])
            labels[key][split] = {**shares, NO_LABEL: len(rows) - sum(shares.values())}
        counts[split] = found
    return Summary(
        corpus.name,
        corpus.protocol,
        counts,
        labels,
        group_dropped(corpus.dropped),
        [*corpus.notes, *_stale_counts(corpus, splits)],
        check_labels(splits, corpus.labels),
    )


def _stale_counts(corpus: Corpus, splits: Splits) -> Iterator[str]:
    for split, rows in splits.items():
        stated = corpus.splits.get(split, {}).get("rows", len(rows))
        if stated != len(rows):
            yield f"corpus.yaml counts {stated} rows in {split}, where the manifest has {len(rows)}"


def group_dropped(dropped: Iterable[DroppedRow]) -> list[DroppedGroup]:
    """Dropped rows by what was dropped and why, the largest group first.

    Reasons that differ in numbers only, such as `truncated: 200 of 320 bytes`, are one group.
    """
    groups: dict[tuple[str, str], list[DroppedRow]] = {}
    for row in dropped:
        groups.setdefault((row.what, _NUMBER.sub("N", row.reason)), []).append(row)
    found = []
    for (what, pattern), rows in groups.items():
        reasons = {row.reason for row in rows}
        reason = reasons.pop() if len(reasons) == 1 else pattern
        first = tuple(row.id for row in rows[:NAMED_IDS])
        found.append(DroppedGroup(what, reason, len(rows), first))
    return sorted(found, key=lambda group: -group.count)


def render_summary(summary: Summary) -> str:
    """The summary as lines of plain text."""
    head = [f"{summary.name}: {summary.protocol}" if summary.protocol else summary.name]
    tables = [_count_lines(summary), *_label_tables(summary)]
    lines = [*head, *chain.from_iterable(["", *table] for table in tables)]
    ends = [*_dropped_lines(summary.dropped), *(f"note: {note}" for note in summary.notes)]
    if ends := [*ends, *(f"warning: {warning}" for warning in summary.warnings)]:
        lines += ["", *ends]
    return "\n".join(lines)


def _count_lines(summary: Summary) -> list[str]:
    shown = {
        key: head
        for key, head in _COLUMNS.items()
        if key not in _OPTIONAL or summary.counts[TOTAL][key]
    }
    rows = [["split", *shown.values()]]
    for split, counts in summary.counts.items():
        cells = (f"{counts[key]:.3f}" if key == "hours" else f"{counts[key]}" for key in shown)
        rows.append([split, *cells])
    return _aligned(rows)


def _label_tables(summary: Summary) -> Iterator[list[str]]:
    """A table a label column, and one of where the rows come from in a data dir of several."""
    tables = {key: summary.labels[key] for key in LABEL_COLUMNS if key in summary.labels}
    if "corpus" in summary.counts[TOTAL]:
        tables["corpus"] = {s: found.get("corpus", {}) for s, found in summary.counts.items()}
    for key, by_split in tables.items():
        rows = [[key, *by_split]]
        for label, total in by_split[TOTAL].items():
            if label == NO_LABEL and not total:
                continue
            cells = [
                _share(found.get(label, 0), summary.counts[s]["rows"])
                for s, found in by_split.items()
            ]
            rows.append([label, *cells])
        yield _aligned(rows)


def _share(count: int, total: int) -> str:
    return f"{count} {count / max(1, total):6.1%}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns two spaces apart, the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _dropped_lines(groups: Sequence[DroppedGroup]) -> Iterator[str]:
    for group in groups[:NAMED_REASONS]:
        ids = ", ".join(group.first_ids) + (", ..." if group.count > len(group.first_ids) else "")
        yield f"dropped: {group.count} x {group.what}: {group.reason} ({ids})"
    if rest := groups[NAMED_REASONS:]:
        count = sum(group.count for group in rest)
        yield f"dropped: {count} more for {len(rest)} further reasons; corpus.yaml lists each"


def read_data_dir(data_dir: str | Path) -> tuple[Corpus, dict[str, list[Utterance]]]:
    """corpus.yaml, and the manifests that it names. Raises ManifestError where one is bad."""
    corpus = read_corpus(data_dir)
    return corpus, {s: read_manifest(Path(data_dir) / f"{s}.tsv") for s in corpus.splits}


def print_summary(out_dir: Path) -> None:
    """Print what the data dir `out_dir` holds. Raises ManifestError where it cannot be read."""
    print(render_summary(summarize(*read_data_dir(out_dir))))
