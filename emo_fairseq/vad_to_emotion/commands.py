"""What fit, apply and gold do, from files to files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_prep.manifest.provenance import (
    Provenance,
    read_beside,
    write_beside,
)
from data_prep.messages import first_few
from data_prep.schema import Utterance, read_corpus
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import Speakers
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.vad_to_emotion.forest import (
    RECORD,
    Design,
    Forest,
    fit_forest,
)
from emo_fairseq.vad_to_emotion.out_of_fold import (
    MADE_BY_ZERO_SHOT,
    TRAIN,
    changes,
    fitted_on,
    forest_record,
    guard_of,
    leak_notes,
    read_unseen,
    refuse_unknown,
    system_of,
)
from emo_fairseq.vad_to_emotion.rows import (
    EmotionRows,
    VadRows,
    check_truth,
    emotions_of,
    facts_of,
    gold_rows,
    read_labels,
    read_rows,
    read_vad,
    write_emotions,
)
from emo_fairseq.vad_to_emotion.table import (
    METHODS,
    PREDICTED,
    THEN_FOREST,
    UPPER_BOUND,
    ZERO_SHOT,
    Estimate,
    SystemRow,
    SystemTable,
    emotion_estimates,
    vad_estimates,
)

Notes = list[str]


# --- A split on which systems are scored: its rows, its labels, and what intervals are over -------

Units = Callable[[Sequence[str]], Speakers | None]  # from N ids to their speakers


def read_scored(file: Path, data: Path) -> VadRows:
    """Predictions of a split that no forest is fitted on.

    Raises:
        UsageError: they are of train or of one of its folds, or of another data dir.
    """
    vad = read_vad(file)
    refuse_train(vad.split, file)
    if fold := (read_facts(file).get("options") or {}).get("task.fold"):
        raise UsageError(
            f"{file}: of fold {fold}, which divides the rows that the forest is fitted on; give "
            "the predictions of the regressor that was trained on the whole train split"
        )
    check_truth(vad, read_rows(data, vad.split), data)
    return vad


def refuse_train(split: str, source: object) -> None:
    """Raise a `UsageError` for the split that forests are fitted on."""
    if split == TRAIN:
        raise UsageError(
            f"{source}: of the split {TRAIN}, which forests are fitted on; give another"
        )


def missing_rows(vad: VadRows, rows: Mapping[str, Utterance]) -> list[str]:
    """A note on rows of the split that the file does not have."""
    there = set(vad.ids)
    left = [name for name in rows if name not in there]
    what = f"{vad.file}: {len(left)} of {len(rows)} rows of {vad.split} have no prediction"
    return [f"{what}, and are not measured: {first_few(left)}"] if left else []


def other_corpus(forest: Forest | None, facts: Mapping[str, Any], data: Path) -> list[str]:
    """Notes if the forest, or the model of VAD, is of another corpus than the one it is given."""
    name = read_corpus(data).name
    fitted = {"the forest was fitted": forest.about["corpus"]} if forest else {}
    trained = {"the model of VAD was trained": facts.get("trained_on") or name}
    where = {**fitted, **trained}
    return [f"{what} on {x}, these rows are of {name}" for what, x in where.items() if x != name]


def source_of(file: Path) -> str:
    """Where the VAD of a file is from, as tables say it."""
    return ZERO_SHOT if MADE_BY_ZERO_SHOT in read_facts(file) else PREDICTED


def shared_labels(forest: Forest, data: Path) -> tuple[str, ...]:
    """The forest's labels. Raises a `UsageError` where the corpus has others: none is guessed."""
    own = read_labels(data)
    if set(own) != set(forest.labels):
        raise UsageError(
            f"{data}: has the emotions {', '.join(own)}, the forest {', '.join(forest.labels)}; "
            "fit a forest on this label set"
        )
    return forest.labels


def units_by(by: str, rows: Mapping[str, Utterance]) -> Units:
    """What intervals are over: None for utterances, or the speakers of these.

    What is returned raises a `UsageError` where speakers are asked for, and are unknown or too few.
    """

    def units(ids: Sequence[str]) -> Speakers | None:
        if by != "speaker":
            return None
        speakers = Speakers.from_names([rows[name].speaker for name in ids])
        if speakers.refusal:
            raise UsageError(f"--units speaker: {speakers.refusal}; use --units utterance")
        return speakers

    return units


def title(data: Path, split: str, n: int, by: str) -> str:
    """The heading of a table."""
    name = read_corpus(data).name
    return f"{name}, {split}, {n} rows; in brackets 95 %, {METHODS[by]}"


# --- fit, apply and gold --------------------------------------------------------------------------


def fit(
    files: Sequence[Path], data: Path, design: Design, allows: bool = False
) -> tuple[Forest, Notes]:
    """A forest on predictions of the train split by models that had not seen it: `.unseen`."""
    vad, regressor, record, notes = read_unseen(files, data, allows)
    is_zero_shot = MADE_BY_ZERO_SHOT in read_facts(files[0])
    about = {
        "fitted_on": f"{'zero-shot' if is_zero_shot else 'out-of-fold'} predictions",
        "regressor": {name: str(value) for name, value in regressor.items()},
    }
    return _fit(vad, data, design, about, [*notes, *leak_notes(record)], record)


