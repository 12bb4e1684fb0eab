"""Folds in memory. See `data_prep.folds.file` for the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from data_prep.folds.dev_set import gender_of
from data_prep.schema import LABEL_COLUMNS, SPLITS, Utterance

ALL = "all"  # the split of a corpus without official splits

Sets = Mapping[str, Sequence[str]]  # "train", "valid" and "test" -> ids
Composition = Mapping[str, Mapping[str, Mapping[str, Any]]]  # fold -> set -> what it is made of


@dataclass(frozen=True)
class Folds:
    """The folds of one protocol.

    Attributes:
        protocol: its name, such as "leave_one_session_out".
        unit: what is held out whole: "session", "speaker", "dialogue" or "row".
        seed: of what was drawn.
        bases: the splits whose rows are divided.
        folds: fold -> "train", "valid" and "test" -> ids.
        composition: rows, speakers, genders and labels of each set; empty for folds from a file.
    """

    protocol: str
    unit: str
    seed: int
    bases: tuple[str, ...]
    folds: Mapping[str, Sets]
    composition: Composition = field(default_factory=dict, compare=False)


# -- Composition: rows, speakers, genders and labels of each set -----------------------------------


def composition_of(folds: Mapping[str, Sets], rows: Sequence[Utterance]) -> Composition:
    """Count, for each fold and set, its rows, speakers, their genders, and each label."""
    row_of = {row.id: row for row in rows}
    return {
        name: {split: _set_composition([row_of[id_] for id_ in sets[split]]) for split in SPLITS}
        for name, sets in folds.items()
    }


def _set_composition(rows: Sequence[Utterance]) -> dict[str, Any]:
    genders = {row.speaker: gender_of(row) for row in rows if row.speaker is not None}
    labels = {
        column: dict(sorted(counts.items()))
        for column in LABEL_COLUMNS
        if (counts := Counter(x for row in rows if (x := getattr(row, column)) is not None))
    }
    return {
        "rows": len(rows),
        "speakers": len(genders),
        "genders": dict(sorted(Counter(g for g in genders.values() if g).items())),
        "labels": labels,
    }


def composition_lines(composition: Composition) -> Iterator[str]:
    """Yield a line a set: ``fold 1 valid: 16 rows, 2 speakers, emotion sad 75%``."""
    for name, sets in composition.items():
        n_rows = sum(counts["rows"] for split, counts in sets.items() if split != "test")
        for split, counts in sets.items():
            n = counts["rows"]
            share = f" ({n / n_rows:.1%} of train and valid)" if split == "valid" and n_rows else ""
            parts = [f"{n} rows{share}"]
            if counts["speakers"]:
                genders = ", ".join(
                    f"{count} {gender}" for gender, count in counts["genders"].items()
                )
                parts.append(
                    f"{counts['speakers']} speakers" + (f" ({genders})" if genders else "")
                )
            parts += [
                f"{column} " + " ".join(f"{label} {x / n:.0%}" for label, x in labels.items())
                for column, labels in counts["labels"].items()
            ]
            yield f"fold {name} {split}: {', '.join(parts)}"


# -- Turns that folds separate from their neighbors in the dialogue --------------------------------


def context_notes(folds: Folds, rows: Sequence[Utterance]) -> list[str]:
    """Return a sentence if neighboring turns of a dialogue are in different sets of a fold.

    A model of dialogues, or with dialogue context, reads turns of the row's own set alone. Only
    rows with a text count.
    """
    pairs = _neighbors(rows)
    counts = {name: _separated(sets, pairs) for name, sets in folds.folds.items()}
    most = max(counts, key=lambda name: counts[name], default="")
    if not most or not counts[most]:
        return []
    n_folds = sum(count > 0 for count in counts.values())
    note = (
        f"in {n_folds} of {len(counts)} folds neighboring turns are in different sets (fold "
        f"{most}: {counts[most]} of {len(rows)} rows); models of dialogues read turns of "
        "their own set alone"
    )
    return [note]


def _neighbors(rows: Sequence[Utterance]) -> list[tuple[str, str]]:
    """Ids of turns that follow each other in a dialogue."""
    dialogues: dict[str, list[Utterance]] = {}
    for row in rows:
        if row.dialogue is not None and row.turn is not None and row.text is not None:
            dialogues.setdefault(row.dialogue, []).append(row)
    in_order = (sorted(turns, key=lambda row: row.turn or 0) for turns in dialogues.values())
    return [(row.id, other.id) for turns in in_order for row, other in pairwise(turns)]


def _separated(sets: Mapping[str, Sequence[str]], pairs: Sequence[tuple[str, str]]) -> int:
    """The rows in a set that have a neighbor in another one, or in none."""
    set_of = {id_: split for split in SPLITS for id_ in sets[split]}
    separated = {id_ for pair in pairs if len({set_of.get(i) for i in pair}) > 1 for id_ in pair}
    return len(separated & set_of.keys())
