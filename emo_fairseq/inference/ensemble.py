"""Several models as one: each reads what it reads of an item, and their outputs are combined.

:mod:`emo_fairseq.inference.ensemble_folder` reads them from a folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.ensembles import COMBINATIONS, MEAN, STACK, VOTE, Combine, Stacking
from emo_fairseq.inference.engine import Engine, ModelEngine
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.modalities import MODALITIES
from emo_fairseq.targets import TargetKind


@dataclass(frozen=True)
class Combination:
    """How the outputs of the members are combined.

    Attributes:
        name: ``mean``, ``vote`` or ``stack``.
        stacking: of ``stack``.
    """

    name: str
    stacking: Stacking | None = None

    @property
    def how(self) -> Combine:
        """The function of scores (M, N, K)."""
        return COMBINATIONS[self.name] if self.stacking is None else self.stacking


class EnsembleEngine(Engine):
    """Runs several models of one target.

    An item is read by each member that reads any of its modalities. A member that reads none of
    them has no part in the prediction, which then has a warning; a stacking needs all members. The
    embedding of a prediction is that of its members, one after another.

    Args:
        members: by their names.
        combination: of their outputs.
        labels: labels or axes, in the order of a stacking; by default that of the first member.

    Raises:
        UsageError: the members predict different things, or these cannot be combined so.
    """

    def __init__(
        self,
        members: Mapping[str, ModelEngine],
        combination: Combination,
        labels: Sequence[str] | None = None,
    ) -> None:
        (first_name, first), *_ = members.items()
        self.names = tuple(members)
        self.members = tuple(members.values())
        self.device = first.device
        self.modalities = tuple(
            name for name in MODALITIES if any(name in x.modalities for x in self.members)
        )
        self.missing = {
            name: next(x.missing[name] for x in self.members if name in x.missing)
            for name in self.modalities
            if all(name in x.missing for x in self.members if name in x.modalities)
        }
        self.normalizes_text = first.normalizes_text
        order = tuple(first.labels or first.axes) if labels is None else tuple(labels)
        for name, member in members.items():
            _check_same_target(first_name, first, name, member, order)
        self.labels = order if first.labels else ()
        self.axes = order if first.axes else ()
        self.auxiliary = {
            name: axes
            for name, axes in first.auxiliary.items()
            if all(member.auxiliary.get(name) == axes for member in self.members)
        }
        self._combination = _check_combination(combination, first, len(self.members), len(order))

    def combine(
        self, items: Sequence[Item], found: Sequence[Sequence[Prediction | None]]
    ) -> list[Prediction]:
        """Return the combined predictions; see :meth:`Engine.combine`."""
        return [
            self._combine_item(item, list(predictions))
            for item, *predictions in zip(items, *found, strict=True)
        ]

    def _combine_item(self, item: Item, of_members: Sequence[Prediction | None]) -> Prediction:
        predictions = [prediction for prediction in of_members if prediction is not None]
        lacking = [
            name
            for name, prediction in zip(self.names, of_members, strict=True)
            if prediction is None
        ]
        warnings = [warning for prediction in predictions for warning in prediction.warnings]
        if lacking:
            if self._combination.name == STACK:
                raise UsageError(
                    f"{item.name}: the ensemble is stacked, and {' and '.join(lacking)} reads "
                    "nothing of the item; give all inputs",
                    "ensemble-input-missing",
                )
            warnings.append(
                f"{' and '.join(lacking)} of the ensemble reads nothing of the item, and has no "
                "part in the prediction"
            )
        names = self.labels or self.axes
        rows = [prediction.probabilities or prediction.values for prediction in predictions]
        scores = np.array([[[row[name] for name in names]] for row in rows])  # (M, 1, K)
        combined = self._combination.how(scores)[0].tolist()
        by_name = dict(zip(names, combined, strict=True))
        return Prediction(
            label=max(by_name, key=lambda name: by_name[name]) if self.labels else None,
            probabilities=by_name if self.labels else {},
            values={} if self.labels else by_name,
            auxiliary={name: _mean_of(name, predictions) for name in self.auxiliary},
            embedding=np.concatenate([prediction.embedding for prediction in predictions]),
            modalities=tuple(
                name for name in self.modalities if any(name in x.modalities for x in predictions)
            ),
            text=item.text,
            seconds=item.seconds,
            transcript=item.transcript,
            warnings=tuple(dict.fromkeys(warnings)),
            truncations=tuple(
                dict.fromkeys(x for prediction in predictions for x in prediction.truncations)
            ),
        )


def _mean_of(name: str, predictions: Sequence[Prediction]) -> dict[str, float]:
    """Return the mean outputs of an auxiliary target."""
    rows = [prediction.auxiliary[name] for prediction in predictions]
    return {axis: float(np.mean([row[axis] for row in rows])) for axis in rows[0]}


def _check_same_target(
    first_name: str, first: ModelEngine, name: str, member: ModelEngine, order: Sequence[str]
) -> None:
    names = member.labels or member.axes
    if member.target.target != first.target.target or {*names} != {*order}:
        raise UsageError(
            f"{name} predicts {', '.join(names)}, and {first_name} {', '.join(order)}; combine "
            "models of one target and one set of labels",
            "combine-targets-differ",
        )
    if member.normalizes_text != first.normalizes_text:
        raise UsageError(
            f"{name} and {first_name}: one was trained on normalized texts, and the other was not; "
            "combine models that were trained on the same texts",
            "combine-texts-differ",
        )


def _check_combination(
    combination: Combination, first: ModelEngine, n_members: int, n_labels: int
) -> Combination:
    kind = first.target.target.kind
    name, stacking = combination.name, combination.stacking
    if name == VOTE and not first.labels:
        raise UsageError(
            "vote: the models predict numbers, which have no votes; use mean or stack",
            "combine-unsupported",
        )
    if name != MEAN and kind is TargetKind.BINARY_PER_LABEL:
        raise UsageError(
            f"{name}: the models answer a yes/no question for each label; use mean",
            "combine-unsupported",
        )
    if (name == STACK) != (stacking is not None):
        raise UsageError(f"{name}: the numbers of a stacking are missing", "ensemble-invalid")
    if stacking is None:
        return combination
    n_features = n_members * n_labels if first.labels else n_members
    if stacking.weight.shape != (n_labels, n_features) or stacking.bias.shape != (n_labels,):
        raise UsageError(
            f"the stacking is of shape {tuple(stacking.weight.shape)}, where {n_members} models "
            f"and {n_labels} outputs have ({n_labels}, {n_features})",
            "ensemble-invalid",
        )
    return Combination(name, Stacking(stacking.weight, stacking.bias, bool(first.labels)))
