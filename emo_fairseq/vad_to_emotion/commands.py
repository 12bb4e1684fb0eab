"""The commands fit, apply, gold and compare, from files to files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_prep.manifest.provenance import Provenance, read_beside, write_beside
from data_prep.messages import first_few
from data_prep.schema import TRAIN, Utterance, read_corpus
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import Estimate, Speakers
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.vad_to_emotion.design import Design
from emo_fairseq.vad_to_emotion.forest import RECORD, Forest, fit_forest
from emo_fairseq.vad_to_emotion.out_of_fold import (
    MADE_BY_ZERO_SHOT,
    changed_options,
    fitted_on,
    forest_record,
    guard_of,
    leak_notes,
    read_unseen,
    refuse_without_facts,
    regressor_options,
)
from emo_fairseq.vad_to_emotion.rows import (
    EmotionRows,
    Notes,
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
    Column,
    SystemRow,
    SystemTable,
    emotion_estimates,
    vad_estimates,
)

Scale = tuple[float, float]


# --- The split that systems are scored on ---------------------------------------------------------


@dataclass(frozen=True)
class ScoredSplit:
    """The split that systems are scored on.

    Attributes:
        data: the data dir.
        name: of the split.
        rows: of the split, by id.
        by: what intervals are over, ``utterance`` or ``speaker``.
        scale: that errors of VAD are on.
    """

    data: Path
    name: str
    rows: Mapping[str, Utterance]
    by: str
    scale: Scale = (0.0, 1.0)

    def speakers(self, ids: Sequence[str]) -> Speakers | None:
        """Return the speakers that intervals are over; None for intervals over utterances.

        Raises:
            UsageError: the speakers are unknown or too few.
        """
        if self.by != "speaker":
            return None
        speakers = Speakers.from_names([self.rows[name].speaker for name in ids])
        if speakers.refusal:
            raise UsageError(
                f"--units speaker: {speakers.refusal}; use --units utterance", "speakers-too-few"
            )
        return speakers

    def emotions(self, ids: Sequence[str], labels: Sequence[str]) -> tuple[EmotionRows, Notes]:
        """Return the rows that have an emotion, and a note on the others."""
        return emotions_of(ids, self.rows, labels, self.name)

    def gold(self, ids: Sequence[str]) -> tuple[VadRows, Notes]:
        """Return the rows that have gold VAD, and a note on the others."""
        return gold_rows({name: self.rows[name] for name in ids}, self.name)

    def of_vad(self, vad: VadRows) -> dict[Column, Estimate]:
        """Return the metrics of VAD."""
        return vad_estimates(vad.on_scale(*self.scale), self.speakers(vad.ids))

    def of_emotions(
        self, emotions: EmotionRows, probabilities: np.ndarray
    ) -> dict[Column, Estimate]:
        """Return the metrics of the most probable emotions, from (N, K) probabilities."""
        speakers = self.speakers(emotions.ids)
        return emotion_estimates(emotions, probabilities.argmax(axis=1), speakers)

    def title(self, n: int) -> str:
        """Return the heading of a table of n rows."""
        name = read_corpus(self.data).name
        return f"{name}, {self.name}, {n} rows; in brackets 95 %, {METHODS[self.by]}"


def read_scored(file: Path, data: Path) -> VadRows:
    """Load predictions of a split that no forest is fitted on.

    Raises:
        UsageError: they are of train or of one of its folds, or of another data dir.
    """
    vad = read_vad(file)
    refuse_train(vad.split, file)
    if fold := (read_facts(file).get("options") or {}).get("task.fold"):
        raise UsageError(
            f"{file}: of fold {fold}, which divides the rows that the forest is fitted on; give "
            "the predictions of the regressor that was trained on the whole train split",
            "predictions-of-fold",
        )
    check_truth(vad, read_rows(data, vad.split), data)
    return vad


def refuse_train(split: str, source: object) -> None:
    """Raise a `UsageError` for the split that forests are fitted on."""
    if split == TRAIN:
        raise UsageError(
            f"{source}: of the split {TRAIN}, which forests are fitted on; give another",
            "predictions-of-train",
        )


def shared_labels(forest: Forest, data: Path) -> tuple[str, ...]:
    """Return the forest's labels; raise a `UsageError` where the corpus has others."""
    own = read_labels(data)
    if set(own) != set(forest.labels):
        raise UsageError(
            f"{data}: has the emotions {', '.join(own)}, the forest {', '.join(forest.labels)}; "
            "fit a forest on this label set",
            "labels-differ",
        )
    return forest.labels


def source_of(file: Path) -> str:
    """Return the source of a file's VAD, as tables name it."""
    return ZERO_SHOT if MADE_BY_ZERO_SHOT in read_facts(file) else PREDICTED


# --- Notes below a table --------------------------------------------------------------------------


def missing_rows(vad: VadRows, rows: Mapping[str, Utterance]) -> Notes:
    """Return a note on rows of the split that the file does not have."""
    predicted = set(vad.ids)
    missing = [name for name in rows if name not in predicted]
    if not missing:
        return []
    counts = f"{len(missing)} of {len(rows)} rows of {vad.split}"
    return [f"{vad.file}: {counts} have no prediction, and are not measured: {first_few(missing)}"]


def other_corpus(forest: Forest | None, facts: Mapping[str, Any], data: Path) -> Notes:
    """Return notes if the forest, or the model of VAD, is of another corpus than the data dir."""
    name = read_corpus(data).name
    corpora = {"the model of VAD was trained": facts.get("trained_on") or name}
    if forest is not None:
        corpora = {"the forest was fitted": forest.about["corpus"], **corpora}
    return [
        f"{source} on {corpus}, these rows are of {name}"
        for source, corpus in corpora.items()
        if corpus != name
    ]


