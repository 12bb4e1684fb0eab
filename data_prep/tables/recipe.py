"""What `table` must be told about a user's table, and the refusal to guess any of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.schema import AXES, KNOWN_COLUMNS, LABEL_COLUMNS, SPLITS
from data_prep.tables.reader import TableFormat
from data_prep.tables.segments import other_units

FIELDS = tuple(name for name in KNOWN_COLUMNS if name != "n_samples")  # that one is measured
GROUPS = ("speaker", "dialogue", "session", "row")


@dataclass(frozen=True)
class TableRecipe:
    """How to read a table: which column fills which field, and what its values mean."""

    name: str
    columns: Mapping[str, str]  # field -> the table's column
    extra: Sequence[str] = ()  # further columns to keep as they are
    format: TableFormat = TableFormat()  # noqa: RUF009 - it is frozen
    missing: Sequence[str] = ()  # values, beside the empty one, that mean "not there"
    normalize: bool = False  # repair mojibake and typographic punctuation in text
    label_order: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of emotion, sentiment
    label_map: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)  # that tables declare
    drop_labels: Sequence[str] = ()  # emotions, as the table has them, whose rows are left out
    vad_scale: tuple[float, float] | None = None
    data_raw: Path | None = None
    drop_bad_audio: bool = False
    split_column: str | None = None
    split_map: Mapping[str, str] = field(default_factory=dict)
    split_by: str | None = None
    fractions: Mapping[str, float] = field(default_factory=dict)  # {"test": 0.2, "valid": 0.1}
    seed: int = 1
    disjoint: Sequence[str] = ()
    licence: str = ""
    citation: str = ""
    notes: Sequence[str] = ()  # of whoever made the recipe, for corpus.yaml
    unread: Sequence[str] | None = None  # columns that nothing reads (default: of the table itself)


def check_recipe(recipe: TableRecipe, tables: Mapping[str, Path]) -> None:
    """Raise ValueError where the recipe leaves something to be guessed, or contradicts itself."""
    columns = recipe.columns
    mapped_axes = [axis for axis in AXES if axis in columns]
    odd_groups = sorted(set(recipe.disjoint) - set(columns))
    ways = [bool(recipe.split_column), bool(recipe.split_by), set(tables) <= set(SPLITS)]
    taken = [column for column in recipe.extra if column in KNOWN_COLUMNS]
    low, high = recipe.vad_scale or (0.0, 1.0)
    units = other_units(columns[field] for field in ("start", "end") if field in columns)
    refusals = {
        str(units): units is not None,
        f"--column {', '.join(set(columns) - set(FIELDS))}: no such field; the fields are "
        f"{', '.join(FIELDS)}": not set(columns) <= set(FIELDS),
        "no column is mapped to id; add --column id=COLUMN": "id" not in columns,
        "neither text nor audio is mapped; add --column text=COLUMN or --column audio=COLUMN": (
            not {"text", "audio"} & set(columns)
        ),
        "audio is mapped; say with --data-raw DIR where its paths start": (
            "audio" in columns and recipe.data_raw is None
        ),
        f"{', '.join(mapped_axes)}: the scale is not known; add --vad-scale LOW HIGH": (
            bool(mapped_axes) and recipe.vad_scale is None
        ),
        "start and end are the segment of an audio file; add --column audio=COLUMN": (
            bool({"start", "end"} & set(columns)) and "audio" not in columns
        ),
        f"--vad-scale {low:g} {high:g} is empty; give the lower end first": not low < high,
        "the splits are not known, or known twice; give one of --split-column, --split-by and "
        "SPLIT=TABLE": sum(ways) != 1,
        f"--split-by {recipe.split_by}: {recipe.split_by} is not mapped; add --column "
        f"{recipe.split_by}=COLUMN": recipe.split_by not in (None, "row", *columns),
        f"--extra {', '.join(taken)}: the manifest has a column of that name; map it, "
        "or rename it in the table": bool(taken),
        f"--disjoint: {', '.join(odd_groups)} is not mapped": bool(odd_groups),
        "--drop-label needs --column emotion=COLUMN": (
            bool(recipe.drop_labels) and "emotion" not in columns
        ),
    }
    for key in LABEL_COLUMNS:
        used = bool(recipe.label_order.get(key) or recipe.label_map.get(key))
        refusals[f"{key} is not mapped; add --column {key}=COLUMN"] = used and key not in columns
    for refusal, holds in refusals.items():
        if holds:
            raise ValueError(refusal)
