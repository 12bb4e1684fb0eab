"""Predictions of one split as arrays, their statistics, and the metrics that follow.

Each utterance yields one row of statistics (a confusion, moments, bins of confidence); rows add up,
and every metric derives from their sum. This pair, ``(rows, derive)``, is all that intervals need.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from emo_fairseq import metrics
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.names import (
    OF_CMU,
    OF_LABELS,
    OF_NUMBERS,
    OF_PRECISION,
    OF_VOTES,
    SENTIMENT_SCORE,
)
from emo_fairseq.evaluation.predictions import PREDICTION_OF, PROBABILITY, TRUTH_OF, VOTES_OF
from emo_fairseq.metrics import calibration
from emo_fairseq.metrics.arrays import Sums

Metrics = dict[str, float]  # by key; see emo_fairseq.evaluation.names
Derive = Callable[[np.ndarray], Metrics]  # from summed statistics (D,)
Rows = Sequence[Mapping[str, str]]
MAJORITY = "_majority"
CONSTANT = "_constant"
_NO_SUM = 1e-3  # by which probabilities of separate yes/no questions miss a sum of 1


class Statistics(NamedTuple):
    """Summable statistics of N utterances, and the metrics that derive from their sum.

    Attributes:
        rows: (N, D) float64.
        derive: from a sum of rows (D,) to metrics by key; an undefined one is NaN.
    """

    rows: np.ndarray
    derive: Derive

    def metrics(self) -> Metrics:
        """Return the metrics of all utterances."""
        return self.derive(self.rows.sum(axis=0))


@dataclass(frozen=True, eq=False)
class LabelPredictions:
    """Predicted labels of one split.

    Attributes:
        ids: (N,) of the utterances.
        names: of the K labels.
        truth: (N,) int64, or of a smaller type, label ids; -1 = no majority label, beside `votes`.
        prediction: (N,) as `truth`.
        probability: (N, K) float64; None where only labels are kept.
        folds: (N,) the fold whose test set each utterance is in; empty without folds.
        votes: (N, K) float64, the shares of annotators' votes that are the truth of a distribution;
            None where the truth is a label.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    truth: np.ndarray
    prediction: np.ndarray
    probability: np.ndarray | None = None
    folds: tuple[str, ...] = ()
    votes: np.ndarray | None = None

    @property
    def has_truth(self) -> np.ndarray:
        """Return which utterances have a true label, (N,) bool; with votes a majority label."""
        return self.truth >= 0

    @property
    def about_truth(self) -> str:
        """How many utterances have a majority label, for headings; empty where all have a label."""
        if self.votes is None:
            return ""
        return f", {int(self.has_truth.sum()):,} of them with a majority label"

    @property
    def per_label(self) -> bool:
        """Whether each probability is of a yes/no question of its own (``binary_emotion``)."""
        if self.probability is None:
            return False
        return bool((abs(self.probability.sum(axis=1) - 1.0) > _NO_SUM).any())

    @property
    def headline(self) -> tuple[str, ...]:
        """Keys of the metrics that tables show first."""
        return OF_LABELS if self.votes is None else (*OF_LABELS, *OF_VOTES)

    @property
    def baseline_suffix(self) -> str:
        """What the baseline's metrics end in."""
        return MAJORITY

    def constant(self) -> "LabelPredictions":
        """Return the baseline: always the most frequent true label, the first among equals.

        A constant label has no probabilities, so no calibration; beside votes it is predicted with
        the mean of their shares.
        """
        counts = np.bincount(self.truth[self.has_truth], minlength=len(self.names))
        prediction = np.full_like(self.truth, counts.argmax())
        mean = None
        if self.votes is not None:
            mean = np.broadcast_to(self.votes.mean(axis=0), self.votes.shape)
        return replace(self, prediction=prediction, probability=mean)

    def compact(self) -> "LabelPredictions":
        """Return the same without probabilities, label ids in few bytes; with votes, itself."""
        if self.votes is not None:
            return self
        small = np.min_scalar_type(len(self.names))
        truth, prediction = self.truth.astype(small), self.prediction.astype(small)
        return replace(self, truth=truth, prediction=prediction, probability=None)

    def statistics(self) -> Statistics:
        """Return confusions, and with probabilities the statistics of their calibration.

        The metrics are :func:`emo_fairseq.metrics.label_metrics`, precision and F1 of each label,
        macro and weighted precision; with probabilities ECE, Brier score and log loss; of yes/no
        questions :func:`emo_fairseq.metrics.binary_metrics`. With votes
        :func:`emo_fairseq.metrics.vote_metrics` of all utterances, and all other metrics of those
        with a majority label.
        """
        prediction, n_labels = self.prediction, len(self.names)
        truth = self.truth.clip(min=0)  # rows without one become 0 below
        parts = {"confusion": metrics.confusion_rows(truth, prediction, n_labels)}
        if self.probability is not None:
            per_label = self.per_label
            of = calibration.confidences(truth, prediction, self.probability, per_label)
            parts |= {
                "bins": calibration.bin_rows(of),
                "brier": calibration.brier_rows(truth, self.probability, per_label),
                "nll": calibration.log_loss_rows(truth, self.probability, per_label),
            }
            if per_label:
                parts["binary"] = metrics.binary_rows(truth, self.probability > 0.5)
        if self.votes is not None:
            parts = {name: _masked(rows, self.has_truth) for name, rows in parts.items()}
            if self.probability is not None:
                parts |= metrics.vote_rows(self.votes, self.probability)
        return side_by_side(parts, self._derive)

    def _derive(self, sums: Mapping[str, np.ndarray]) -> Metrics:
        counts = sums["confusion"]
        values = metrics.label_metrics(counts, self.names)
        values |= {key: metric(counts) for key, metric in _MEAN_PRECISIONS.items()}
        for key, metric in _PER_CLASS.items():
            of_class = zip(self.names, metric(counts), strict=True)
            values |= {f"{key}_{label}": value for label, value in of_class}
        if "binary" in sums:
            values |= metrics.binary_metrics(sums["binary"], self.names)
        if "bins" in sums:
            values["ece"] = calibration.calibration_error(sums["bins"])
            for key in ("brier", "nll"):
                values[key] = calibration.mean_over(sums[key].item(), counts.sum())
        if self.votes is not None:
            values["n_agreed"] = float(counts.sum())
        if "votes" in sums:
            values |= metrics.vote_metrics(sums)
        return values


