"""Which column of a published table fills which field: by the names that such tables go by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from data_prep.manifest.records import AXES
from data_prep.tables.recipe import FIELDS

# Field -> further names of its column; a column of the field's own name always fills it.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "text": ("transcript",),
    "valence": ("EmoVal", "V"),
    "arousal": ("EmoAct", "A"),
    "dominance": ("EmoDom", "D"),
}
TIMES = ("start", "end")  # of audio
SEGMENTS = {"file", *TIMES}  # audformat's index of segments; a "file" alone may be any
FEATURES = {"emotion2vec": "emotion2vec_features"}  # feature folder -> column


def map_columns(
    columns: Sequence[str], given: Mapping[str, str], ignored: Collection[str] = ()
) -> dict[str, str]:
    """Field -> column: the given ones, then those whose columns have a known name.

    Raises ValueError where a given or ignored column is not there, where two columns could fill a
    field, or where valence, arousal and dominance go by names of different sets.
    """
    known = {*columns, *(f"{name}.path" for name in columns)}
    if absent := [name for name in (*given.values(), *ignored) if name not in known]:
        raise ValueError(f"there is no column {', '.join(absent)}; there are {', '.join(columns)}")
    taken = {*given.values(), *ignored}
    free = [name for name in columns if name not in taken]
    mapped = dict(given)
    if "audio" not in {*columns, *given} and set(free) >= SEGMENTS:
        mapped["audio"] = "file"
    for field in FIELDS:
        found = [name for name in (field, *ALIASES.get(field, ())) if name in free]
        if field not in given and len(found) > 1:
            raise ValueError(
                f"{' and '.join(found)} could both be {field}; say --column {field}={found[0]}, or "
                f"--ignore {found[1]}"
            )
        is_time_of_text = field in TIMES and "audio" not in mapped
        if field not in given and found and not is_time_of_text:
            mapped[field] = found[0]
    _check_one_set({axis: mapped[axis] for axis in AXES if axis in mapped and axis not in given})
    return mapped


def _check_one_set(axes: Mapping[str, str]) -> None:
    sets = {(axis, *ALIASES[axis]).index(column) for axis, column in axes.items()}
    if len(sets) > 1:
        pairs = ", ".join(f"{axis}={column}" for axis, column in axes.items())
        raise ValueError(
            f"the axes go by names of different sets ({pairs}); say which are meant with --column"
        )


def map_features(columns: Collection[str], given: Iterable[str]) -> dict[str, str]:
    """Feature folder -> column, from NAME=COLUMN; without any, the known ones that are there."""
    found = {name: column for name, column in FEATURES.items() if column in columns}
    pairs = [text.partition("=") for text in given]
    for name, equals, column in pairs:
        if not (name and equals and column) or "/" in name:
            raise ValueError(f"--features {name}{equals}{column}: write NAME=COLUMN")
        if column not in columns:
            raise ValueError(f"--features {name}={column}: there is no such column")
        found = {n: c for n, c in found.items() if c != column} | {name: column}
    return found
