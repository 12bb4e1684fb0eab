"""Several predictions files side by side: a column each, their mean, and all rows together."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emo_fairseq.evaluation.names import OF_EACH_LABEL, display_name
from emo_fairseq.evaluation.statistics import (
    LabelPredictions,
    Metrics,
    Predictions,
    metrics_and_baseline,
    pool,
)
from emo_fairseq.evaluation.tables import Table, format_count, format_mean, format_number

POOLED = "pooled"
_UNKNOWN = -1e9  # in place of a missing truth, which is equal to no other


@dataclass(frozen=True, eq=False)
class Run:
    """One split of one predictions file.

    Attributes:
        name: what the file is called among the others, with its marks.
        split: that was scored.
        predictions: of N utterances.
        metrics: of :func:`emo_fairseq.evaluation.statistics.metrics_and_baseline`.
    """

    name: str
    split: str
    predictions: Predictions
    metrics: Metrics

    @property
    def scored(self) -> str:
        """Split, and the target: labels, shares of votes for them, questions, or axes."""
        return f"{self.split} ({_kind(self.predictions)} {', '.join(self.predictions.names)})"


def _kind(of: Predictions) -> str:
    """Return what is predicted, in a word: models of two kinds have other metrics, and rows."""
    if not isinstance(of, LabelPredictions):
        return "axes"
    if of.votes is not None:
        return "votes for"
    return "yes or no of" if of.per_label else "labels"


def marked_name(name: str, leaks: Sequence[str], transductive: Sequence[str]) -> str:
    """Return the name of a run with notes that matter for comparisons.

    >>> marked_name("seed1", ["--init-from other.pt: was trained on 2 of the 60 rows"], [])
    'seed1 (leak allowed)'
    """
    marks = {"leak allowed": leaks, "transductive": transductive}
    applying = [mark for mark, sentences in marks.items() if sentences]
    return f"{name} ({', '.join(applying)})" if applying else name


def groups(runs: Sequence[Run]) -> Mapping[str, Sequence[Run]]:
    """Divide runs into those of one split and one target, whose metrics have a mean."""
    alike: dict[str, list[Run]] = {}
    for run in runs:
        alike.setdefault(run.scored, []).append(run)
    return alike


def apart(by_scored: Mapping[str, Sequence[Run]]) -> str:
    """Return a sentence if the files are not all of one target, or have not the same splits."""
    names = [[run.name for run in runs] for runs in by_scored.values()]
    if all(of_group == names[0] for of_group in names):
        return ""
    listed = "; ".join(
        f"{scored}: {', '.join(run.name for run in runs)}" for scored, runs in by_scored.items()
    )
    return f"No mean over all files, which differ in split or target: {listed}"


def table(runs: Sequence[Run], keys: Sequence[str]) -> Table:
    """Return metrics of several runs of one split and target, with mean and standard deviation.

    Where no utterance is in two of the runs, as in folds, a column has the metrics of all rows
    together.
    """
    relation, pooled = _pooled(runs)
    rows = []
    for key in keys:
        values = np.array([run.metrics[key] for run in runs])
        cells = [format_mean(float(values.mean()), float(values.std(ddof=1)))]
        if pooled is not None:
            cells.append(format_number(pooled[key]))
        cells += [format_number(value) for value in values.tolist()]
        rows.append([display_name(key, _axes(runs[0])), *cells])
    heads = [f"mean ± std of {len(runs)}", *([] if pooled is None else [POOLED])]
    title = f"{len(runs)} files: {runs[0].split}, {relation}"
    return Table(["metric", *heads] + [run.name for run in runs], rows, title)


def _axes(run: Run) -> Sequence[str]:
    return () if isinstance(run.predictions, LabelPredictions) else run.predictions.names


def _pooled(runs: Sequence[Run]) -> tuple[str, Metrics | None]:
    """Return how the rows of the runs relate, and the metrics of all rows if none is there twice.

    Probabilities are not pooled: their calibration is that of several models.
    """
    ids = [set(run.predictions.ids) for run in runs]
    n_rows, n_different = sum(map(len, ids)), len(set().union(*ids))
    counted = format_count(n_different, "utterance")
    if n_rows == n_different:
        whole = pool({str(number): run.predictions for number, run in enumerate(runs)})
        return f"{counted}, each in one file; {POOLED}: all together", metrics_and_baseline(whole)
    if other := _other_truth(runs):
        return f"of different data, as {other} has different truths; not pooled", None
    if n_rows == len(runs) * n_different:
        return f"the same {counted}", None
    return f"{counted}, some of them in several files; not pooled", None


def _other_truth(runs: Sequence[Run]) -> str:
    """Return an id that has another truth in another run; empty if there is none."""
    truth_of: dict[str, list[float]] = {}
    for run in runs:
        truths = run.predictions.truth.astype(np.float64).reshape(len(run.predictions.ids), -1)
        known = np.nan_to_num(truths, nan=_UNKNOWN).tolist()
        for name, truth in zip(run.predictions.ids, known, strict=True):
            if truth_of.setdefault(name, truth) != truth:
                return name
    return ""


def metric_keys(predictions: Predictions, metrics: Metrics) -> Iterator[str]:
    """Yield the metrics of a table: first ones, a constant's, those of each label or axis."""
    suffix = predictions.baseline_suffix
    yield from predictions.headline
    for key in predictions.headline:
        if math.isfinite(metrics.get(key + suffix, math.nan)):
            yield key + suffix
    if isinstance(predictions, LabelPredictions):
        yield from (f"{of}_{x}" for x in predictions.names for of in OF_EACH_LABEL)
        return
    first = {*predictions.headline}
    yield from (key for key in metrics if not key.endswith(suffix) and key not in first)
