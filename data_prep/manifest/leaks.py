"""Find leaks between splits, and duplicates within them.

An error invalidates scores on the test split: the same audio in two splits, or a speaker or
dialogue in two splits that `disjoint` of corpus.yaml keeps apart. Without `disjoint`, a dialogue in
two splits is an error and a speaker a note, since official splits (MELD's) share actors by design;
if it only has speakers, a dialogue of two speakers may be in two splits. A note is for information:
the same audio twice within a split, or the same words in two ("Yeah.").

Audio is the same if the bytes of the files and the segments are: the same speech in another format
is not detected. Overlapping segments of one recording share audio: an error in two splits, a note
in one. `same_size` selects the files that may be identical, so that only those have to be read.
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
_NAMED = 3  # examples in a message

Splits = Mapping[str, Sequence[Utterance]]


@dataclass(frozen=True)
class Leak:
    """A kind of leak: `level` is ERROR or NOTE, `count` the number of values or groups of rows."""

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
    """Find all leaks, errors first.

    Args:
        corpus: its `disjoint` lists the columns whose values no two splits may share.
        splits: the rows of every split.
        sounds: audio path -> digest of the file's content; without one, a file is identified by
            its path, so that only the same path under two ids is found.
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
    """Find the same audio, or overlapping segments, under two ids, and the same text with it.

    Args:
        splits: the rows of every split.
        sounds: see `find_leaks`.
    """
    digests = sounds or {}

    def sound(row: Utterance) -> str | None:
        return None if row.audio is None else _recording(row.audio, digests) + row.segment_key

    def words_and_sound(row: Utterance) -> tuple[str, str] | None:
        audio = sound(row)
        return None if row.text is None or audio is None else (row.text, audio)

    return [
        *_twins(splits, sound, "sounds"),
        *_twins(splits, words_and_sound, "texts with the same sound"),
        *_overlaps(splits, digests),
    ]


def _recording(audio: str, digests: Mapping[str, str]) -> str:
    """Return the digest of a file, or without one its normalized path (a.wav for ./a.wav)."""
    return digests.get(audio) or PurePosixPath(audio).as_posix()


def _level(key: str, corpus: Corpus, default: str) -> str:
    if not corpus.disjoint:
        return default
    return ERROR if key in corpus.disjoint else NOTE


def _shared(splits: Splits, key: str, level: str) -> Iterator[Leak]:
    shared = shared_values(splits, key)
    if shared:
        examples = (f"{value!r} in {' and '.join(where)}" for value, where in shared.items())
        yield _leak(level, len(shared), f"{key}s in more than one split", examples)


def _twins(splits: Splits, content: Callable[[Utterance], Hashable], name: str) -> Iterator[Leak]:
    """Yield rows of the same content: an error across splits, a note within one."""
    groups: dict[Hashable, list[tuple[str, str]]] = {}
    for split, rows in splits.items():
        for row in rows:
            if (key := content(row)) is not None:
                groups.setdefault(key, []).append((split, row.id))
    twins = [group for group in groups.values() if len(group) > 1]
    across = [group for group in twins if len({split for split, _ in group}) > 1]
    within = [group for group in twins if len({split for split, _ in group}) == 1]
    for level, same, where in (
        (ERROR, across, "in more than one split"),
        (NOTE, within, "twice in one split"),
    ):
        if same:
            examples = (" = ".join(f"{split}/{row}" for split, row in group) for group in same)
            yield _leak(level, len(same), f"{name} {where}", examples)


def _overlaps(splits: Splits, digests: Mapping[str, str]) -> Iterator[Leak]:
    """Yield overlapping segments of one recording: across splits, and within one."""
    recordings: dict[str, list[tuple[str, Utterance]]] = {}
    for split, rows in splits.items():
        for row in rows:
            if row.audio is not None:
                recording = _recording(row.audio, digests)
                recordings.setdefault(recording, []).append((split, row))
    pairs = [pair for rows in recordings.values() for pair in overlapping(rows)]
    across = [pair for pair in pairs if pair[0][0] != pair[1][0]]
    within = [pair for pair in pairs if pair[0][0] == pair[1][0]]
    for level, overlaps, where in (
        (ERROR, across, "across splits"),
        (NOTE, within, "within a split"),
    ):
        if overlaps:
            examples = (
                " and ".join(f"{split}/{row.id}" for split, row in pair) + f" of {pair[0][1].audio}"
                for pair in overlaps
            )
            yield _leak(level, len(overlaps), f"pairs of segments that overlap {where}", examples)


def _leak(level: str, count: int, kind: str, examples: Iterable[str]) -> Leak:
    first = tuple(example for example, _ in zip(examples, range(_NAMED), strict=False))
    return Leak(level, count, kind, first, count - len(first))


def same_size(sizes: Mapping[Path, int]) -> list[Path]:
    """Return the files with the same size as another, in order."""
    files: dict[int, list[Path]] = {}
    for file, size in sizes.items():
        files.setdefault(size, []).append(file)
    twins = {file for group in files.values() if len(group) > 1 for file in group}
    return [file for file in sizes if file in twins]


# -- Overlapping segments --------------------------------------------------------------------------

SLACK = 0.001  # seconds by which adjacent segments with rounded times may overlap

Row = tuple[str, Utterance]  # a split, and one of its rows


def overlapping(rows: Iterable[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield pairs of rows of one recording whose segments differ and overlap.

    Rows of the same segment are duplicates, which are not reported here: only the first in a split
    is paired with others. A whole file overlaps each of its segments.
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
