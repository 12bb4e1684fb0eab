"""Summarize a data dir as plain text: rows, hours, labels and dropped rows of every split.

Rows are counted in the manifests; the order of labels and splits, and the dropped rows, are those
of corpus.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from data_prep.manifest.columns import LABEL_COLUMNS, Kind, names_of
from data_prep.manifest.corpus_card import (
    count_split,
    read_corpus,
)
from data_prep.manifest.labels import check_labels
from data_prep.manifest.records import Corpus, DroppedRow, Utterance
from data_prep.manifest.table import ManifestTable, has
from data_prep.manifest.tsv import read_manifest

NAMED_IDS = 5  # of rows that were dropped for the same reason
NAMED_REASONS = 20
TOTAL = "total"
NO_LABEL = "(none)"
_SCORES = {f"with_{name}": name.rpartition("_")[2] for name in names_of(Kind.NUMBER)}
# Counts of count_split and of scores, and the headers of their columns.
_COLUMNS = {
    "rows": "rows",
    "hours": "hours",
    "with_text": "text",
    "with_audio": "audio",
    "with_vad": "VAD",
    **_SCORES,
    "with_video": "video",
    "with_votes": "votes",
    "speakers": "speakers",
    "dialogues": "dialogues",
}
_OPTIONAL = (*_SCORES, "with_video", "with_votes")  # shown if not 0
_NUMBER = re.compile(r"\d+(?:\.\d+)?")

Splits = Mapping[str, Sequence[Utterance]]


@dataclass(frozen=True)
class DroppedGroup:
    """Rows, or parts of rows, that were dropped for the same reason."""

    what: str  # "row" or "audio"
    reason: str  # N replaces numbers in which reasons differ
    count: int
    first_ids: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """Result of `summarize`. `counts` is {split: result of `count_split`}, `TOTAL` last."""

    name: str
    protocol: str
    counts: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, Mapping[str, Mapping[str, int]]]  # column -> split -> label -> rows
    dropped: Sequence[DroppedGroup]
    notes: Sequence[str]
    warnings: Sequence[str] = ()  # see `check_labels`


def summarize(corpus: Corpus, splits: Splits) -> Summary:
    """Count the rows of every split and in total; a speaker in two splits counts once in total."""
    everything: dict[str, Sequence[Utterance]] = dict(splits)
    everything[TOTAL] = ManifestTable.joined(list(splits.values()))
    counts = {}
    labels: dict[str, dict[str, dict[str, int]]] = {key: {} for key in corpus.labels}
    for split, rows in everything.items():
        split_counts = count_split(rows, corpus)
        for name in names_of(Kind.NUMBER):
            split_counts[f"with_{name}"] = int(has(rows, name).sum())
        for key in corpus.labels:
            shares = dict(split_counts[key])
            labels[key][split] = {**shares, NO_LABEL: len(rows) - sum(shares.values())}
        counts[split] = split_counts
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
    """Group dropped rows by part and reason, the largest group first.

    Reasons that only differ in numbers, such as `truncated: 200 of 320 bytes`, are one group.
    """
    groups: dict[tuple[str, str], list[DroppedRow]] = {}
    for row in dropped:
        groups.setdefault((row.what, _NUMBER.sub("N", row.reason)), []).append(row)
    merged = []
    for (part, pattern), rows in groups.items():
        reasons = {row.reason for row in rows}
        reason = reasons.pop() if len(reasons) == 1 else pattern
        first = tuple(row.id for row in rows[:NAMED_IDS])
        merged.append(DroppedGroup(part, reason, len(rows), first))
    return sorted(merged, key=lambda group: -group.count)


def render_summary(summary: Summary) -> str:
    """Format a summary as plain text."""
    head = [f"{summary.name}: {summary.protocol}" if summary.protocol else summary.name]
    tables = [_count_lines(summary), *_label_tables(summary)]
    lines = [*head, *chain.from_iterable(["", *table] for table in tables)]
    ends = list(_dropped_lines(summary.dropped))
    ends += [f"note: {note}" for note in summary.notes]
    ends += [f"warning: {warning}" for warning in summary.warnings]
    if ends:
        lines += ["", *ends]
    return "\n".join(lines)


def _count_lines(summary: Summary) -> list[str]:
    shown = {
        key: head
        for key, head in _COLUMNS.items()
        if key not in _OPTIONAL or summary.counts[TOTAL].get(key)
    }
    rows = [["split", *shown.values()]]
    for split, counts in summary.counts.items():
        cells = (
            f"{counts[key]:.3f}" if key == "hours" else f"{counts.get(key, 0)}" for key in shown
        )
        rows.append([split, *cells])
    return _aligned(rows)


def _label_tables(summary: Summary) -> Iterator[list[str]]:
    """Yield a table per label column, and one of the corpora in a data dir of several."""
    tables = {key: summary.labels[key] for key in LABEL_COLUMNS if key in summary.labels}
    if "corpus" in summary.counts[TOTAL]:
        tables["corpus"] = {s: counts.get("corpus", {}) for s, counts in summary.counts.items()}
    for key, by_split in tables.items():
        rows = [[key, *by_split]]
        for label, total in by_split[TOTAL].items():
            if label == NO_LABEL and not total:
                continue
            cells = [
                _share(labels.get(label, 0), summary.counts[s]["rows"])
                for s, labels in by_split.items()
            ]
            rows.append([label, *cells])
        yield _aligned(rows)


def _share(count: int, total: int) -> str:
    return f"{count} {count / max(1, total):6.1%}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns: the first to the left, numbers to the right, two spaces apart."""
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


def read_data_dir(data_dir: str | Path) -> tuple[Corpus, dict[str, ManifestTable]]:
    """Read corpus.yaml and its manifests. Raises ManifestError if one is invalid."""
    corpus = read_corpus(data_dir)
    return corpus, {s: read_manifest(Path(data_dir) / f"{s}.tsv") for s in corpus.splits}


def print_summary(out_dir: Path) -> None:
    """Print the summary of a data dir. Raises ManifestError if it cannot be read."""
    print(render_summary(summarize(*read_data_dir(out_dir))))
