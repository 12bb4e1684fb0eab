"""Map the columns of a table to fields, by their names and by what they hold.

A column of a known name fills its field only if its cells fit: a column `label` of sentences is no
emotion. Where two columns fit alike, neither is taken, and that is a decision of the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from data_prep.manifest.cells import find_id_fault
from data_prep.schema import AXES
from data_prep.tables.column_contents import (
    EMOTIONS,
    SENTIMENTS,
    Contents,
    is_audio_name,
    is_number,
    is_time,
    is_whole,
    split_of,
)
from data_prep.tables.column_names import NAMES, name_key, rank
from data_prep.tables.segments import other_units, time_field

_MOST = 0.9  # share of cells that must fit
_MOST_CLASSES = 100
_SPLIT_WORDS = 12  # values of a column of splits


@dataclass(frozen=True)
class Decision:
    """What only the user can decide.

    Attributes:
        problem: what is not known.
        words: of the command line that decide it; in capitals what only the user can give.
        code: of the error.
    """

    problem: str
    words: Sequence[str]
    code: str


@dataclass
class ColumnMap:
    """The columns of the fields, "split" among them, and what is ambiguous."""

    columns: dict[str, str] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)


def map_columns(contents: Mapping[str, Contents], given: Mapping[str, str]) -> ColumnMap:
    """Return which column fills which field; `given` ones are kept, with "" for none."""
    mapped = ColumnMap({field: name for field, name in given.items() if name})
    for field_ in NAMES:
        if field_ in given:
            continue
        free = [c for name, c in contents.items() if name not in mapped.columns.values()]
        fitting = [c for c in free if _FITS[field_](c, mapped.columns, contents)]
        names = _named(field_, fitting) or _by_content(field_, fitting)
        if len(names) == 1:
            mapped.columns[field_] = names[0]
        elif names:
            problem = f"{' and '.join(names)} could each be the {field_}"
            option = "--split-column" if field_ == "split" else "--column"
            word = f"{field_}=COLUMN" if option == "--column" else "COLUMN"
            mapped.decisions.append(Decision(problem, (option, word), "column-ambiguous"))
    if sum(axis in mapped.columns for axis in AXES) == 1:
        _without_single_letter(mapped, given)
    return mapped


def _without_single_letter(mapped: ColumnMap, given: Mapping[str, str]) -> None:
    """Leave out V, A or D alone, which may be anything."""
    for axis in AXES:
        name = mapped.columns.get(axis, "")
        if len(name_key(name)) == 1 and axis not in given:
            del mapped.columns[axis]


def _named(field_: str, fitting: Sequence[Contents]) -> list[str]:
    """Return the names that fit best, the field's own before others."""
    ranks = {c.name: r for c in fitting if (r := _rank(field_, c)) is not None}
    best = [name for name, r in ranks.items() if r == min(ranks.values())]
    own = [name for name in best if name_key(name) == field_]
    return own if len(own) == 1 else best


def _rank(field_: str, column: Contents) -> int | None:
    if field_ in ("start", "end"):
        return 0 if time_field(column.name) == field_ else rank(field_, column.name)
    if field_ == "sentiment" and rank("emotion", column.name) == 1:
        return 1 if _is_sentiment(column) else None  # `label`: positive, negative
    return rank(field_, column.name)


def _by_content(field_: str, fitting: Sequence[Contents]) -> list[str]:
    """Return the names of columns that hold what the field is, and are called like no other."""
    holds = _HOLDS.get(field_)
    unnamed = [c for c in fitting if not any(_rank(other, c) is not None for other in NAMES)]
    return [c.name for c in unnamed if holds(c)] if holds else []


# -- What fits a field: of its contents, the columns of fields before it, and all contents ---------

_Fits = Callable[[Contents, Mapping[str, str], Mapping[str, Contents]], bool]


def _are_labels(column: Contents) -> bool:
    if not column.is_plain or len(column.values) > _MOST_CLASSES or column.mean_words() > 3:
        return False
    if column.share(is_number) == 1:
        return column.share(is_whole) == 1 and column.distinct_share < 0.5
    few = column.distinct_share <= 0.5 or column.n_filled <= 10
    return (few or _is_emotion(column)) and column.share(is_audio_name) < 0.5


def _is_emotion(column: Contents) -> bool:
    return column.is_plain and len(column.values) > 1 and column.key_share(EMOTIONS) >= 0.8


def _is_sentiment(column: Contents) -> bool:
    return column.is_plain and len(column.values) > 1 and column.key_share(SENTIMENTS) == 1


def _is_text(column: Contents) -> bool:
    return (
        column.is_plain
        and column.is_text
        and column.share(is_number) < 0.5
        and not _is_audio(column)
    )


def _is_audio(column: Contents) -> bool:
    return column.is_plain and column.share(is_audio_name) >= _MOST


def _holds_sounds(column: Contents) -> bool:
    return bool(column.n_complex) and not column.values


def _is_id(column: Contents) -> bool:
    return column.is_plain and column.is_unique and not any(map(find_id_fault, column.values))


def _is_group(column: Contents) -> bool:
    if not column.is_plain or column.mean_words() > 4:
        return False
    if column.share(is_number) < 1:
        return True
    # Programs write the whole numbers of a column with an empty cell as decimals: 12.0.
    return column.share(lambda value: is_whole(value.removesuffix(".0"))) == 1


def _are_times(
    column: Contents, columns: Mapping[str, str], contents: Mapping[str, Contents]
) -> bool:
    """Return whether they are seconds in recordings, which rows share."""
    audio = contents.get(columns.get("audio", ""))
    is_shared = audio is not None and len(audio.values) < audio.n_filled
    return (
        is_shared
        and column.is_plain
        and column.share(is_time) >= _MOST
        and other_units([column.name]) is None
    )


def _are_ratings(column: Contents) -> bool:
    return column.is_plain and column.share(is_number) >= 0.5


def _is_split(column: Contents) -> bool:
    named = column.share(lambda value: _numbered_split_of(value) is not None)
    return column.is_plain and len(column.values) <= _SPLIT_WORDS and named >= 0.5


def _numbered_split_of(value: str) -> str | None:
    """Return the split of a value, Test1 and Test2 included, which the user has to map."""
    return split_of(value.rstrip("0123456789"))


_FITS: Mapping[str, _Fits] = {
    "audio": lambda c, columns, contents: _is_audio(c) or _holds_sounds(c),
    "id": lambda c, columns, contents: _is_id(c),
    "text": lambda c, columns, contents: _is_text(c),
    "start": _are_times,
    "end": _are_times,
    "speaker": lambda c, columns, contents: _is_group(c),
    "session": lambda c, columns, contents: _is_group(c),
    "dialogue": lambda c, columns, contents: _is_group(c),
    "turn": lambda c, columns, contents: "dialogue" in columns and c.share(is_whole) == 1,
    "emotion": lambda c, columns, contents: _are_labels(c) and not _is_sentiment(c),
    "sentiment": lambda c, columns, contents: _are_labels(c),
    **{axis: lambda c, columns, contents: _are_ratings(c) for axis in AXES},
    "sentiment_score": lambda c, columns, contents: _are_ratings(c),
    "split": lambda c, columns, contents: _is_split(c),
}
# What a column holds that has no name of the field.
_HOLDS: Mapping[str, Callable[[Contents], bool]] = {
    "audio": _is_audio,
    "text": lambda c: c.mean_words() >= 3 and c.distinct_share >= 0.5,
    "emotion": _is_emotion,
    "sentiment": _is_sentiment,
    "split": lambda c: len(splits := {*map(_numbered_split_of, c.values)}) > 1 and all(splits),
}
