"""Columns of published tables, by the names that these use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from data_prep.errors import CodedError
from data_prep.schema import AXES
from data_prep.tables.recipe import FIELDS

# Names of valence, arousal and dominance; a table has those of one line.
VAD_NAMES: Sequence[tuple[str, str, str]] = (
    ("valence", "arousal", "dominance"),
    ("valence", "arousal", "domination"),
    ("consensus_valence", "consensus_arousal", "consensus_dominance"),
    ("EmoVal", "EmoAct", "EmoDom"),
    ("V", "A", "D"),
)
# Field -> further names of its column; a column of the field's own name always fills it.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "text": ("transcript",),
    **{
        axis: tuple(dict.fromkeys(name for name in names if name != axis))
        for axis, names in zip(AXES, zip(*VAD_NAMES, strict=True), strict=True)
    },
}
TIMES = ("start", "end")  # of audio
SEGMENTS = {"file", *TIMES}  # audformat's index of segments; a "file" alone may be any
FEATURES = {"emotion2vec": "emotion2vec_features"}  # feature folder -> column


def map_known_columns(
    columns: Sequence[str], given: Mapping[str, str], ignored: Collection[str] = ()
) -> dict[str, str]:
    """Return {field: column}: the given ones, then columns of a known name.

    Raises CodedError if a given or ignored column does not exist, if two columns could fill a
    field, or if valence, arousal and dominance have names of different sets.
    """
    known = {*columns, *(f"{name}.path" for name in columns)}
    if absent := [name for name in (*given.values(), *ignored) if name not in known]:
        names = ", ".join(columns)
        raise CodedError(f"no column {', '.join(absent)}; there are {names}", "column-missing")
    taken = {*given.values(), *ignored}
    free = [name for name in columns if name not in taken]
    mapped = dict(given)
    if "audio" not in {*columns, *given} and set(free) >= SEGMENTS:
        mapped["audio"] = "file"
    for name in FIELDS:
        candidates = [alias for alias in (name, *ALIASES.get(name, ())) if alias in free]
        if name not in given and len(candidates) > 1:
            raise CodedError(
                f"{' and '.join(candidates)} could both be {name}; give "
                f"--column {name}={candidates[0]}, or --ignore {candidates[1]}",
                "column-ambiguous",
            )
        is_time_of_text = name in TIMES and "audio" not in mapped
        if name not in given and candidates and not is_time_of_text:
            mapped[name] = candidates[0]
    _check_one_set({axis: mapped[axis] for axis in AXES if axis in mapped and axis not in given})
    return mapped


def _check_one_set(axes: Mapping[str, str]) -> None:
    if not any(set(axes.values()) <= set(names) for names in VAD_NAMES):
        pairs = ", ".join(f"{axis}={column}" for axis, column in axes.items())
        raise CodedError(
            f"the axes have names of different sets ({pairs}); give them with --column",
            "column-ambiguous",
        )


def map_features(columns: Collection[str], given: Iterable[str]) -> dict[str, str]:
    """Return {feature folder: column}, from NAME=COLUMN, and of known feature columns."""
    folders = {name: column for name, column in FEATURES.items() if column in columns}
    pairs = [text.partition("=") for text in given]
    for name, equals, column in pairs:
        if not (name and equals and column) or "/" in name:
            message = f"--features {name}{equals}{column}: write NAME=COLUMN"
            raise CodedError(message, "option-malformed")
        if column not in columns:
            raise CodedError(f"--features {name}={column}: no such column", "column-missing")
        folders = {n: c for n, c in folders.items() if c != column} | {name: column}
    return folders
