"""What fit, apply and gold do, from files to files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.manifest.provenance import (
    Provenance,
    read_beside,
    write_beside,
)
from data_prep.schema import read_corpus
from emo_fairseq.data.naming import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.vad_to_emotion.answers import (
    EmotionRows,
    emotions_of,
    facts_of,
    read_labels,
    read_rows,
    write_emotions,
)
from emo_fairseq.vad_to_emotion.figures import Estimate, emotion_estimates, vad_estimates
from emo_fairseq.vad_to_emotion.forest import Design, Forest, fit_forest
from emo_fairseq.vad_to_emotion.leaks import (
    RECORD,
    fitted_on,
    forest_record,
    guard_of,
    leak_notes,
)
from emo_fairseq.vad_to_emotion.regressor import changes, system_of
from emo_fairseq.vad_to_emotion.rows import VadRows
from emo_fairseq.vad_to_emotion.scored import (
    Units,
    missing_rows,
    other_corpus,
    read_scored,
    refuse_train,
    shared_labels,
    source_of,
    title,
    units_by,
)
from emo_fairseq.vad_to_emotion.sources import gold_rows
from emo_fairseq.vad_to_emotion.table import THEN_FOREST, UPPER_BOUND, SystemRow, SystemTable
from emo_fairseq.vad_to_emotion.unseen import (
    MADE_BY_ZERO_SHOT,
    TRAIN,
    read_unseen,
)

Notes = list[str]


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