def _masked(rows: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return statistics (N, ...) that are 0 where a row does not count, infinite ones included."""
    return np.where(counted.reshape(-1, *[1] * (rows.ndim - 1)), rows, 0.0)


_MEAN_PRECISIONS = {
    "macro_precision": metrics.macro_precision,
    "weighted_precision": metrics.weighted_precision,
}
_PER_CLASS = {"precision": metrics.precision_per_class, "f1": metrics.f1_per_class}


@dataclass(frozen=True, eq=False)
class NumberPredictions:
    """Predicted numbers of one split.

    Attributes:
        ids: (N,) of the utterances.
        names: of the A axes.
        truth: (N, A) float64, NaN = missing.
        prediction: (N, A) float64.
        folds: (N,) the fold whose test set each utterance is in; empty without folds.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    truth: np.ndarray
    prediction: np.ndarray
    folds: tuple[str, ...] = ()

    @property
    def is_cmu(self) -> bool:
        """Whether the numbers are sentiment scores from -3 to 3."""
        return self.names == (SENTIMENT_SCORE,)

    @property
    def headline(self) -> tuple[str, ...]:
        """Keys of the metrics that tables show first."""
        return OF_CMU if self.is_cmu else OF_NUMBERS

    @property
    def baseline_suffix(self) -> str:
        """What the baseline's metrics end in."""
        return CONSTANT

    def constant(self) -> "NumberPredictions":
        """Return the baseline: always the mean of the truth, axis by axis."""
        known = ~np.isnan(self.truth)
        with np.errstate(invalid="ignore"):
            mean = np.where(known, self.truth, 0.0).sum(axis=0) / known.sum(axis=0)
        return replace(self, prediction=np.broadcast_to(mean, self.truth.shape))

    def compact(self) -> "NumberPredictions":
        """Return the same: there is nothing to leave out."""
        return self

    def statistics(
        self, of_axis: Mapping[str, Callable[[Sums], float]] = metrics.MOMENT_METRICS
    ) -> Statistics:
        """Return moments, and of sentiment scores the statistics of CMU's metrics.

        The metrics are :func:`emo_fairseq.metrics.number_metrics` and
        :func:`emo_fairseq.metrics.cmu_metrics`.

        Args:
            of_axis: metrics by key, from the (8,) moments of an axis.
        """
        parts = {"moments": metrics.moment_rows(self.truth, self.prediction)}  # (N, A, 8)
        if self.is_cmu:
            of_scores = metrics.cmu_rows(self.truth[:, 0], self.prediction[:, 0])
            parts |= {f"cmu_{name}": rows for name, rows in of_scores.items()}

        def derive(sums: Mapping[str, np.ndarray]) -> Metrics:
            values = metrics.number_metrics(sums["moments"], self.names, of_axis)
            cmu = {k.removeprefix("cmu_"): v for k, v in sums.items() if k.startswith("cmu_")}
            return values | (metrics.cmu_metrics(cmu) if cmu else {})

        return side_by_side(parts, derive)


Predictions = LabelPredictions | NumberPredictions
P = TypeVar("P", bound=LabelPredictions | NumberPredictions)


def side_by_side(
    parts: Mapping[str, np.ndarray], derive: Callable[[Mapping[str, np.ndarray]], Metrics]
) -> Statistics:
    """Lay named statistics (N, ...) side by side, so that one resample serves them all."""
    rows = np.concatenate([part.reshape(len(part), -1) for part in parts.values()], axis=1)
    shapes = {name: part.shape[1:] for name, part in parts.items()}
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])[:-1]

    def derive_from_sum(sums: np.ndarray) -> Metrics:
        pieces = zip(shapes.items(), np.split(sums, ends), strict=True)
        return derive({name: piece.reshape(shape) for (name, shape), piece in pieces})

    return Statistics(rows, derive_from_sum)


