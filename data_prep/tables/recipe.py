"""The recipe of a user's table: the meaning of its columns and values.

Nothing is guessed: what a recipe does not name is not used, or refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.folds.records import ALL
from data_prep.manifest.out_of_scale import REFUSE
from data_prep.schema import AXES, KNOWN_COLUMNS, LABEL_COLUMNS
from data_prep.tables.segments import other_units
from data_prep.tables.table import TableFormat

_NOT_MAPPED = "field-not-mapped"

FIELDS = tuple(name for name in KNOWN_COLUMNS if name != "n_samples")  # that one is measured


@dataclass(frozen=True)
class TableRecipe:
    """How to read a table: which column fills which field, and what its values mean."""

    name: str
    columns: Mapping[str, str]  # field -> the table's column; without id, ids are made
    vote_columns: Mapping[str, str] = field(default_factory=dict)  # emotion -> column of counts
    extra: Sequence[str] = ()  # further columns to keep as they are
    format: TableFormat = TableFormat()  # noqa: RUF009 - it is frozen
    missing: Sequence[str] = ()  # values, beside the empty one, that mean "not there"
    normalize: bool = False  # repair mojibake and typographic punctuation in text
    label_order: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of emotion, sentiment
    label_map: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)  # that tables declare
    drop_labels: Sequence[str] = ()  # emotions, as the table has them, whose rows are left out
    vad_scale: tuple[float, float] | None = None
    out_of_scale: str = REFUSE
    data_raw: Path | None = None
    audio_paths: Mapping[str, str] = field(default_factory=dict)  # as written -> from `data_raw`
    drop_bad_audio: bool = False
    features: Mapping[str, Path] = field(default_factory=dict)  # name -> folder of {id}.npy
    split_column: str | None = None
    split_map: Mapping[str, str] = field(default_factory=dict)
    split_by: str | None = None
    fractions: Mapping[str, float] = field(default_factory=dict)  # {"test": 0.2, "valid": 0.1}
    seed: int = 1
    disjoint: Sequence[str] = ()
    license: str = ""
    citation: str = ""
    notes: Sequence[str] = ()  # of whoever made the recipe, for corpus.yaml
    unread: Sequence[str] | None = None  # columns that nothing reads (default: of the table itself)

    @property
    def has_votes(self) -> bool:
        """Whether the table has annotators' votes."""
        return "votes" in self.columns or bool(self.vote_columns)

    @property
    def label_keys(self) -> tuple[str, ...]:
        """The label columns of the manifest that are filled; emotions, too, by votes alone."""
        filled = {*self.columns, *(["emotion"] if self.has_votes else [])}
        return tuple(key for key in LABEL_COLUMNS if key in filled)


def check_recipe(recipe: TableRecipe, tables: Mapping[str, Path]) -> None:
    """Raise CodedError if the recipe is incomplete, or contradicts itself."""
    _check_fields(recipe)
    _check_scale(recipe, tables)
    _check_splits(recipe, tables)
    _check_other_columns(recipe)


def _check_fields(recipe: TableRecipe) -> None:
    columns = recipe.columns
    if units := other_units(columns[field] for field in ("start", "end") if field in columns):
        raise CodedError(units, "unit-not-seconds")
    if unknown := set(columns) - set(FIELDS):
        raise CodedError(
            f"--column {', '.join(unknown)}: no such field; the fields are {', '.join(FIELDS)}",
            "field-unknown",
        )
    if not ({"text", "audio", "video"} & set(columns) or recipe.features):
        raise CodedError(
            "neither text, audio nor video is mapped; add --column text=COLUMN, --column "
            "audio=COLUMN or --column video=COLUMN",
            _NOT_MAPPED,
        )
    recorded = [name for name in ("audio", "video") if name in columns]
    if recorded and recipe.data_raw is None:
        raise CodedError(
            f"{' and '.join(recorded)} is mapped; give the folder that its paths start from: "
            "--data-raw DIR",
            "data-raw-missing",
        )
    if {"start", "end"} & set(columns) and not recorded:
        raise CodedError(
            "start and end are a segment of a recording; add --column audio=COLUMN or --column "
            "video=COLUMN",
            _NOT_MAPPED,
        )


def _check_scale(recipe: TableRecipe, tables: Mapping[str, Path]) -> None:
    axes = [axis for axis in AXES if axis in recipe.columns]
    if recipe.vad_scale is None:
        if axes:
            raise CodedError(
                f"{', '.join(axes)}: the scale is not known; add --vad-scale LOW HIGH",
                "vad-scale-missing",
            )
        return
    if not axes:
        raise CodedError(
            f"--vad-scale: no column of {', '.join(map(str, tables.values()))} fills valence, "
            "arousal or dominance; add --column valence=COLUMN and the like, or leave the scale "
            "out",
            _NOT_MAPPED,
        )
    low, high = recipe.vad_scale
    if not low < high:
        raise CodedError(
            f"--vad-scale {low:g} {high:g} is empty; give the lower end first", "vad-scale-invalid"
        )


def _check_splits(recipe: TableRecipe, tables: Mapping[str, Path]) -> None:
    named = [split for split in tables if split]
    options = {"--split-column": recipe.split_column, "--split-by": recipe.split_by}
    sources = [name for name, value in options.items() if value]
    sources += [f"{', '.join(named)} as SPLIT=TABLE"] if named else []
    if not sources:
        raise CodedError(
            "the splits are not known; give one of --split-by (such as --split-by speaker), "
            "--split-column and SPLIT=TABLE, or, for cross-validation, "
            f"{ALL}={tables.get('', 'TABLE')}",
            "splits-unknown",
        )
    if len(sources) > 1:
        raise CodedError(
            f"the splits are given by {' and by '.join(sources)}; keep one of them",
            "splits-ambiguous",
        )
    if named and "" in tables:
        raise CodedError(
            f"{tables['']}: the rows of this table have no split; name it as SPLIT=TABLE, too",
            "splits-unknown",
        )
    if ALL in tables and len(tables) > 1:
        raise CodedError(
            f"{ALL}={tables[ALL]} holds the rows of all splits, and "
            f"{', '.join(name for name in named if name != ALL)} are among them; give one or the "
            "others",
            "splits-ambiguous",
        )
    if recipe.split_by not in (None, "row", *recipe.columns):
        raise CodedError(
            f"--split-by {recipe.split_by}: {recipe.split_by} is not mapped; add --column "
            f"{recipe.split_by}=COLUMN",
            _NOT_MAPPED,
        )


def _check_other_columns(recipe: TableRecipe) -> None:
    columns = recipe.columns
    if reserved := [column for column in recipe.extra if column in KNOWN_COLUMNS]:
        raise CodedError(
            f"--extra {', '.join(reserved)}: the manifest has a column of that name; map it, or "
            "rename it in the table",
            "column-reserved",
        )
    if unmapped := sorted(set(recipe.disjoint) - set(columns)):
        raise CodedError(f"--disjoint: {', '.join(unmapped)} is not mapped", _NOT_MAPPED)
    if "votes" in columns and recipe.vote_columns:
        raise CodedError(
            "--vote-column: --column votes=COLUMN names the votes, too; keep one of them",
            "options-conflict",
        )
    if recipe.drop_labels and "emotion" not in columns:
        raise CodedError("--drop-label needs --column emotion=COLUMN", _NOT_MAPPED)
    for key in LABEL_COLUMNS:
        is_used = recipe.label_order.get(key) or recipe.label_map.get(key)
        if is_used and key not in recipe.label_keys:
            raise CodedError(f"{key} is not mapped; add --column {key}=COLUMN", _NOT_MAPPED)
