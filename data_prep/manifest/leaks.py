"""What two splits share that they should not, and what is there twice: pure functions.

An error is what makes a score on the test split worth nothing: the same sound in two splits, or a
speaker or dialogue in two that corpus.yaml's `disjoint` keeps apart. Where `disjoint` is silent, a
dialogue in two splits is an error and a speaker a note, since official splits (MELD's) share actors
by design; where it names speakers alone, a dialogue of two speakers lies in two splits by design. A
note is to be known: the same sound twice within one split, or the same words in two ("Yeah.").

Sounds are the same if their files are, byte for byte, and the segments in them: the same speech in
another format is not found. Segments of one recording that overlap share sound: an error in two
splits, a note in one. `same_size` names the files that can be twins at all, so that only those need
be read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data_prep.manifest.corpus_card import shared_values
from data_prep.manifest.records import (
    Corpus,
    Utterance,
)

ERROR, NOTE = "error", "note"
_NAMED = 3  # examples that a leak names

Splits = Mapping[str, Sequence[Utterance]]


@dataclass(frozen=True)
class Leak:
    """One kind of leak: `level` is ERROR or NOTE, `count` how many values or groups of rows."""

    level: str
    count: int
    what: str
    examples: tuple[str, ...]
    further: int = 0  # beyond the examples

    def __str__(self) -> str:
        more = f"; and {self.further} more" if self.further else ""
        return f"{self.level}: {self.count} {self.what}: {'; '.join(self.examples)}{more}"


def find_leaks(
    corpus: Corpus, splits: Splits, sounds: Mapping[str, str] | None = None
) -> list[Leak]:
    """All leaks, errors first.

    Args:
        corpus: its `disjoint` says what no two splits may share.
        splits: the rows of every split.
        sounds: audio path -> a digest of the file's content; a path that is not in it stands for
            itself, so that without digests only one file under two ids is found.
    """
    leaks = [
        *_shared(splits, "id", ERROR),
        *_shared(splits, "speaker", _level("speaker", corpus, NOTE)),
        *_shared(splits, "dialogue", _level("dialogue", corpus, ERROR)),
        *find_twins(splits, sounds),
        *_shared(splits, "text", NOTE),
    ]
    return sorted(leaks, key=lambda leak: leak.level != ERROR)


def find_twins(splits: Splits, sounds: Mapping[str, str] | None = None) -> list[Leak]:
    """The same sound, or a part of it, under two ids, and the same text with the same sound.

    `sounds` as of `find_leaks`.
    """
    digests = sounds or {}

    def sound(row: Utterance) -> str | None:
        return None if row.audio is None else _recording(row.audio, digests) + row.segment_key

    def words_and_sound(row: Utterance) -> tuple[str, str] | None:
        heard = sound(row)
        return None if row.text is None or heard is None else (row.text, heard)

    return [
        *_twins(splits, sound, "sounds"),
        *_twins(splits, words_and_sound, "texts with the same sound"),
        *_overlaps(splits, digests),
    ]


def _recording(audio: str, digests: Mapping[str, str]) -> str:
    """The content of a file, or, of one that is not like another, its path: ./a.wav is a.wav."""
    return digests.get(audio) or PurePosixPath(audio).as_posix()


def _level(key: str, corpus: Corpus, unsaid: str) -> str:
    if not corpus.disjoint:
        return unsaid
    return ERROR if key in corpus.disjoint else NOTE


def _shared(splits: Splits, key: str, level: str) -> Iterator[Leak]:
    found = shared_values(splits, key)
    if found:
        examples = (f"{value!r} in {' and '.join(where)}" for value, where in found.items())
        yield _leak(level, len(found), f"{key}s in more than one split", examples)


def _twins(splits: Splits, content: Callable[[Utterance], Hashable], name: str) -> Iterator[Leak]:
    """Rows of like content: a leak for those across splits, a note for those within one."""
    groups: dict[Hashable, list[tuple[str, str]]] = {}
    for split, rows in splits.items():
        for row in rows:
            if (key := content(row)) is not None:
                groups.setdefault(key, []).append((split, row.id))
    twins = [group for group in groups.values() if len(group) > 1]
    across = [group for group in twins if len({split for split, _ in group}) > 1]
    within = [group for group in twins if len({split for split, _ in group}) == 1]
    for level, found, where in (
        (ERROR, across, "in more than one split"),
        (NOTE, within, "twice in one split"),
    ):
        if found:
            examples = (" = ".join(f"{split}/{row}" for split, row in group) for group in found)
            yield _leak(level, len(found), f"{name} {where}", examples)


def _overlaps(splits: Splits, digests: Mapping[str, str]) -> Iterator[Leak]:
    """Pairs of different segments of one recording that overlap: across splits, and within one."""
    recordings: dict[str, list[tuple[str, Utterance]]] = {}
    for split, rows in splits.items():
        for row in rows:
            if row.audio is not None:
                recording = _recording(row.audio, digests)
                recordings.setdefault(recording, []).append((split, row))
    pairs = [pair for rows in recordings.values() for pair in overlapping(rows)]
    across = [pair for pair in pairs if pair[0][0] != pair[1][0]]
    within = [pair for pair in pairs if pair[0][0] == pair[1][0]]
    for level, found, where in (
        (ERROR, across, "across splits"),
        (NOTE, within, "within a split"),
    ):
        if found:
            examples = (
                " and ".join(f"{split}/{row.id}" for split, row in pair) + f" of {pair[0][1].audio}"
                for pair in found
            )
            yield _leak(level, len(found), f"pairs of segments that overlap {where}", examples)


def _leak(level: str, count: int, what: str, examples: Iterable[str]) -> Leak:
    first = tuple(example for example, _ in zip(examples, range(_NAMED), strict=False))
    return Leak(level, count, what, first, count - len(first))


def same_size(sizes: Mapping[Path, int]) -> list[Path]:
    """The files that have as many bytes as another, in their order."""
    files: dict[int, list[Path]] = {}
    for file, size in sizes.items():
        files.setdefault(size, []).append(file)
    twins = {file for group in files.values() if len(group) > 1 for file in group}
    return [file for file in sizes if file in twins]


# -- Which segments of one recording overlap: a pure function --------------------------------------

SLACK = 0.001  # seconds by which rounded times of neighbors may overlap

Row = tuple[str, Utterance]  # a split, and one of its rows


def overlapping(rows: Iterable[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield pairs of rows of one recording whose segments differ and overlap.

    Rows of the same segment are copies, which are not reported here: of those in one split only the
    first is paired with others. A whole file overlaps each of its segments.
    """
    segments: dict[tuple[float, float, str], Row] = {}
    for split, utterance in rows:
        end = math.inf if utterance.end is None else utterance.end
        segments.setdefault((utterance.start or 0.0, end, split), (split, utterance))
    still_open: list[tuple[float, float, Row]] = []
    for (start, end, _), row in sorted(segments.items(), key=lambda item: item[0]):
        still_open = [other for other in still_open if other[1] > start + SLACK]
        for other_start, other_end, other in still_open:
            if (other_start, other_end) != (start, end):
                yield other, row
        still_open.append((start, end, row))
