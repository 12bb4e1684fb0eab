"""A simpler model that a model is shown beside, on the same split."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import Interval, intervals
from emo_fairseq.evaluation.names import N_RESAMPLES
from emo_fairseq.evaluation.statistics import (
    Metrics,
    Predictions,
    metrics_and_baseline,
    read_predictions,
)


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

    Args:
        file: its predictions file.
        split: that is scored.
        of: predictions of the model that it is shown beside.
        n_resamples: of the bootstrap over utterances.

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
