"""Ensembles: the predictions of several models of the same utterances as one.

``mean`` averages probabilities or numbers, ``vote`` counts predicted labels, and ``stack`` learns
on another split how much each model is worth (Wolpert 1992, "Stacked generalization"). Only the
outputs of the models meet, so that they may read different modalities (late fusion).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, TypeVar

import numpy as np

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.statistics import (
    LabelPredictions,
    NumberPredictions,
    Predictions,
    align,
)
from emo_fairseq.metrics.arrays import one_hot

P = TypeVar("P", bound=LabelPredictions | NumberPredictions)
Combine = Callable[[np.ndarray], np.ndarray]  # scores of M models (M, N, K) -> scores (N, K)

MEAN, VOTE, STACK = "mean", "vote", "stack"
_LEAST = 1e-6  # of a probability, before its logarithm
_TIE = 1e-3  # weight of the mean probability, which decides between labels of as many votes
_MOST_PARTS = 5  # of a cross-validation by groups
_STRENGTHS = np.logspace(-4, 2, 13)  # of the regularization, of which cross-validation chooses


def mean(scores: np.ndarray) -> np.ndarray:
    """Return the mean over models: (M, N, K) -> (N, K).

    >>> mean(np.array([[[0.75, 0.25]], [[0.25, 0.75]]])).tolist()
    [[0.5, 0.5]]
    """
    return scores.mean(axis=0)


def vote(scores: np.ndarray) -> np.ndarray:
    """Return the share of models that predict each label: (M, N, K) -> (N, K).

    Among labels of as many votes the one of the larger mean probability counts a little more.

    >>> votes = vote(np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.4, 0.6]]]))
    >>> int(votes.argmax()), round(float(votes.sum()), 6)
    (1, 1.0)
    """
    votes = one_hot(scores.argmax(axis=2), scores.shape[2])
    return (1.0 - _TIE) * mean(votes) + _TIE * mean(scores)


COMBINATIONS: Mapping[str, Combine] = {MEAN: mean, VOTE: vote}  # without parameters


@dataclass(frozen=True)
class Stacking:
    """A linear model of the outputs of M models.

    Of labels a multinomial logistic regression of all log-probabilities, of numbers a ridge
    regression of each axis on its M predictions. Both are regularized by the strength that
    cross-validation chooses on the rows that they are fitted on.

    Attributes:
        weight: (K, F), F = M * K for labels and M for numbers.
        bias: (K,).
        has_labels: whether scores are probabilities of labels.
    """

    weight: np.ndarray
    bias: np.ndarray
    has_labels: bool

    @classmethod
    def fit(
        cls,
        members: Sequence[Predictions],
        groups: Sequence[str | None] | None = None,
        balanced: bool = False,
    ) -> Self:
        """Fit on the rows of a split that no member was trained on.

        Args:
            members: predictions of the same N rows, see :func:`align_members`.
            groups: (N,) names, such as speakers; rows of one are on one side of every division
                of the cross-validation. None: rows are divided at random, or of numbers left out
                one at a time.
            balanced: rows are weighted so that all labels count the same, as they do in UAR and on
                a balanced test set; else the frequent ones count more.

        Raises:
            UsageError: numbers are to be balanced, or there are fewer than two rows of a label, or
                rows to fit an axis on.
        """
        scores = _scores(members)
        if isinstance(members[0], LabelPredictions):
            return cls(*_fit_labels(scores, members[0], groups, balanced), has_labels=True)
        if balanced:
            raise UsageError(
                "--balanced: the models predict numbers, which have no labels; leave it out",
                "option-idle",
            )
        return cls(*_fit_numbers(scores, members[0], groups), has_labels=False)

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Combine: (M, N, K) -> (N, K)."""
        if not self.has_labels:
            return np.einsum("mnk,km->nk", scores, self.weight) + self.bias
        logits = _log_features(scores) @ self.weight.T + self.bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)