def metrics_and_baseline(of: Predictions) -> Metrics:
    """Return all metrics, and beside them those of a constant prediction.

    The baseline's keys end in ``_majority`` (labels; of metrics over all labels) or ``_constant``
    (numbers).
    """
    values, constant = of.statistics().metrics(), of.constant().statistics().metrics()
    if isinstance(of, LabelPredictions):
        constant = {key: constant[key] for key in (*of.headline, *OF_PRECISION)}
    return values | {key + of.baseline_suffix: x for key, x in constant.items()}


# -- some of the utterances, several folds, several runs -------------------------------------------


def keys_of(of: Predictions) -> tuple[tuple[str, str], ...]:
    """Return fold and id of each utterance; the fold is an empty string without folds."""
    return tuple(zip(of.folds or ("",) * len(of.ids), of.ids, strict=True))


def select(of: P, rows: Sequence[int]) -> P:
    """Return the predictions of some of the rows, in the order given."""
    chosen = list(rows)
    fields: dict[str, Any] = {
        "ids": tuple(of.ids[row] for row in chosen),
        "folds": tuple(of.folds[row] for row in chosen) if of.folds else (),
        "truth": of.truth[chosen],
        "prediction": of.prediction[chosen],
    }
    if isinstance(of, LabelPredictions) and of.probability is not None:
        fields["probability"] = of.probability[chosen]
    if isinstance(of, LabelPredictions) and of.votes is not None:
        fields["votes"] = of.votes[chosen]
    return replace(of, **fields)


def pool(by_fold: Mapping[str, Predictions]) -> Predictions:
    """Return the predictions of several folds as one set, labels without probabilities.

    Beside votes these are kept, since they are the prediction of a distribution.

    Raises:
        UsageError: a fold has other labels or axes than the first, or has them in another order.
    """
    (first_fold, first), *others = by_fold.items()
    if fold := next((fold for fold, part in others if part.names != first.names), None):
        raise UsageError(
            f"fold {fold} predicts {', '.join(by_fold[fold].names)}, and fold {first_fold} "
            f"{', '.join(first.names)}; train them on one corpus.yaml, with one order of labels",
            "folds-differ",
        )
    parts = [part.compact() for part in by_fold.values()]
    joined: dict[str, Any] = {}
    for name in ("probability", "votes"):
        values = [v for part in parts if (v := getattr(part, name, None)) is not None]
        if len(values) == len(parts):
            joined[name] = np.concatenate(values)
    return replace(
        parts[0],
        **joined,
        ids=tuple(name for part in parts for name in part.ids),
        folds=tuple(fold for fold, part in by_fold.items() for _ in part.ids),
        truth=np.concatenate([part.truth for part in parts]),
        prediction=np.concatenate([part.prediction for part in parts]),
    )


