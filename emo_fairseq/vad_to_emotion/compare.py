"""The command compare: one table of all systems, on the rows that all of them have."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.manifest.provenance import read_beside
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.vad_to_emotion.apply import upper_bound
from emo_fairseq.vad_to_emotion.evaluated_split import (
    EvaluatedSplit,
    Scale,
    missing_rows,
    other_corpus,
    other_regressor,
    read_scored,
    shared_labels,
    source_of,
)
from emo_fairseq.vad_to_emotion.fit import fit_gold
from emo_fairseq.vad_to_emotion.forest import Forest
from emo_fairseq.vad_to_emotion.out_of_fold import (
    forest_record,
    guard_of,
    leak_notes,
    refuse_without_facts,
)
from emo_fairseq.vad_to_emotion.rows import Notes, VadRows, read_rows
from emo_fairseq.vad_to_emotion.table import (
    PREDICTED,
    THEN_FOREST,
    ZERO_SHOT,
    SystemRow,
    SystemTable,
)


class Sources(NamedTuple):
    """The files and forests that a table is made from.

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
    sources: Sources, data: Path, by: str, scale: Scale = (0.0, 1.0), allow_leak: bool = False
) -> SystemTable:
    """Compare all systems on the rows that all of them have; without a forest VAD alone.

    Raises:
        UsageError: a model or a forest has seen rows which are compared; files are of different
            splits, given for another source, or without a record of what made them.
    """
    given = {PREDICTED: sources.regressor, ZERO_SHOT: sources.zero_shot}
    files = {name: file for name, file in given.items() if file is not None}
    facts = {name: read_facts(file) for name, file in files.items()}
    vad = {name: _read_source(name, file, data) for name, file in files.items()}
    split_name = vad[PREDICTED].split
    if other := next((each for each in vad.values() if each.split != split_name), None):
        raise UsageError(
            f"{other.file}: of {other.split}, but {sources.regressor} of {split_name}; give files "
            "of one split",
            "splits-differ",
        )
    split = EvaluatedSplit(data, split_name, read_rows(data, split_name), by, scale)
    forests = {PREDICTED: sources.forest, ZERO_SHOT: sources.zero_shot_forest or sources.forest}
    ids, notes = _shared_ids(list(vad.values()))
    for name, rows in vad.items():
        notes += [*missing_rows(rows, split.rows), *other_corpus(forests[name], facts[name], data)]
    notes = list(dict.fromkeys(notes))  # both rows may have the same forest
    if sources.forest is not None:
        ids, more = _with_emotion_and_gold(ids, split, sources.forest)
        notes += [*more, *other_regressor(sources.forest, facts[PREDICTED])]
    guard = guard_of(split_name, (split.rows[name] for name in ids), data, allow_leak)
    for name, file in files.items():
        guard.check("--regressor" if name == PREDICTED else "--zero-shot", file, read_beside(file))
    for forest in dict.fromkeys(filter(None, forests.values())):
        guard.check("--forest", "", forest_record(forest.about))
    notes += leak_notes(guard.accepted)
    systems = [_system(name, rows.select(ids), forests[name], split) for name, rows in vad.items()]
    if sources.forest is not None:
        row, more = _fit_upper_bound(ids, sources.forest, split)
        systems.append(row)
        notes += more
    notes.append(f"errors of VAD on the scale {scale[0]:g} to {scale[1]:g}")
    return SystemTable(split.title(len(ids)), systems, notes, by)


def vad_table(file: Path, data: Path, by: str) -> SystemTable:
    """Return the metrics of one predictions file of VAD."""
    vad = read_scored(file, data)
    split = EvaluatedSplit(data, vad.split, read_rows(data, vad.split), by)
    row = _system(source_of(file), vad, None, split)
    return SystemTable(split.title(row.n), [row], by=by)


def _read_source(name: str, file: Path, data: Path) -> VadRows:
    """Load a predictions file that is given for a row of the table."""
    remedy = "score the run by python -m emo_fairseq.experiments.score"
    refuse_without_facts(file, read_facts(file), remedy)
    if source_of(file) != name:
        raise UsageError(
            f"{file}: is of {source_of(file)}, and given for {name}; swap the options",
            "source-swapped",
        )
    return read_scored(file, data)


def _shared_ids(parts: Sequence[VadRows]) -> tuple[list[str], Notes]:
    """The ids that all files have, in the order of the first, and how many others there are."""
    others = [set(part.ids) for part in parts[1:]]
    ids = [name for name in parts[0].ids if all(name in other for other in others)]
    n_left = len(set(parts[0].ids).union(*others)) - len(ids)
    if not ids:
        raise UsageError(
            f"{', '.join(str(part.file) for part in parts)}: share no row; score one split",
            "rows-not-shared",
        )
    return ids, [f"{n_left} rows are not in all files, and are left out"] if n_left else []


def _with_emotion_and_gold(
    ids: Sequence[str], split: EvaluatedSplit, forest: Forest
) -> tuple[list[str], Notes]:
    """The rows with an emotion and gold VAD, which every row of the table needs."""
    emotions, notes = split.emotions(ids, shared_labels(forest, split.data))
    vad, without_vad = split.gold(emotions.ids)
    return list(vad.ids), [*notes, *without_vad]


def _system(name: str, vad: VadRows, forest: Forest | None, split: EvaluatedSplit) -> SystemRow:
    estimates = split.of_vad(vad)
    if forest is None:
        return SystemRow(name, len(vad), estimates)
    emotions, _ = split.emotions(vad.ids, shared_labels(forest, split.data))
    estimates |= split.of_emotions(emotions, forest.probabilities(vad.prediction))
    return SystemRow(name + THEN_FOREST, len(vad), estimates)


def _fit_upper_bound(
    ids: Sequence[str], forest: Forest, split: EvaluatedSplit
) -> tuple[SystemRow, Notes]:
    """The same design on gold VAD, for the same rows."""
    fitted, notes = fit_gold(split.data, forest.design)
    vad, _ = split.gold(ids)
    emotions, _ = split.emotions(vad.ids, fitted.labels)
    row, _ = upper_bound(fitted, vad, emotions, split)
    return row, notes