def combine(members: Sequence[P], how: Combine) -> P:
    """Return the predictions of an ensemble.

    >>> ids, names, truth = ("u1",), ("sad", "happy"), np.array([0])
    >>> members = [
    ...     LabelPredictions(ids, names, truth, truth, np.array([[0.9, 0.1]])),
    ...     LabelPredictions(ids, names, truth, 1 - truth, np.array([[0.4, 0.6]])),
    ... ]
    >>> combine(members, mean).prediction.tolist()
    [0]

    Args:
        members: predictions of the same rows, see :func:`align_members`.
        how: one of `COMBINATIONS`, or a :class:`Stacking`.

    Raises:
        UsageError: the combination is of labels, and numbers are predicted; or the probabilities
            are of separate yes/no questions, which have no vote and no stacking.
    """
    first = members[0]
    if isinstance(first, NumberPredictions):
        if how is vote:
            raise UsageError(
                "--combine vote: the models predict numbers, which have no votes; use mean or "
                "stack",
                "combine-unsupported",
            )
        return replace(first, prediction=how(_scores(members)))
    if first.per_label and how is not mean:
        raise UsageError(
            "--combine: the models answer a yes/no question for each label; use mean",
            "combine-unsupported",
        )
    probability = how(_scores(members))
    return replace(first, probability=probability, prediction=probability.argmax(axis=1))


def align_members(
    members: Mapping[str, P], names: Sequence[str] | None = None
) -> tuple[list[P], int]:
    """Return the predictions of the rows that all members have, in one order of labels.

    Args:
        members: predictions of one split, by the name of the model.
        names: labels or axes in that order; None: that of the first member.

    Returns:
        The predictions in the order of the members, and how many rows not all of them have.

    Raises:
        UsageError: they predict different things, differ in the truth, or share no row.
    """
    (first_name, first), *_ = members.items()
    order = tuple(first.names if names is None else names)
    for name, other in members.items():
        if type(other) is not type(first) or {*other.names} != {*order}:
            raise UsageError(
                f"{name} predicts {', '.join(other.names)}, and {first_name} "
                f"{', '.join(order)}; give models of one target and one set of labels",
                "combine-targets-differ",
            )
        if _are_questions(other) != _are_questions(first):
            raise UsageError(
                f"{name}: of it and {first_name} one answers a yes/no question for each label, and "
                "the other chooses one label; give models of one target",
                "combine-targets-differ",
            )
    for name, member in members.items():
        if isinstance(member, LabelPredictions) and member.probability is None:
            raise UsageError(f"{name}: has no probabilities to combine", "combine-unsupported")
    aligned = align([_in_order(member, order) for member in members.values()])
    if not aligned[0].ids:
        raise UsageError(
            f"{' and '.join(members)} have no row in common; give models that read the same "
            "rows, or train them with --modality-dropout",
            "combine-rows-differ",
        )
    for name, member in zip(members, aligned, strict=True):
        if not np.array_equal(aligned[0].truth, member.truth, equal_nan=True):
            raise UsageError(
                f"{name}: its truth differs from that of {first_name}; score both on the same "
                "data dir",
                "combine-truth-differs",
            )
    every = set().union(*(member.ids for member in members.values()))
    return _with_equal_votes(aligned), len(every) - len(aligned[0].ids)


def _with_equal_votes(members: list[P]) -> list[P]:
    """Return predictions without votes, unless all have them: a label was the truth of others."""
    of_labels = [x for x in members if isinstance(x, LabelPredictions)]
    if not of_labels or all(x.votes is not None for x in of_labels):
        return members
    return [replace(x, votes=None) if isinstance(x, LabelPredictions) else x for x in members]


def _are_questions(of: Predictions) -> bool:
    return isinstance(of, LabelPredictions) and of.per_label


def _in_order(of: P, names: tuple[str, ...]) -> P:
    """Return predictions with labels or axes in another order."""
    if of.names == names:
        return of
    order = [of.names.index(name) for name in names]
    if isinstance(of, NumberPredictions):
        return replace(
            of, names=names, truth=of.truth[:, order], prediction=of.prediction[:, order]
        )
    number = np.array([names.index(name) for name in of.names])
    assert of.probability is not None
    return replace(
        of,
        names=names,
        truth=np.where(of.has_truth, number[of.truth.clip(min=0)], -1),
        prediction=number[of.prediction],
        probability=of.probability[:, order],
        votes=None if of.votes is None else of.votes[:, order],
    )


def _scores(members: Sequence[Predictions]) -> np.ndarray:
    """Return probabilities or numbers (M, N, K), float64."""
    parts = [x.probability if isinstance(x, LabelPredictions) else x.prediction for x in members]
    return np.stack([part.astype(np.float64) for part in parts if part is not None])


# -- fitting ---------------------------------------------------------------------------------------


