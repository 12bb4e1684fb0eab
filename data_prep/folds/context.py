"""How many turns a protocol parts from their neighbors: what dialogue context then cannot see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from data_prep.folds.records import Folds
from data_prep.manifest.records import (
    SPLITS,
    Utterance,
)


def context_notes(folds: Folds, rows: Sequence[Utterance]) -> list[str]:
    """A sentence where turns of a dialogue are in different sets of a fold; [] where none are.

    A model that reads neighboring turns sees those of the row's own set alone. Only rows that have
    a text count, for context is made of texts.
    """
    pairs = _neighbors(rows)
    counts = {name: _parted(sets, pairs) for name, sets in folds.folds.items()}
    most = max(counts, key=lambda name: counts[name], default="")
    if not most or not counts[most]:
        return []
    n_folds = sum(count > 0 for count in counts.values())
    note = (
        f"in {n_folds} of {len(counts)} folds turns stand beside turns of another set (fold "
        f"{most}: {counts[most]} of {len(rows)} rows); dialogue context (--context-past, "
        "--context-future) sees those of its own set alone"
    )
    return [note]


def _neighbors(rows: Sequence[Utterance]) -> list[tuple[str, str]]:
    """Ids of turns that follow each other in a dialogue."""
    dialogues: dict[str, list[Utterance]] = {}
    for row in rows:
        if row.dialogue is not None and row.turn is not None and row.text is not None:
            dialogues.setdefault(row.dialogue, []).append(row)
    in_order = (sorted(turns, key=lambda row: row.turn or 0) for turns in dialogues.values())
    return [(one.id, other.id) for turns in in_order for one, other in pairwise(turns)]


def _parted(sets: Mapping[str, Sequence[str]], pairs: Sequence[tuple[str, str]]) -> int:
    """The rows in a set that have a neighbor in another one, or in none."""
    set_of = {id_: split for split in SPLITS for id_ in sets[split]}
    parted = {id_ for pair in pairs if len({set_of.get(i) for i in pair}) > 1 for id_ in pair}
    return len(parted & set_of.keys())
