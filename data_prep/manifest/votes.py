"""Votes of annotators for the emotion of a row, in one cell of a manifest: `angry:2 sad:1`.

Pairs of label and number of votes, a colon inside a pair and one space between two. A label may
hold spaces, but no colon. A number may be a fraction: an annotator who chose two labels gives half
a vote to each. `OTHER` is every label that is no class of the data dir.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

from data_prep.errors import CodedError
from data_prep.manifest.cells import MAX_VALUE, find_label_fault, parse_number, shown

OTHER = "other"  # votes for what is no class, such as "other" in a list of choices
VOTES_FORM = "LABEL:NUMBER pairs with a space between, such as angry:2 sad:1"

_PAIR = re.compile(r"(?P<label>[^:\s](?:[^:]*[^:\s])?):(?P<number>\d+(?:\.\d+)?)(?: |$)")
_CLOSE = 1e-6  # numbers of votes that differ by less are a tie: thirds are written with 6 digits


@lru_cache(maxsize=65536)
def parse_votes(text: str) -> Mapping[str, float]:
    """Return the votes of a cell: label -> number of votes, above 0, at least one label.

    >>> dict(parse_votes("very sad:2 angry:0.5"))
    {'very sad': 2.0, 'angry': 0.5}

    Raises:
        ValueError: the text is of another form, a label is there twice, or a number is not
            positive.
    """
    if len(text) > MAX_VALUE:
        raise ValueError(f"{shown(text)}: has over {MAX_VALUE} characters")
    votes: dict[str, float] = {}
    position = 0
    while position < len(text):
        pair = _PAIR.match(text, position)
        if not pair:
            raise ValueError(f"{shown(text)}: write {VOTES_FORM}")
        number = parse_number(pair["number"])
        if find_label_fault("emotion", pair["label"]):
            raise ValueError(f"{shown(text)}: a label holds a character that no label may hold")
        if pair["label"] in votes or not 0.0 < number < math.inf:
            raise ValueError(f"{shown(text)}: write each label once, with a number above 0")
        votes[pair["label"]] = number
        position = pair.end()
    if not votes or text.endswith(" "):
        raise ValueError(f"{shown(text)}: write {VOTES_FORM}")
    return MappingProxyType(votes)


def format_votes(votes: Mapping[str, float]) -> str | None:
    """Return the cell of votes, the label with most votes first; None without any.

    >>> format_votes({"sad": 1, "angry": 2, "happy": 0})
    'angry:2 sad:1'

    Raises:
        CodedError: a label that a cell cannot hold.
    """
    given = sorted(
        ((label, number) for label, number in votes.items() if number), key=lambda pair: -pair[1]
    )
    if not given:
        return None
    text = " ".join(f"{label}:{number:.6g}" for label, number in given)
    for label, _ in given:
        if ":" in label or label != label.strip():
            problem = f"the label {shown(label)} holds a colon, or a space at an end"
            raise CodedError(f"{problem}, and cannot be written as votes; rename it", "votes-label")
    return text


def majority(votes: Mapping[str, float]) -> str | None:
    """Return the label with most votes; None of a tie, which is no agreement.

    >>> majority({"angry": 2.0, "sad": 1.0}), majority({"angry": 1.0, "sad": 1.0})
    ('angry', None)
    """
    most = max(votes.values())
    first = [label for label, number in votes.items() if number > most - _CLOSE]
    return first[0] if len(first) == 1 else None


def rename_votes(votes: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """Return the votes under other labels; votes for labels that become one are added up.

    >>> votes = {"happy": 1.0, "excited": 2.0, "bored": 1.0}
    >>> rename_votes(votes, {"excited": "happy", "bored": ""})
    {'happy': 3.0, 'other': 1.0}

    Args:
        votes: label -> number of votes.
        names: label -> label, or "" for one that is no class; others keep their name.
    """
    renamed: dict[str, float] = {}
    for label, number in votes.items():
        name = names.get(label, label) or OTHER
        renamed[name] = renamed.get(name, 0.0) + number
    return renamed


def count_choices(choices: Iterable[Iterable[str]]) -> dict[str, float]:
    """Return the votes of annotators, of whom one who chose n labels gives 1 / n to each.

    >>> count_choices([["angry"], ["angry", "sad"]])
    {'angry': 1.5, 'sad': 0.5}
    """
    votes: dict[str, float] = {}
    for chosen in choices:
        labels = list(dict.fromkeys(chosen))
        for label in labels:
            votes[label] = votes.get(label, 0.0) + 1.0 / len(labels)
    return votes