def fit_gold(data: Path, design: Design) -> tuple[Forest, Notes]:
    """A forest of this design on the train split's own VAD."""
    vad, notes = gold_rows(read_rows(data, TRAIN), TRAIN)
    return _fit(vad, data, design, {"fitted_on": UPPER_BOUND, "regressor": {}}, notes)


def _fit(
    vad: VadRows,
    data: Path,
    design: Design,
    about: Mapping[str, Any],
    notes: Notes,
    record: Provenance | None = None,
) -> tuple[Forest, Notes]:
    labels, rows = read_labels(data), read_rows(data, TRAIN)
    emotions, left = emotions_of(vad.ids, rows, labels, TRAIN)
    values = vad.of(emotions.ids).prediction
    own = fitted_on((rows[name] for name in emotions.ids), data, TRAIN)
    seen = own if record is None else own.merged(record)
    facts = {"corpus": read_corpus(data).name, **about, RECORD: seen.to_state()}
    return fit_forest(values, emotions.truth, labels, design, facts), [*notes, *left]


def apply(
    forest: Forest, file: Path, data: Path, output: Path, by: str, allows: bool = False
) -> SystemTable:
    """Emotions of predicted VAD, written as a predictions file; the figures of both.

    Raises:
        UsageError: the forest, or the model behind the file, has seen rows of the split, and
            `allows` (``--allow-leak``) is false.
    """
    facts, name = read_facts(file), source_of(file)
    vad = read_scored(file, data)
    rows = read_rows(data, vad.split)
    guard = guard_of(vad.split, (rows[name] for name in vad.ids), data, allows)
    guard.check("--predictions", file, read_beside(file))
    guard.check("--forest", "", forest_record(forest.about))
    emotions, notes = emotions_of(vad.ids, rows, shared_labels(forest, data), vad.split)
    chances = forest.probabilities(vad.of(emotions.ids).prediction)
    write_emotions(output, emotions, chances, facts_of(forest, data, vad.split, name, facts))
    write_beside(output, guard.accepted)
    notes += leak_notes(guard.accepted)
    units = units_by(by, rows)
    estimates = vad_estimates(vad.truth, vad.prediction, units(vad.ids))
    estimates += of_emotions(emotions, chances, units)
    row = SystemRow(name + THEN_FOREST, len(emotions.ids), estimates)
    notes += [*missing_rows(vad, rows), *other_corpus(forest, facts, data)]
    if len(vad) != row.n:
        notes.append(f"VAD is measured on {len(vad)} rows, emotions on {row.n}")
    notes += other_regressor(forest, facts)
    return SystemTable(title(data, vad.split, len(vad), by), [row], notes, by)


def gold(design: Design, data: Path, split: str, output: Path, by: str) -> SystemTable:
    """The upper bound: the same design, fitted on gold VAD of train and given that of a split.

    Raises:
        UsageError: what it writes would not be called an upper bound, or is of the training rows.
    """
    refuse_train(split, f"--split {split}")
    if "upper_bound" not in output.name:
        raise UsageError(
            f"--output {output}: these are no results of a model; have upper_bound in the file's "
            "name, such as predictions.upper_bound.tsv"
        )
    forest, notes = fit_gold(data, design)
    rows = read_rows(data, split)
    vad, lacking = gold_rows(rows, split)
    emotions, left = emotions_of(vad.ids, rows, forest.labels, split)
    row, chances = upper_bound(forest, vad, emotions, units_by(by, rows))
    write_emotions(output, emotions, chances, facts_of(forest, data, split, UPPER_BOUND, {}))
    return SystemTable(title(data, split, row.n, by), [row], [*notes, *lacking, *left], by)


def upper_bound(
    forest: Forest, vad: VadRows, emotions: EmotionRows, units: Units
) -> tuple[SystemRow, np.ndarray]:
    """The row of a table, called what it is, and the forest's probabilities (N, K)."""
    chances = forest.probabilities(vad.of(emotions.ids).prediction)
    estimates = of_emotions(emotions, chances, units)
    return SystemRow(UPPER_BOUND + THEN_FOREST, len(emotions.ids), estimates), chances


def of_emotions(rows: EmotionRows, chances: np.ndarray, units: Units) -> list[Estimate]:
    """Figures of the likeliest emotions."""
    answers = chances.argmax(axis=1)
    return emotion_estimates(rows.truth, answers, len(rows.labels), units(rows.ids))


def other_regressor(forest: Forest, facts: Mapping[str, Any]) -> Notes:
    """A note if the forest was fitted on predictions of another regressor than this one."""
    fitted = forest.about["regressor"]
    now = {name: str(value) for name, value in system_of(facts).items()}
    if not fitted or not now or not (changed := changes(fitted, now)):
        return []
    what = "the forest was fitted on predictions of another regressor, which differs in"
    return [f"{what} {len(changed)} options: {first_few(changed, 3)}"]


# --- One table of what was predicted from text or speech, and of the upper bound beside it --------

Scale = tuple[float, float]


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
