"""What the sets of each fold are made of: rows, speakers, genders and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_prep.folds.dev_set import gender_of
from data_prep.folds.records import (
    Composition,
    Sets,
)
from data_prep.manifest.records import (
    LABEL_COLUMNS,
    SPLITS,
    Utterance,
)


def composition_of(folds: Mapping[str, Sets], rows: Sequence[Utterance]) -> Composition:
    """Count, for each fold and set, its rows, speakers, their genders, and each label."""
    row_of = {row.id: row for row in rows}
    return {
        name: {split: _facts([row_of[id_] for id_ in sets[split]]) for split in SPLITS}
        for name, sets in folds.items()
    }


def _facts(rows: Sequence[Utterance]) -> dict[str, Any]:
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
    """A line for each fold and set: ``fold 1 valid: 16 rows, 2 speakers, emotion sad 75%``."""
    for name, sets in composition.items():
        n_rows = sum(facts["rows"] for split, facts in sets.items() if split != "test")
        for split, facts in sets.items():
            n = facts["rows"]
            share = f" ({n / n_rows:.1%} of train and valid)" if split == "valid" and n_rows else ""
            parts = [f"{n} rows{share}"]
            if facts["speakers"]:
                genders = ", ".join(
                    f"{count} {gender}" for gender, count in facts["genders"].items()
                )
                parts.append(f"{facts['speakers']} speakers" + (f" ({genders})" if genders else ""))
            parts += [
                f"{column} " + " ".join(f"{label} {x / n:.0%}" for label, x in counts.items())
                for column, counts in facts["labels"].items()
            ]
            yield f"fold {name} {split}: {', '.join(parts)}"
