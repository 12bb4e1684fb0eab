"""One scored split of one run, with all that is known of its utterances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import attention as attention_file
from emo_fairseq.evaluation.attention import Attended
from emo_fairseq.evaluation.bootstrap import Interval, Speakers, intervals
from emo_fairseq.evaluation.dialogues import DialogueScores, score_dialogues
from emo_fairseq.evaluation.embeddings import read_embeddings
from emo_fairseq.evaluation.names import N_RESAMPLES
from emo_fairseq.evaluation.statistics import (
    LabelPredictions,
    Metrics,
    Predictions,
    metrics_and_baseline,
    read_predictions,
)
from emo_fairseq.report.annotations import Annotations, read_annotations

UTTERANCES = "utterances"
SPEAKERS = "speakers"
GROUPS = ("emotion", "speaker", "corpus")


@dataclass(frozen=True, eq=False)
class BaselineModel:
    """A simpler model that a model is shown beside, on one split.

    Attributes:
        n_utterances: that it was scored on.
        metrics: by key.
        intervals: over utterances, by key of the metric.
    """

    n_utterances: int
    metrics: Metrics
    intervals: Mapping[str, Interval]


def read_baseline_model(
    file: Path, split: str, of: Predictions, n_resamples: int = N_RESAMPLES
) -> BaselineModel:
    """Read and measure the predictions of a simpler model.

    Raises:
        UsageError: it lacks the split, or has predicted other labels or axes.
    """
    predictions = read_predictions(file).get(split)
    if predictions is None or (type(predictions), predictions.names) != (type(of), of.names):
        raise UsageError(
            f"--baseline {file}: has no predictions of {split} and of {', '.join(of.names)}, which "
            "the report is of; give the predictions of a model with the same target",
            "baseline-other",
        )
    rows, derive = predictions.statistics()
    ends = intervals(rows, derive, n_resamples=n_resamples)
    return BaselineModel(len(predictions.ids), metrics_and_baseline(predictions), ends)


@dataclass(frozen=True, eq=False)
class ScoredSplit:
    """The predictions of one run on one split, measured.

    Attributes:
        run: names the predictions file among several; empty if there is one.
        split: its name.
        predictions: of N utterances.
        annotations: of the same utterances, from the data dir.
        embeddings: (N, D), NaN where unknown; None if there is no file of them.
        attended: the utterances of this split whose attention was saved; None without a file.
        metrics: of :func:`emo_fairseq.evaluation.statistics.metrics_and_baseline`.
        intervals: over ("utterances", "speakers") -> key of the metric -> interval.
        speakers: of the utterances, as the data dir names them.
        dialogues: metrics of the turns of dialogues; None where there are none.
        baseline: a simpler model on the same split; None without.
        leaks: that ``--allow-leak`` let pass, a sentence each.
        transductive: how the predictions depend on other rows of the split, a sentence each.
    """

    run: str
    split: str
    predictions: Predictions
    annotations: Annotations
    embeddings: np.ndarray | None
    attended: Sequence[Attended] | None
    metrics: Metrics
    intervals: Mapping[str, Mapping[str, Interval]]
    speakers: Speakers
    dialogues: DialogueScores | None = None
    baseline: BaselineModel | None = None
    leaks: Sequence[str] = ()
    transductive: Sequence[str] = ()

    @property
    def title(self) -> str:
        """Run and split."""
        return f"{self.run}, {self.split}" if self.run else self.split

    def groups(self) -> dict[str, list[str | None]]:
        """Return the columns by which utterances are grouped, those that name any.

        Emotion, speaker and corpus of the manifest; without an emotion the true label, whatever it
        is of.
        """
        columns = {name: self.annotations.column(name) for name in GROUPS}
        if isinstance(self.predictions, LabelPredictions) and not any(columns[GROUPS[0]]):
            names = self.predictions.names
            columns["truth"] = [
                names[label] if label >= 0 else None for label in self.predictions.truth.tolist()
            ]
        return {name: column for name, column in columns.items() if any(column)}


def read_scored_split(
    run: str,
    split: str,
    predictions: Predictions,
    data_dir: Path | None = None,
    embeddings: Path | None = None,
    attention: Path | None = None,
    n_resamples: int = N_RESAMPLES,
) -> ScoredSplit:
    """Load what belongs to the utterances of some predictions, and measure them.

    Raises:
        UsageError, data_prep.errors.ManifestError: a data dir or another file that does not fit.
    """
    ids = predictions.ids
    if data_dir is None:
        annotations = Annotations([None] * len(ids), is_given=False)
    else:
        annotations = read_annotations(data_dir, split, ids)
    rows, derive = predictions.statistics()
    ends = {UTTERANCES: intervals(rows, derive, n_resamples=n_resamples)}
    speakers = Speakers.from_names(annotations.column("speaker"))
    if not speakers.refusal:
        ends[SPEAKERS] = intervals(rows, derive, speakers)
    dialogues = None
    if isinstance(predictions, LabelPredictions):
        dialogues = score_dialogues(predictions, annotations.rows, n_resamples)
    attended = None
    if attention is not None:
        attended = [row for row in attention_file.read(attention) if row.split == split]
    return ScoredSplit(
        run,
        split,
        predictions,
        annotations,
        None if embeddings is None else read_embeddings(embeddings, split, ids),
        attended,
        metrics_and_baseline(predictions),
        ends,
        speakers,
        dialogues,
    )
