"""The split that systems are measured on, the predictions that may be read for it, and notes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.messages import first_few
from data_prep.schema import TRAIN, Utterance, read_corpus
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import Estimate, Speakers
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.options.differences import changed_options
from emo_fairseq.vad_to_emotion.forest import Forest
from emo_fairseq.vad_to_emotion.out_of_fold import MADE_BY_ZERO_SHOT, regressor_options
from emo_fairseq.vad_to_emotion.rows import (
    EmotionRows,
    Notes,
    VadRows,
    check_truth,
    emotions_of,
    gold_rows,
    read_labels,
    read_rows,
    read_vad,
)
from emo_fairseq.vad_to_emotion.table import (
    METHODS,
    PREDICTED,
    ZERO_SHOT,
    Column,
    emotion_estimates,
    vad_estimates,
)

Scale = tuple[float, float]


@dataclass(frozen=True)
class EvaluatedSplit:
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
