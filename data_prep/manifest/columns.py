"""The columns of a manifest: the one table that reading, writing, checks and help go by.

Another column is a row of `COLUMNS`, and the field of `Utterance` at the same place.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.Enum):
    """What the cells of a column hold."""

    ID = "id"
    VALUE = "value"  # a name or a path
    LABEL = "label"
    TEXT = "text"
    COUNT = "count"  # a whole number from 0 up
    UNIT = "unit"  # a number from 0 to 1
    NUMBER = "number"
    SECONDS = "seconds"
    VOTES = "votes"  # labels and how many annotators chose each: `votes.parse_votes`
    SPREAD = "spread"  # a standard deviation of numbers from 0 to 1


@dataclass(frozen=True)
class Column:
    """One column of a manifest.

    Attributes:
        name: in the header, and of the field of `Utterance`.
        kind: of its cells.
        help: what a cell means, for users.
        optional: whether it is written only if a row has a value, after the required ones.
    """

    name: str
    kind: Kind
    help: str
    optional: bool = False


_NAME = "a name"
_AXIS = "from 0 to 1"
_SPREAD = "standard deviation of the annotators' ratings (divisor: their number), from 0 to 1"
COLUMNS = (
    Column("id", Kind.ID, "unique in the whole data dir"),
    Column("audio", Kind.VALUE, "path, relative to --data-raw (default: that of corpus.yaml)"),
    Column(
        "n_samples",
        Kind.COUNT,
        "samples per channel at corpus.yaml's sample_rate, of the segment if the row is one",
    ),
    Column("text", Kind.TEXT, "what was said"),
    Column("speaker", Kind.VALUE, _NAME),
    Column("session", Kind.VALUE, _NAME),
    Column("dialogue", Kind.VALUE, _NAME),
    Column("turn", Kind.COUNT, "whole number, the place in the dialogue"),
    Column("emotion", Kind.LABEL, "one of corpus.yaml's labels"),
    Column("sentiment", Kind.LABEL, "one of corpus.yaml's labels"),
    Column("valence", Kind.UNIT, _AXIS),
    Column("arousal", Kind.UNIT, _AXIS),
    Column("dominance", Kind.UNIT, _AXIS),
    Column("sentiment_score", Kind.NUMBER, "from -3 to 3", optional=True),
    Column(
        "corpus",
        Kind.VALUE,
        "origin of the row, in a data dir of several corpora",
        optional=True,
    ),
    Column(
        "start",
        Kind.SECONDS,
        "seconds in audio and video, where a segment begins (empty: their beginning)",
        optional=True,
    ),
    Column(
        "end",
        Kind.SECONDS,
        "seconds in audio and video, where it ends (empty: their end)",
        optional=True,
    ),
    Column(
        "votes",
        Kind.VOTES,
        "annotators' votes for the emotion, such as `angry:2 sad:1`: names of corpus.yaml's "
        "labels, or `other`, and how many chose each",
        optional=True,
    ),
    Column(
        "n_annotators",
        Kind.COUNT,
        "how many annotators rated valence, arousal and dominance, whose means the row has",
        optional=True,
    ),
    Column("valence_sd", Kind.SPREAD, _SPREAD, optional=True),
    Column("arousal_sd", Kind.SPREAD, _SPREAD, optional=True),
    Column("dominance_sd", Kind.SPREAD, _SPREAD, optional=True),
    Column(
        "video",
        Kind.VALUE,
        "path of the video, or of a folder with a picture a frame, relative to --video-raw "
        "(default: that of corpus.yaml)",
        optional=True,
    ),
)


def names_of(*kinds: Kind) -> tuple[str, ...]:
    """Return the names of the columns of these kinds, in the order of the table."""
    return tuple(column.name for column in COLUMNS if column.kind in kinds)


KIND_OF = {column.name: column.kind for column in COLUMNS}
KNOWN_COLUMNS = tuple(KIND_OF)  # other columns are stored in Utterance.extra
REQUIRED_COLUMNS = tuple(column.name for column in COLUMNS if not column.optional)
OPTIONAL_COLUMNS = tuple(column.name for column in COLUMNS if column.optional)
AXES = names_of(Kind.UNIT)
LABEL_COLUMNS = names_of(Kind.LABEL)


def column_help() -> str:
    """Return a line for each column, the optional ones last."""
    width = max(map(len, KNOWN_COLUMNS)) + 2
    parts = []
    for optional in (False, True):
        lines = [f"  {x.name:<{width}}{x.help}" for x in COLUMNS if x.optional is optional]
        parts.append("\n".join(lines))
    return "\nand, where any row has them:\n".join(parts)