def _log_features(scores: np.ndarray) -> np.ndarray:
    """Return the centered log-probabilities of all models side by side: (M, N, K) -> (N, M K)."""
    logs = np.log(np.maximum(scores, _LEAST))
    centered = logs - logs.mean(axis=2, keepdims=True)
    return centered.swapaxes(0, 1).reshape(scores.shape[1], -1)


def _fit_labels(
    scores: np.ndarray, of: LabelPredictions, groups: Sequence[str | None] | None, balanced: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (K, M K) and bias (K,); a label that the rows lack is never predicted."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold

    known_truth = of.has_truth  # of votes some rows have no majority label
    scores, truth = scores[:, known_truth], of.truth[known_truth]
    if groups is not None:
        groups = [group for group, known in zip(groups, known_truth, strict=True) if known]
    counts = np.bincount(truth, minlength=len(of.names))
    n_parts = min(_MOST_PARTS, int(counts[counts > 0].min()))
    if n_parts < 2 or (counts > 0).sum() < 2:
        few = [of.names[k] for k in np.flatnonzero((counts > 0) & (counts < 2))]
        raise UsageError(
            f"--combine stack: the split that it is fitted on has too few rows of "
            f"{', '.join(few) or 'more than one label'}; use mean",
            "stack-too-few",
        )
    known = [] if groups is None or None in groups else list(groups)
    if (n_groups := len(set(known))) > 1:
        divisions = list(GroupKFold(min(n_parts, n_groups)).split(truth, truth, known))
    else:
        divisions = list(
            StratifiedKFold(n_parts, shuffle=True, random_state=0).split(truth[:, None], truth)
        )
    complete = [x for x in divisions if len({*truth[x[0]]}) == (counts > 0).sum()]
    search = GridSearchCV(
        LogisticRegression(max_iter=1000, class_weight="balanced" if balanced else None),
        {"C": _STRENGTHS},
        scoring=partial(_log_likelihood, balanced=balanced),
        cv=complete or 2,
    )
    features = _log_features(scores)
    fitted = search.fit(features, truth).best_estimator_
    n_labels = len(of.names)
    weight = np.zeros((n_labels, features.shape[1]))
    bias = np.full(n_labels, -np.inf)
    if len(fitted.classes_) == 2:  # one row of coefficients, of the second label
        weight[fitted.classes_[1]], bias[fitted.classes_[0]] = fitted.coef_[0], 0.0
        bias[fitted.classes_[1]] = fitted.intercept_[0]
    else:
        weight[fitted.classes_], bias[fitted.classes_] = fitted.coef_, fitted.intercept_
    return weight, bias


def _log_likelihood(
    model: object, features: np.ndarray, truth: np.ndarray, balanced: bool
) -> float:
    """Return the mean log-likelihood over rows; balanced, over labels.

    A part may lack labels that the model has.
    """
    probability = model.predict_proba(features)  # type: ignore[attr-defined]
    columns = np.searchsorted(model.classes_, truth)  # type: ignore[attr-defined]
    of_truth = probability[np.arange(len(truth)), columns]
    logs = np.log(np.maximum(of_truth, _LEAST))
    if balanced:
        return float(np.mean([logs[truth == label].mean() for label in np.unique(truth)]))
    return float(logs.mean())


def _fit_numbers(
    scores: np.ndarray, of: NumberPredictions, groups: Sequence[str | None] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (A, M) and bias (A,), fitted on the rows whose truth is known."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GroupKFold

    weights, biases = [], []
    for axis, name in enumerate(of.names):
        truth = of.truth[:, axis]
        rows = ~np.isnan(truth)
        if int(rows.sum()) < 2 * len(scores):
            raise UsageError(
                f"--combine stack: the split that it is fitted on has {int(rows.sum())} rows with "
                f"{name}; use mean",
                "stack-too-few",
            )
        features, truth = scores[:, rows, axis].T, truth[rows]
        known = [] if groups is None else [groups[row] for row in np.flatnonzero(rows).tolist()]
        n_parts = min(_MOST_PARTS, len(set(known)))
        search = RidgeCV(_STRENGTHS)  # leaves out one row at a time
        if None not in known and n_parts > 1:
            divisions = list(GroupKFold(n_parts).split(features, truth, known))
            search = RidgeCV(_STRENGTHS, scoring="neg_mean_squared_error", cv=divisions)
        fitted = search.fit(features, truth)
        weights.append(fitted.coef_)
        biases.append(float(fitted.intercept_))
    return np.stack(weights), np.array(biases)
