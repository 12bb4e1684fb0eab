"""Find leaks between splits, and duplicates within them.

An error invalidates scores on the test split: the same recording in two splits, or a speaker or
dialogue in two splits that `disjoint` of corpus.yaml keeps apart. Without `disjoint`, a dialogue in
two splits is an error and a speaker a note, since official splits (MELD's) share actors by design;
if it only has speakers, a dialogue of two speakers may be in two splits. A note is for information:
the same recording twice within a split, speakers of two splits whose names look alike, or the same
words in two ("Yeah.").

Audio is the same if the bytes of the files and the segments are: the same speech in another format
is not detected; videos of rows without audio are the same if their paths are. Overlapping segments
of one recording share what is in both: an error in two splits, a note in one. Only files of equal
size may be identical: `sound_digests` reads those alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from data_prep.files.digests import file_digests
from data_prep.manifest.cells import fold_name
from data_prep.manifest.corpus_card import shared_values
from data_prep.manifest.records import Corpus, Utterance
from data_prep.manifest.table import (
    BoolArray,
    FloatArray,
    IntArray,
    ManifestTable,
    codes,
    group_numbers,
    has,
    numbers,
    value_numbers,
)

ERROR, NOTE = "error", "note"
DIGESTS_FILE = ".digests.json"  # in the data dir: digests of the audio files
_NAMED = 3  # examples in a message
_NAMED_ROWS = 8  # rows of one example

Splits = Mapping[str, Sequence[Utterance]]


@dataclass(frozen=True)
class Leak:
    """A kind of leak: `level` is ERROR or NOTE, `count` the number of values or groups of rows."""

    level: str
    count: int
    what: str
    examples: tuple[str, ...]
    further: int = 0  # beyond the examples

    @property
    def sentence(self) -> str:
        """The leak without its level."""
        more = f"; and {self.further} more" if self.further else ""
        return f"{self.count} {self.what}: {'; '.join(self.examples)}{more}"

    def __str__(self) -> str:
        return f"{self.level}: {self.sentence}"


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
        *_speakers_alike(splits),
        *find_twins(splits, sounds),
        *_shared(splits, "text", NOTE),
    ]
    return sorted(leaks, key=lambda leak: leak.level != ERROR)


def find_twins(splits: Splits, sounds: Mapping[str, str] | None = None) -> list[Leak]:
    """Find the same recording, or overlapping segments, of two ids, and the same text with it."""
    rows = _Rows.of(splits, sounds or {})
    segment = group_numbers(rows.recording, rows.start, rows.end)
    segment[rows.recording < 0] = -1
    sound = np.where(rows.is_video, -1, segment)
    video = np.where(rows.is_video, segment, -1)
    return [
        *_twins(rows, sound, "sounds"),
        *_twins(rows, video, "videos"),
        *_twins(rows, _texts_with_sound(rows, sound), "texts with the same sound"),
        *_overlaps(rows),
    ]


class _Rows(NamedTuple):
    """The N rows of all splits.

    Attributes:
        table: the rows, split after split.
        splits: names of the splits.
        split: (N,), the number of the split of each row.
        recording: (N,), equal for audio of the same content, or of rows without audio for the same
            path of a video; dense, and -1 = neither.
        is_video: (N,) bool, whether it is that of a video.
        start: (N,) seconds in the recording.
        end: (N,) seconds in the recording, infinite for its end.
    """

    table: ManifestTable
    splits: Sequence[str]
    split: IntArray
    recording: IntArray
    is_video: BoolArray
    start: FloatArray
    end: FloatArray

    @classmethod
    def of(cls, splits: Splits, digests: Mapping[str, str]) -> _Rows:
        table = ManifestTable.joined(list(splits.values()))
        sizes = [len(rows) for rows in splits.values()]
        audio = _recordings(table, "audio", digests)
        video = _recordings(table, "video", {})
        is_video = (audio < 0) & (video >= 0)
        recording = np.where(is_video, video + audio.max(initial=0) + 1, audio)
        is_there = recording >= 0
        recording[is_there] = np.unique(recording[is_there], return_inverse=True)[1]
        return cls(
            table,
            list(splits),
            np.repeat(np.arange(len(sizes)), sizes),
            recording,
            is_video,
            np.nan_to_num(numbers(table, "start"), nan=0.0),
            np.nan_to_num(numbers(table, "end"), nan=np.inf, posinf=np.inf),
        )

    def name(self, row: int) -> str:
        return f"{self.splits[int(self.split[row])]}/{self.table[row].id}"


def _texts_with_sound(rows: _Rows, sound: IntArray) -> IntArray:
    """Return numbers (N,) that are equal for the same text with the same sound; -1 without both."""
    is_twin = (sound >= 0) & (np.bincount(sound[sound >= 0], minlength=1)[sound] > 1)
    chosen = np.flatnonzero(is_twin & has(rows.table, "text"))
    groups = np.full(len(sound), -1, dtype=np.int64)
    texts = value_numbers(rows.table.take(chosen), "text")
    groups[chosen] = group_numbers(texts, sound[chosen])
    return groups


def _recordings(table: ManifestTable, column: str, digests: Mapping[str, str]) -> IntArray:
    """Return numbers (N,) that are equal for the same recording; -1 = none."""
    code_of_row, paths = codes(table, column)
    number_of: dict[str, int] = {}
    of_code = [number_of.setdefault(_recording(path, digests), len(number_of)) for path in paths]
    return np.array([*of_code, -1], dtype=np.int64)[code_of_row]


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


def _speakers_alike(splits: Splits) -> Iterator[Leak]:
    """Yield names that look alike, such as ann and Ann, or 12 and 12.0, in two splits."""
    alike: dict[str, dict[str, str]] = {}  # folded name -> name -> the first split that has it
    for split, rows in splits.items():
        for name in codes(rows, "speaker")[1]:
            alike.setdefault(fold_name(name), {}).setdefault(name, split)
    pairs = [ids for ids in alike.values() if len(set(ids.values())) > 1]
    if pairs:
        examples = (" and ".join(f"{n!r} in {s}" for n, s in ids.items()) for ids in pairs)
        yield _leak(NOTE, len(pairs), "speakers in more than one split look alike", examples)


def _twins(rows: _Rows, group: IntArray, name: str) -> Iterator[Leak]:
    """Yield rows of the same group, -1 = none: an error across splits, a note within one."""
    order = np.argsort(group, kind="stable")
    order = order[group[order] >= 0]
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    twins = sorted((part for part in parts if len(part) > 1), key=lambda part: int(part[0]))
    across = [part for part in twins if rows.split[part[0]] != rows.split[part[-1]]]
    within = [part for part in twins if rows.split[part[0]] == rows.split[part[-1]]]
    for level, same, where in (
        (ERROR, across, "in more than one split"),
        (NOTE, within, "twice in one split"),
    ):
        if same:
            examples = (_equal(rows, part) for part in same)
            yield _leak(level, len(same), f"{name} {where}", examples)


def _equal(rows: _Rows, group: IntArray) -> str:
    """Return the names of rows of a group: of all, or the first and one of each other split."""
    named = group
    if len(group) > _NAMED_ROWS:
        firsts = np.unique(rows.split[group], return_index=True)[1]
        named = group[np.union1d(np.arange(_NAMED_ROWS - len(firsts)), firsts)]
    more = f" = {len(group) - len(named)} more" if len(named) < len(group) else ""
    return " = ".join(map(rows.name, named.tolist())) + more


def _overlaps(rows: _Rows) -> Iterator[Leak]:
    """Yield overlapping segments of one recording: across splits, and within one."""
    recordings: dict[int, list[Row]] = {}
    for row in _of_divided_recordings(rows).tolist():
        match = (rows.splits[int(rows.split[row])], rows.table[row])
        recordings.setdefault(int(rows.recording[row]), []).append(match)
    pairs = [pair for parts in recordings.values() for pair in overlapping(parts)]
    across = [pair for pair in pairs if pair[0][0] != pair[1][0]]
    within = [pair for pair in pairs if pair[0][0] == pair[1][0]]
    for level, overlaps, where in (
        (ERROR, across, "across splits"),
        (NOTE, within, "within a split"),
    ):
        if overlaps:
            examples = (
                " and ".join(f"{split}/{row.id}" for split, row in pair)
                + f" of {pair[0][1].audio or pair[0][1].video}"
                for pair in overlaps
            )
            yield _leak(level, len(overlaps), f"pairs of segments that overlap {where}", examples)


def _of_divided_recordings(rows: _Rows) -> IntArray:
    """Return the numbers of the rows whose recording has more than one segment."""
    recorded = np.flatnonzero(rows.recording >= 0)
    recording = rows.recording[recorded]
    first = np.unique(recording, return_index=True)[1][recording]  # recordings have dense numbers
    differs = (rows.start[recorded] != rows.start[recorded][first]) | (
        rows.end[recorded] != rows.end[recorded][first]
    )
    return recorded[np.isin(recording, recording[differs])]


def _leak(level: str, count: int, kind: str, examples: Iterable[str]) -> Leak:
    first = tuple(example for example, _ in zip(examples, range(_NAMED), strict=False))
    return Leak(level, count, kind, first, count - len(first))


def sound_digests(splits: Splits, raw: Path, memory: Path) -> tuple[dict[str, str], list[str]]:
    """Return digests of audio files of equal size, and the paths of missing files."""
    audio = dict.fromkeys(path for rows in splits.values() for path in codes(rows, "audio")[1])
    sizes: dict[Path, int] = {}
    absent = []
    for path in audio:
        try:
            sizes[raw / path] = (raw / path).stat().st_size
        except OSError:
            absent.append(path)
    twins = same_size(sizes)
    digests = dict(zip(twins, file_digests(twins, memory), strict=True))
    digest_of = {path: digests.get(raw / path) for path in audio}
    return {path: digest for path, digest in digest_of.items() if digest is not None}, absent


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
