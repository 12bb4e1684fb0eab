"""One table of what was predicted from text or speech, and of the upper bound beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.manifest.provenance import read_beside
from data_prep.schema import Utterance
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.vad_to_emotion.answers import emotions_of, read_rows
from emo_fairseq.vad_to_emotion.commands import fit_gold, of_emotions, other_regressor, upper_bound
from emo_fairseq.vad_to_emotion.figures import vad_estimates
from emo_fairseq.vad_to_emotion.forest import Forest
from emo_fairseq.vad_to_emotion.leaks import forest_record, guard_of, leak_notes
from emo_fairseq.vad_to_emotion.regressor import refuse_unknown
from emo_fairseq.vad_to_emotion.rows import VadRows
from emo_fairseq.vad_to_emotion.scored import (
    Units,
    missing_rows,
    other_corpus,
    read_scored,
    shared_labels,
    source_of,
    title,
    units_by,
)
from emo_fairseq.vad_to_emotion.sources import gold_rows
from emo_fairseq.vad_to_emotion.table import (
    PREDICTED,
    THEN_FOREST,
    ZERO_SHOT,
    SystemRow,
    SystemTable,
)

Scale = tuple[float, float]
Notes = list[str]


class Sources(NamedTuple):
    """What a table is made from.

    Attributes:
        regressor: predictions file of the trained regressor.
        zero_shot: predictions file of ``zero-shot``; None without.
        forest: fitted on the regressor's predictions; None for VAD alone.
        zero_shot_forest: for the zero-shot row, if it is another one.
    """

    regressor: Path
    zero_shot: Path | None = None
    forest: Forest | None = None
    zero_shot_forest: Forest | None = None


def compare(
    sources: Sources, data: Path, by: str, scale: Scale = (0.0, 1.0), allows: bool = False
) -> SystemTable:
    """All systems on the rows that all of them have; without a forest VAD alone.

    Args:
        sources: see there.
        data: the data dir.
        by: what intervals are over, ``utterance`` or ``speaker``.
        scale: on which errors of VAD are told.
        allows: ``--allow-leak``.

    Raises:
        UsageError: a model or a forest that has seen rows which are compared; files of different
            splits, of the wrong place in the table, or without a record of what made them.
    """
    given = {PREDICTED: sources.regressor, ZERO_SHOT: sources.zero_shot}
    files = {name: file for name, file in given.items() if file is not None}
    facts = {name: read_facts(file) for name, file in files.items()}
    for name, file in files.items():
        refuse_unknown(
            file, facts[name], "score the run by python -m emo_fairseq.experiments.score"
        )
        if source_of(file) != name:
            raise UsageError(f"{file}: is of {source_of(file)}, and stands for {name}")
    vad = {name: read_scored(file, data) for name, file in files.items()}
    split = vad[PREDICTED].split
    if other := next((one for one in vad.values() if one.split != split), None):
        raise UsageError(f"{other.file}: of {other.split}, but {sources.regressor} of {split}")
    rows = read_rows(data, split)
    forests = {PREDICTED: sources.forest, ZERO_SHOT: sources.zero_shot_forest or sources.forest}
    ids, notes = _shared(list(vad.values()))
    for name, one in vad.items():
        notes += [*missing_rows(one, rows), *other_corpus(forests[name], facts[name], data)]
    notes = list(dict.fromkeys(notes))  # one forest may stand behind both
    if sources.forest is not None:
        ids, more = _judged(ids, rows, sources.forest, data, split)
        notes += [*more, *other_regressor(sources.forest, facts[PREDICTED])]
    guard = guard_of(split, (rows[name] for name in ids), data, allows)
    for name, file in files.items():
        guard.check("--regressor" if name == PREDICTED else "--zero-shot", file, read_beside(file))
    for forest in dict.fromkeys(filter(None, forests.values())):
        guard.check("--forest", "", forest_record(forest.about))
    notes += leak_notes(guard.accepted)
    place = _Place(data, split, rows, units_by(by, rows), scale)
    systems = [_system(name, one.of(ids), forests[name], place) for name, one in vad.items()]
    if sources.forest is not None:
        row, more = _bound(ids, sources.forest, place)
        systems.append(row)
        notes += more
    notes.append(f"errors of VAD on the scale {scale[0]:g} to {scale[1]:g}")
    return SystemTable(title(data, split, len(ids), by), systems, notes, by)


def vad_table(file: Path, data: Path, by: str) -> SystemTable:
    """The figures of one predictions file of VAD."""
    vad = read_scored(file, data)
    rows = read_rows(data, vad.split)
    place = _Place(data, vad.split, rows, units_by(by, rows), (0.0, 1.0))
    row = _system(source_of(file), vad, None, place)
    return SystemTable(title(data, vad.split, row.n, by), [row], by=by)


class _Place(NamedTuple):
    """Where systems are scored."""

    data: Path
    split: str
    rows: Mapping[str, Utterance]
    units: Units
    scale: Scale


def _shared(parts: Sequence[VadRows]) -> tuple[list[str], Notes]:
    """The ids that all files have, in the order of the first, and how many others there are."""
    others = [set(part.ids) for part in parts[1:]]
    ids = [name for name in parts[0].ids if all(name in there for there in others)]
    lost = len(set(parts[0].ids).union(*others)) - len(ids)
    if not ids:
        raise UsageError(f"{', '.join(str(part.file) for part in parts)}: share no row")
    return ids, [f"{lost} rows are not in all files, and are left out"] if lost else []


def _judged(
    ids: Sequence[str], rows: Mapping[str, Utterance], forest: Forest, data: Path, split: str
) -> tuple[list[str], Notes]:
    """Those with an emotion and gold VAD, which every row of the table needs."""
    emotions, notes = emotions_of(ids, rows, shared_labels(forest, data), split)
    vad, lacking = gold_rows({name: rows[name] for name in emotions.ids}, split)
    return list(vad.ids), [*notes, *lacking]


def _system(name: str, vad: VadRows, forest: Forest | None, place: _Place) -> SystemRow:
    scaled = vad.on_scale(*place.scale)
    estimates = vad_estimates(scaled.truth, scaled.prediction, place.units(vad.ids))
    if forest is None:
        return SystemRow(name, len(vad), estimates)
    labels = shared_labels(forest, place.data)
    emotions, _ = emotions_of(vad.ids, place.rows, labels, place.split)
    estimates += of_emotions(emotions, forest.probabilities(vad.prediction), place.units)
    return SystemRow(name + THEN_FOREST, len(vad), estimates)


def _bound(ids: Sequence[str], forest: Forest, place: _Place) -> tuple[SystemRow, Notes]:
    """The same design on gold VAD, for the same rows."""
    fitted, notes = fit_gold(place.data, forest.design)
    vad, _ = gold_rows({name: place.rows[name] for name in ids}, place.split)
    emotions, _ = emotions_of(vad.ids, place.rows, fitted.labels, place.split)
    row, _ = upper_bound(fitted, vad, emotions, place.units)
    return row, notes
