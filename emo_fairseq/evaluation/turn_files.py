"""Turns with emotions from files: tables, and segmentations of annotation tools.

A table has the columns ``start`` and ``end`` in seconds, and maybe ``recording`` (or ``file``, or
``audio``, as in a manifest), ``speaker``, ``text``, ``emotion`` (or ``label``), and values such as
``valence``. What ``emotion-recognize analyze`` writes is one, with ``prediction_valence`` and so on
for values, and a probability of each label. A TextGrid or ELAN file has emotions in tiers of their
own, as ``analyze`` writes them; other segmentations have speakers and texts alone. A file that
names no recording is of the one that has its name.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.files.listing import visible
from data_prep.manifest.cells import parse_number
from data_prep.messages import first_few
from data_prep.segmentation.formats import FORMATS, read_segmentation
from data_prep.segmentation.table import TurnRows, open_rows, text_of
from data_prep.segmentation.turn import Turn, check_turns
from data_prep.tables.cells import is_missing, plain
from data_prep.tables.reader import TABLES
from data_prep.tables.table import Row
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import PREDICTION_OF, PROBABILITY
from emo_fairseq.evaluation.recordings import EmotionTurn, RecordingTurns
from emo_fairseq.evaluation.value_labels import VALUES, parse_values

_EMOTIONS = ("emotion", "label")  # columns
# In a folder, files of the first of these that it has are read.
_SUFFIXES = tuple(dict.fromkeys([*TABLES] + [known.suffix.lower() for known in FORMATS.values()]))


@dataclass(frozen=True)
class TurnFiles:
    """The turns of several recordings.

    Attributes:
        path: of the file or folder.
        turns: by name of the recording, in order of time; none of one in which nobody speaks.
        labels: that have a probability; empty where the files have none.
        axes: that a turn has a value of.
        notes: what was left out and how files were read, to be printed.
    """

    path: Path
    turns: Mapping[str, Sequence[EmotionTurn]]
    labels: Sequence[str] = ()
    axes: Sequence[str] = ()
    notes: Sequence[str] = field(default=())

    @property
    def folder(self) -> Path:
        """That the names of recordings are relative to."""
        return self.path if self.path.is_dir() else self.path.parent


def has_turns(path: Path) -> bool:
    """Return whether a path is a file of turns by its suffix, or a folder with such files."""
    return bool(_files_of(path)[0])


def read_turns(path: Path) -> TurnFiles:
    """Read a file of turns, or all such files of a folder.

    Raises:
        UsageError: there are none, or one is invalid; names the row.
    """
    files, notes = _files_of(path)
    if not files:
        problem = "there is no such file" if not path.exists() else "has no turns"
        raise UsageError(
            f"{path}: {problem}; give a table of turns with the columns recording, start, end, "
            f"speaker, text, emotion, or a folder of such files ({', '.join(_SUFFIXES)})",
            "turns-unreadable",
        )
    merged: dict[str, list[EmotionTurn]] = {}
    origin: dict[str, Path] = {}
    labels: dict[str, None] = {}
    skipped: Counter[str] = Counter()
    for file in files:
        of_file = _read_file(file)
        for name, turns in of_file.turns.items():
            if name in merged:
                raise UsageError(
                    f"{file}: has turns of {name}, as {origin[name]} has; leave one of them out",
                    "recording-twice",
                )
            merged[name], origin[name] = turns, file
        labels |= dict.fromkeys(of_file.labels)
        skipped.update(of_file.skipped)
        notes += [f"{file.name}: {note}" for note in of_file.notes]
    notes += [f"{path}: {kind} skipped: {count}" for kind, count in skipped.items() if count]
    known = {axis for turns in merged.values() for turn in turns for axis in turn.values}
    axes = [axis for axis in VALUES if axis in known]
    return TurnFiles(path, merged, list(labels), axes, notes)


def _files_of(path: Path) -> tuple[list[Path], list[str]]:
    """Return the files of turns that a path is or holds, and what is left aside."""
    if not path.is_dir():
        return ([path] if path.is_file() and path.suffix.lower() in _SUFFIXES else []), []
    listed = visible(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
    kinds = [file.suffix.lower() for file in listed]
    chosen = min(kinds, key=_SUFFIXES.index, default="")
    files = [file for file, kind in zip(listed, kinds, strict=True) if kind == chosen]
    others = Counter(kind for kind in kinds if kind != chosen)
    aside = ", ".join(f"{count} {kind}" for kind, count in others.items())
    return files, [f"{path}: {len(files)} {chosen} read, {aside} not"] if aside else []


@dataclass(frozen=True)
class _OfFile:
    turns: Mapping[str, list[EmotionTurn]]
    labels: Sequence[str] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()


def _read_file(path: Path) -> _OfFile:
    if path.suffix.lower() in TABLES:
        return _read_table(path)
    segmentation = read_segmentation(path)
    turns = [_labeled_turn(turn) for turn in segmentation.turns]
    skipped = {
        kind: n for kind, n in segmentation.skipped.items() if not kind.endswith("(emotion)'")
    }
    return _OfFile({path.stem: turns}, (), skipped)


def _labeled_turn(turn: Turn) -> EmotionTurn:
    values = parse_values(turn.label or "")
    return EmotionTurn(turn, None if values else turn.label, values)


# -- tables ----------------------------------------------------------------------------------------


def _read_table(path: Path) -> _OfFile:
    table = open_rows(path)
    column = table.recording_column()
    by_name: dict[str, list[Row]] = {} if table.rows or column is None else {path.stem: []}
    for row in table.rows:
        name = path.stem if column is None else plain(row.cells.get(column)).strip()
        if not name:
            raise UsageError(
                f"{path}: row {row.number}: names no recording; fill in the column {column}",
                "recording-missing",
            )
        by_name.setdefault(name, []).append(row)
    skipped: Counter[str] = Counter()
    turns = {name: _turns_of(table, rows, skipped) for name, rows in by_name.items()}
    return _OfFile(turns, _label_names(table), skipped, table.notes)


def _turns_of(table: TurnRows, rows: Sequence[Row], skipped: Counter[str]) -> list[EmotionTurn]:
    turns = [table.turn(row) for row in rows]
    row_of = {turn.where: row for turn, row in zip(turns, rows, strict=True)}
    ordered, cut = check_turns(table.path, turns) if turns else ([], {})
    skipped.update(cut)
    return [_emotion_turn(table, turn, row_of[turn.where]) for turn in ordered]


def _emotion_turn(table: TurnRows, turn: Turn, row: Row) -> EmotionTurn:
    emotions = (text_of(row, column) for column in _EMOTIONS)
    emotion = next((name for name in emotions if name is not None), None)
    return EmotionTurn(turn, emotion, dict(_values_of(table, row)))


def _values_of(table: TurnRows, row: Row) -> Iterator[tuple[str, float]]:
    nested = row.cells.get("values")
    objects = nested if isinstance(nested, Mapping) else {}
    for axis in VALUES:
        for cell in (row.cells.get(PREDICTION_OF + axis), row.cells.get(axis), objects.get(axis)):
            if is_missing(cell):
                continue
            try:
                yield axis, parse_number(plain(cell).strip().replace(table.decimal, "."))
            except ValueError:
                raise UsageError(
                    f"{table.path}: row {row.number}: {axis} is {plain(cell)[:40]!r}, no number; "
                    "correct it, or leave it empty",
                    "value-invalid",
                ) from None
            break


def _label_names(table: TurnRows) -> list[str]:
    """Return the labels of columns of probabilities; of JSON lines the keys of the objects."""
    names = [name for name in table.columns if name.startswith(PROBABILITY)]
    labels = dict.fromkeys(name.removeprefix(PROBABILITY) for name in names)
    for row in table.rows:
        if isinstance(of_row := row.cells.get("probabilities"), Mapping):
            labels |= dict.fromkeys(map(str, of_row))
    return list(labels)


# -- recordings of both sides ----------------------------------------------------------------------


@dataclass(frozen=True)
class Paired:
    """The recordings of two sides.

    Attributes:
        recordings: with the turns of both.
        without_hypothesis: names of those that only the reference has.
        without_reference: names of those that only the hypothesis has.
    """

    recordings: Sequence[RecordingTurns]
    without_hypothesis: Sequence[str]
    without_reference: Sequence[str]


def pair_recordings(reference: TurnFiles, hypothesis: TurnFiles) -> Paired:
    """Pair recordings of the same name, or else file name, or else file name without suffix.

    Raises:
        UsageError: a name means several recordings, or no recording is on both sides.
    """
    left = dict(hypothesis.turns)
    partner: dict[str, str] = {}
    keys: tuple[Callable[[str], str], ...] = (str, _file_name, _stem)
    for key in keys:
        wanted = _by_key([x for x in reference.turns if x not in partner], key)
        for name, others in _by_key(list(left), key).items():
            if name not in wanted:
                continue
            for path, several in ((reference.path, wanted[name]), (hypothesis.path, others)):
                if len(several) > 1:
                    raise UsageError(
                        f"{path}: {name} is the name of {first_few(several)}; give both sides the "
                        "same paths",
                        "recording-ambiguous",
                    )
            partner[wanted[name][0]] = others[0]
            del left[others[0]]
    if not partner:
        names = [first_few(list(side.turns)) or "none" for side in (reference, hypothesis)]
        raise UsageError(
            f"{hypothesis.path}: has turns of {names[1]}, and {reference.path} of {names[0]}, "
            "which have no name in common; rename them",
            "recordings-differ",
        )
    recordings = [
        RecordingTurns(name, turns, hypothesis.turns[partner[name]])
        for name, turns in reference.turns.items()
        if name in partner
    ]
    alone = [name for name in reference.turns if name not in partner]
    return Paired(recordings, alone, list(left))


def _file_name(name: str) -> str:
    return Path(name).name


def _stem(name: str) -> str:
    return Path(name).stem


def _by_key(names: Sequence[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name in names:
        grouped.setdefault(key(name), []).append(name)
    return grouped