def align(runs: Sequence[P]) -> list[P]:
    """Return the rows (fold and id) that all runs have, in the order of the first run."""
    keys = [keys_of(run) for run in runs]
    if all(of_run == keys[0] for of_run in keys):
        return list(runs)
    shared = set(keys[0]).intersection(*keys[1:])
    wanted = [key for key in keys[0] if key in shared]
    aligned = []
    for run, of_run in zip(runs, keys, strict=True):
        row_of = {key: row for row, key in enumerate(of_run)}
        aligned.append(select(run, [row_of[key] for key in wanted]))
    return aligned


def ids_of_other_truth(runs: Sequence[P]) -> list[str]:
    """Return the ids of the rows whose truth is not the same in all runs, which are aligned."""
    first, *others = runs
    differs = np.zeros(len(first.ids), dtype=bool)
    for other in others:
        for name in ("truth", "votes"):
            ours, theirs = getattr(first, name, None), getattr(other, name, None)
            if ours is None or theirs is None:
                continue
            is_same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
            differs |= ~is_same.reshape(len(differs), -1).all(axis=1)
    return [first.ids[row] for row in np.flatnonzero(differs).tolist()]


# -- from a predictions file -----------------------------------------------------------------------


def read_predictions(file: Path) -> dict[str, Predictions]:
    """Load a predictions file as arrays, by split.

    Raises:
        UsageError: no such file, no rows, or cells that are not what ``--save-predictions`` writes.
    """
    rows = predictions.read(file)
    if not rows:
        raise UsageError(
            f"{file}: it has a header and no rows; score a split that has utterances",
            "predictions-empty",
        )
    splits = sorted({row["split"] for row in rows})
    try:
        return {split: from_rows([r for r in rows if r["split"] == split]) for split in splits}
    except ValueError as error:
        raise UsageError(
            f"{file}: {error}; write it again with --save-predictions", "predictions-invalid"
        ) from error


def from_rows(rows: Rows) -> Predictions:
    """Return rows of :func:`emo_fairseq.evaluation.predictions.read`, at least one, as arrays.

    Raises:
        ValueError: the columns of neither kind, a label without a column, or a cell that is no
            number.
    """
    ids = tuple(row["id"] for row in rows)
    if {"truth", "prediction"} <= rows[0].keys():
        return _labels(ids, rows)
    axes = [name.removeprefix(TRUTH_OF) for name in rows[0] if name.startswith(TRUTH_OF)]
    if not axes or any(PREDICTION_OF + axis not in rows[0] for axis in axes):
        raise ValueError("it has neither labels nor numbers to compare")
    truth, prediction = (_numbers(rows, [k + a for a in axes]) for k in (TRUTH_OF, PREDICTION_OF))
    return NumberPredictions(ids, tuple(axes), truth, prediction)


def _labels(ids: tuple[str, ...], rows: Rows) -> LabelPredictions:
    columns = [name for name in rows[0] if name.startswith(PROBABILITY)]
    names = tuple(name.removeprefix(PROBABILITY) for name in columns)
    number = {name: index for index, name in enumerate(names)}
    votes = [name for name in rows[0] if name.startswith(VOTES_OF)]
    if votes:
        number[""] = -1  # of a distribution without a majority label
    for row in rows:
        for column in ("truth", "prediction"):
            if row[column] not in number:
                known = ", ".join(names) or "none"
                raise ValueError(f"{row['id']}: {column} {row[column]!r} is none of {known}")
    truth, prediction = (
        np.array([number[row[column]] for row in rows]) for column in ("truth", "prediction")
    )
    if len(votes) not in (0, len(names)):
        raise ValueError("it has votes for some of its labels only")
    return LabelPredictions(
        ids,
        names,
        truth,
        prediction,
        _numbers(rows, columns),
        votes=_numbers(rows, [VOTES_OF + name for name in names]) if votes else None,
    )


def _numbers(rows: Rows, columns: Sequence[str]) -> np.ndarray:
    cells = [[float(row[column] or "nan") for column in columns] for row in rows]
    return np.array(cells, dtype=np.float64)