def other_regressor(forest: Forest, facts: Mapping[str, Any]) -> Notes:
    """Return a note if the forest was fitted on predictions of another regressor than this one."""
    fitted = forest.about["regressor"]
    now = {name: str(value) for name, value in regressor_options(facts).items()}
    if not fitted or not now or not (changed := changed_options(fitted, now)):
        return []
    note = "the forest was fitted on predictions of another regressor, which differs in"
    return [f"{note} {len(changed)} options: {first_few(changed, 3)}"]


# --- fit ------------------------------------------------------------------------------------------


def fit(
    files: Sequence[Path], data: Path, design: Design, allow_leak: bool = False
) -> tuple[Forest, Notes]:
    """Fit a forest on out-of-fold predictions of the train split; see :func:`read_unseen`."""
    vad, regressor, record, notes = read_unseen(files, data, allow_leak)
    is_zero_shot = MADE_BY_ZERO_SHOT in read_facts(files[0])
    about = {
        "fitted_on": f"{'zero-shot' if is_zero_shot else 'out-of-fold'} predictions",
        "regressor": {name: str(value) for name, value in regressor.items()},
    }
    return _fit(vad, data, design, about, [*notes, *leak_notes(record)], record)


def fit_gold(data: Path, design: Design) -> tuple[Forest, Notes]:
    """Fit a forest of this design on the train split's own VAD."""
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
    values = vad.select(emotions.ids).prediction
    own = fitted_on((rows[name] for name in emotions.ids), data, TRAIN)
    seen = own if record is None else own.merged(record)
    facts = {"corpus": read_corpus(data).name, **about, RECORD: seen.to_state()}
    return fit_forest(values, emotions.truth, labels, design, facts), [*notes, *left]


# --- apply and gold -------------------------------------------------------------------------------


def apply(
    forest: Forest, file: Path, data: Path, output: Path, by: str, allow_leak: bool = False
) -> SystemTable:
    """Predict emotions from predicted VAD, and write them; return the metrics of both.

    Args:
        forest: that predicts.
        file: predictions of VAD.
        data: the data dir.
        output: the predictions file of the emotions.
        by: what intervals are over, ``utterance`` or ``speaker``.
        allow_leak: ``--allow-leak``.

    Raises:
        UsageError: the forest, or the model behind the file, has seen rows of the split, and
            `allow_leak` is false.
    """
    facts, name = read_facts(file), source_of(file)
    vad = read_scored(file, data)
    split = ScoredSplit(data, vad.split, read_rows(data, vad.split), by)
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
    split = ScoredSplit(data, split_name, read_rows(data, split_name), by)
    vad, without_vad = split.gold(list(split.rows))
    emotions, without_emotion = split.emotions(vad.ids, forest.labels)
    row, probabilities = _upper_bound(forest, vad, emotions, split)
    facts = facts_of(forest, data, split_name, UPPER_BOUND, {})
    write_emotions(output, emotions, probabilities, facts)
    notes = [*notes, *without_vad, *without_emotion]
    return SystemTable(split.title(row.n), [row], notes, by)


def _upper_bound(
    forest: Forest, vad: VadRows, emotions: EmotionRows, split: ScoredSplit
) -> tuple[SystemRow, np.ndarray]:
    """The row of the upper bound, and the forest's probabilities (N, K)."""
    probabilities = forest.probabilities(vad.select(emotions.ids).prediction)
    estimates = split.of_emotions(emotions, probabilities)
    return SystemRow(UPPER_BOUND + THEN_FOREST, len(emotions.ids), estimates), probabilities


# --- compare --------------------------------------------------------------------------------------


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

    Args:
        sources: see there.
        data: the data dir.
        by: what intervals are over, ``utterance`` or ``speaker``.
        scale: that errors of VAD are on.
        allow_leak: ``--allow-leak``.

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
    split = ScoredSplit(data, split_name, read_rows(data, split_name), by, scale)
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
    split = ScoredSplit(data, vad.split, read_rows(data, vad.split), by)
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
    ids: Sequence[str], split: ScoredSplit, forest: Forest
) -> tuple[list[str], Notes]:
    """The rows with an emotion and gold VAD, which every row of the table needs."""
    emotions, notes = split.emotions(ids, shared_labels(forest, split.data))
    vad, without_vad = split.gold(emotions.ids)
    return list(vad.ids), [*notes, *without_vad]


def _system(name: str, vad: VadRows, forest: Forest | None, split: ScoredSplit) -> SystemRow:
    estimates = split.of_vad(vad)
    if forest is None:
        return SystemRow(name, len(vad), estimates)
    emotions, _ = split.emotions(vad.ids, shared_labels(forest, split.data))
    estimates |= split.of_emotions(emotions, forest.probabilities(vad.prediction))
    return SystemRow(name + THEN_FOREST, len(vad), estimates)


def _fit_upper_bound(
    ids: Sequence[str], forest: Forest, split: ScoredSplit
) -> tuple[SystemRow, Notes]:
    """The same design on gold VAD, for the same rows."""
    fitted, notes = fit_gold(split.data, forest.design)
    vad, _ = split.gold(ids)
    emotions, _ = split.emotions(vad.ids, fitted.labels)
    row, _ = _upper_bound(fitted, vad, emotions, split)
    return row, notes
