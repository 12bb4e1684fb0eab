"""MSP-Improv's label file: each clip's consensus, and below it who voted for what.

    UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.000000; V:3.400000; D:3.200000 ; N:4.200000;
    WORKER01; Neutral; Neutral,Other(bored); A:3.000000; V:3.000000; D:3.000000; N:4.000000;

First the class, then ratings by the letter before the colon: activation, valence, dominance,
naturalness, 1-5, NaN where nobody rated. The workers' second field is their class; what else they
ticked or typed is not used. Some workers' lines stand there twice and are counted once.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.corpora.recordings import read_text_file
from data_prep.errors import Fault

LABEL_FILES = ("Evalution.txt", "Evaluation.txt")  # the release's spelling first
LABELS = {
    "N": "neutral",
    "S": "sad",
    "A": "angry",
    "H": "happy",
    "O": "other",
    "X": "no_agreement",
}
_VOTES = {"neutral": "N", "sad": "S", "angry": "A", "happy": "H", "other": "O"}
_RATING = re.compile(r"([AVDN])\s*:\s*(\S+)")
_AXES = {"A": "arousal", "V": "valence", "D": "dominance", "N": "naturalness"}
NAME = re.compile(
    r"(?:UTD|MSP)-IMPROV-(?P<scene>S(?P<sentence>\d\d)(?P<target>[AHNS]))"
    r"-(?P<speaker>(?P<sex>[FM])(?P<session>\d\d))-(?P<scenario>[PRST])-(?P<pair>[FM]{2})(?P<turn>\d+)"
)


@dataclass
class Clip:
    """One clip as the label file has it; `ratings` are on the corpus's own scale."""

    name: str  # MSP-IMPROV-..., as its recording is called
    label: str
    ratings: dict[str, float]
    line: int
    votes: dict[str, str] = field(default_factory=dict)  # worker -> letter
    unread: list[int] = field(default_factory=list)  # rows below it that cannot be read

    def part(self, name: str) -> str:
        """A part of the name: scene, sentence, target, speaker, sex, session, scenario..."""
        match = NAME.fullmatch(self.name)
        assert match, self.name  # read_clips lets no other in
        return match[name]

    def agreement_is_unknown(self) -> bool:
        """Whether there is a label, and a worker of whom nobody knows if he chose it."""
        return self.label != "X" and bool(self.unread)

    def agreement(self) -> float | None:
        """The share of workers who chose the label.

        None without a label, and where a worker's line cannot be read: whether that one agreed
        cannot be told.
        """
        if not self.votes or self.label == "X" or self.agreement_is_unknown():
            return None
        return Counter(self.votes.values())[self.label] / len(self.votes)


@dataclass
class Evaluations:
    """What the label file holds."""

    clips: list[Clip] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    odd_lines: list[int] = field(default_factory=list)  # workers' lines that cannot be read


def read_clips(path: Path) -> Evaluations:
    """Read the label file. A consensus line that cannot be read is a fault."""
    found = Evaluations()
    clip: Clip | None = None
    for row, line in enumerate(read_text_file(path).splitlines(), start=1):
        fields = [part.strip() for part in line.split(";")]
        if fields[0].lower().endswith(".avi"):
            try:
                clip = _parse_clip(fields, row)
            except ValueError as error:
                clip = None
                found.faults.append(Fault(str(path), row, str(error), "compare with the release"))
                continue
            found.clips.append(clip)
        elif line.strip():
            vote = _VOTES.get(fields[1].lower()) if len(fields) > 2 else None
            if clip and vote:
                clip.votes.setdefault(fields[0], vote)
            else:
                found.odd_lines.append(row)
                if clip:
                    clip.unread.append(row)
    return found


def _parse_clip(fields: list[str], row: int) -> Clip:
    name = fields[0][: -len(".avi")]
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no clip's name such as UTD-IMPROV-S01A-F01-P-FM01")
    label = fields[1] if len(fields) > 1 else ""
    if label not in LABELS:
        raise ValueError(f"the class is {label!r}, none of {', '.join(LABELS)}")
    ratings = {}
    for letter, value in filter(None, map(_rating, fields[2:])):
        ratings[letter] = float(value)
    if missing := [letter for letter in "AVD" if letter not in ratings]:
        raise ValueError(f"no rating {missing[0]}:")
    known = {_AXES[letter]: x for letter, x in ratings.items() if not math.isnan(x)}
    return Clip(f"MSP{name[3:]}", label, known, row)


def _rating(field_: str) -> tuple[str, str] | None:
    match = _RATING.fullmatch(field_)
    return (match[1], match[2]) if match else None
