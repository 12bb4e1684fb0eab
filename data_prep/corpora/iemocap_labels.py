"""IEMOCAP's EmoEvaluation files: the label of each turn, and who voted for what.

    % [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

    [6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
    C-E2:	Neutral;	()
    C-F1:	Neutral;	(curious)
    A-E3:	val 3; act 2; dom  2;	()

E are outside evaluators, by whose majority the label goes; F and M are the actors themselves, who
judged later and are not counted. `C` lines name classes, several where an evaluator could not
choose; `A` lines rate the axes, and may be blank. What stands in ( ) is a remark, and is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.corpora.recordings import read_text_file
from data_prep.errors import Fault
from data_prep.manifest.records import AXES

# The three-letter labels; xxx: the evaluators did not agree.
LABELS = {
    "neu": "neutral",
    "sad": "sad",
    "ang": "angry",
    "hap": "happy",
    "exc": "excited",
    "fru": "frustrated",
    "fea": "fearful",
    "sur": "surprised",
    "dis": "disgusted",
    "oth": "other",
}
NO_AGREEMENT = "xxx"
# The words of the C lines, by their beginnings.
_WORDS = {
    "neutral": "neu",
    "sad": "sad",
    "ang": "ang",
    "hap": "hap",
    "exc": "exc",
    "fru": "fru",
    "fear": "fea",
    "sur": "sur",
    "dis": "dis",
    "other": "oth",
}
_AXIS_OF = {axis[0].upper(): axis for axis in AXES}  # V, A, D

_TURN = re.compile(
    r"\[\s*(?P<start>[\d.]+)\s*-\s*(?P<end>[\d.]+)\s*\]\s+(?P<id>\S+)\s+(?P<label>\w+)\s+"
    r"\[(?P<vad>[^\]]*)\]\s*"
)
TURN_ID = re.compile(r"(?P<dialogue>(?P<session>Ses\d\d)[FM]_\w+)_(?P<speaker>[FM])(?:XX)?\d+")
_HEADER_AXES = re.compile(r"\[\s*(\w)\s*,\s*(\w)\s*,\s*(\w)\s*\]\s*$")
_VOTE = re.compile(r"(?P<kind>[CA])-(?P<who>[EFM]\d*):\s*(?P<what>[^(]*?)\s*(?:\(.*)?")


@dataclass
class Turn:
    """One label line and the evaluators' lines below it; `vad` is on the corpus's own scale."""

    id: str
    start: float
    end: float
    label: str
    vad: Mapping[str, float]
    line: int
    votes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # evaluator -> labels
    unread: set[str] = field(default_factory=set)  # evaluators of whose class no word is known
    ratings: dict[str, str] = field(default_factory=dict)  # evaluator -> "val 3; act 2; dom 2"

    def part(self, name: str) -> str:
        """What the id says: its "dialogue", "session", or "speaker", F or M."""
        match = TURN_ID.fullmatch(self.id)
        assert match, self.id  # read_turns lets no other in
        return match[name]

    def agreement_is_unknown(self) -> bool:
        """Whether there is a label, and an outside evaluator whose class is not known."""
        return self.label != NO_AGREEMENT and any(map(_is_outside, self.unread))

    def agreement(self) -> float | None:
        """The share of outside evaluators who named the label.

        None where there is no label, and where what one of them named is blank or no known word:
        whether he agreed cannot be told.
        """
        votes = [vote for who, vote in self.votes.items() if _is_outside(who)]
        if not votes or self.label == NO_AGREEMENT or self.agreement_is_unknown():
            return None
        return sum(self.label in vote for vote in votes) / len(votes)


@dataclass
class Evaluations:
    """What one or more EmoEvaluation files hold: turns, and what could not be read."""

    turns: list[Turn] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    odd_lines: list[str] = field(default_factory=list)  # "file: row N" of lines of no known form


def read_turns(path: Path, found: Evaluations) -> None:
    """Add one file's turns to `found`. The brackets' axes go by the names in the header."""
    axes: tuple[str, ...] = AXES
    turn: Turn | None = None
    for row, line in enumerate(map(str.strip, read_text_file(path).splitlines()), start=1):
        try:
            if line.startswith("%"):
                axes = _axes_of(line) or axes
            elif line.startswith("["):
                turn = _parse_turn(line, path.stem, axes, row)
                found.turns.append(turn)
            elif line and not (turn and _add_vote(turn, line)):
                found.odd_lines.append(f"{path.name}: row {row}")
        except ValueError as error:
            found.faults.append(Fault(str(path), row, str(error), "compare with the release"))


def _axes_of(header: str) -> tuple[str, ...]:
    match = _HEADER_AXES.search(header)
    letters = [letter.upper() for letter in match.groups()] if match else []
    if match and sorted(letters) != sorted(_AXIS_OF):
        raise ValueError(f"the header's bracket is {', '.join(letters)}, not V, A and D")
    return tuple(_AXIS_OF[letter] for letter in letters)


def _parse_turn(line: str, dialogue: str, axes: tuple[str, ...], row: int) -> Turn:
    match = _TURN.fullmatch(line)
    if not match:
        raise ValueError("no label line: [start - end], turn, emotion, [V, A, D]")
    if match["label"] not in {*LABELS, NO_AGREEMENT}:
        raise ValueError(f"emotion is {match['label']!r}, none of {', '.join(LABELS)}, xxx")
    name = TURN_ID.fullmatch(match["id"])
    if not name or name["dialogue"] != dialogue:
        raise ValueError(f"turn {match['id']!r} is none of the dialogue {dialogue}")
    values = [float(value.strip() or "nan") for value in match["vad"].split(",")]
    if len(values) != len(axes):
        raise ValueError(f"[{match['vad']}] are not {len(axes)} numbers")
    return Turn(
        id=match["id"],
        start=float(match["start"]),
        end=float(match["end"]),
        label=match["label"],
        vad=dict(zip(axes, values, strict=True)),
        line=row,
    )


def _add_vote(turn: Turn, line: str) -> bool:
    match = _VOTE.fullmatch(line)
    if not match:
        return False
    if match["kind"] == "A":
        turn.ratings[match["who"]] = " ".join(match["what"].split()).rstrip(";")
        return True
    labels = tuple(_labels(match["what"]))
    if not labels or None in labels:
        turn.unread.add(match["who"])
        return not labels and not _is_outside(match["who"])  # an actor may have judged nothing
    turn.votes[match["who"]] = tuple(label for label in labels if label)
    return True


def _is_outside(who: str) -> bool:
    return who.startswith("E")


def _labels(words: str) -> Iterator[str | None]:
    for word in filter(None, (part.strip().lower() for part in words.split(";"))):
        yield next((label for start, label in _WORDS.items() if word.startswith(start)), None)
