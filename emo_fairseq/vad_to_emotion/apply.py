"""The commands apply and gold: emotions of a split by a forest, from predicted or from gold VAD."""

from pathlib import Path

import numpy as np

from data_prep.manifest.provenance import read_beside, write_beside
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.vad_to_emotion.design import Design
from emo_fairseq.vad_to_emotion.evaluated_split import (
    EvaluatedSplit,
    missing_rows,
    other_corpus,
    other_regressor,
    read_scored,
    refuse_train,
    shared_labels,
    source_of,
)
from emo_fairseq.vad_to_emotion.fit import fit_gold
from emo_fairseq.vad_to_emotion.forest import Forest
from emo_fairseq.vad_to_emotion.out_of_fold import forest_record, guard_of, leak_notes
from emo_fairseq.vad_to_emotion.rows import (
    EmotionRows,
    VadRows,
    facts_of,
    read_rows,
    write_emotions,
)
from emo_fairseq.vad_to_emotion.table import THEN_FOREST, UPPER_BOUND, SystemRow, SystemTable


def apply(
    forest: Forest, file: Path, data: Path, output: Path, by: str, allow_leak: bool = False
) -> SystemTable:
    """Predict emotions from predicted VAD, and write them; return the metrics of both.

    Raises:
        UsageError: the forest, or the model behind the file, has seen rows of the split, and
            `allow_leak` is false.
    """
    facts, name = read_facts(file), source_of(file)
    vad = read_scored(file, data)
    split = EvaluatedSplit(data, vad.split, read_rows(data, vad.split), by)
    guard = guard_of(split.name, (split.rows[name] for name in vad.ids), data, allow_leak)
    guard.check("--predictions", file, read_beside(file))
    guard.check("--forest", "", forest_record(forest.about))
    emotions, notes = split.emotions(vad.ids, shared_labels(forest, data))
    probabilities = forest.probabilities(vad.select(emotions.ids).prediction)
    write_emotions(output, emotions, probabilities, facts_of(forest, data, vad.split, name, facts))
    write_beside(output, guard.accepted)
    notes += leak_notes(guard.accepted)
    estimates = split.of_vad(vad) | split.of_emotions(emotions, probabilities)
    row = SystemRow(name + THEN_FOREST, len(emotions.ids), estimates)
    notes += [*missing_rows(vad, split.rows), *other_corpus(forest, facts, data)]
    if len(vad) != row.n:
        notes.append(f"VAD is measured on {len(vad)} rows, emotions on {row.n}")
    notes += other_regressor(forest, facts)
    return SystemTable(split.title(len(vad)), [row], notes, by)


def gold(design: Design, data: Path, split_name: str, output: Path, by: str) -> SystemTable:
    """Fit the same design on gold VAD of train and apply it to that of a split: the upper bound.

    Raises:
        UsageError: the output is not named an upper bound, or is of the training rows.
    """
    refuse_train(split_name, f"--split {split_name}")
    if "upper_bound" not in output.name:
        raise UsageError(
            f"--output {output}: these are no results of a model; have upper_bound in the file's "
            "name, such as predictions.upper_bound.tsv",
            "upper-bound-unnamed",
        )
    forest, notes = fit_gold(data, design)
    split = EvaluatedSplit(data, split_name, read_rows(data, split_name), by)
    vad, without_vad = split.gold(list(split.rows))
    emotions, without_emotion = split.emotions(vad.ids, forest.labels)
    row, probabilities = upper_bound(forest, vad, emotions, split)
    facts = facts_of(forest, data, split_name, UPPER_BOUND, {})
    write_emotions(output, emotions, probabilities, facts)
    notes = [*notes, *without_vad, *without_emotion]
    return SystemTable(split.title(row.n), [row], notes, by)


def upper_bound(
    forest: Forest, vad: VadRows, emotions: EmotionRows, split: EvaluatedSplit
) -> tuple[SystemRow, np.ndarray]:
    """The row of the upper bound, and the forest's probabilities (N, K)."""
    probabilities = forest.probabilities(vad.select(emotions.ids).prediction)
    estimates = split.of_emotions(emotions, probabilities)
    return SystemRow(UPPER_BOUND + THEN_FOREST, len(emotions.ids), estimates), probabilities
