"""A random forest from three numbers to K emotions, whose classes keep the corpus's order."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from data_prep.schema import AXES
from emo_fairseq.errors import UsageError

CLASS_WEIGHTS = ("none", "balanced", "balanced_subsample")


@dataclass(frozen=True)
class Design:
    """What a forest is told before it sees data (Breiman 2001).

    Attributes:
        trees: how many.
        seed: of the rows and axes that each tree draws; one seed gives one forest.
        class_weight: one of `CLASS_WEIGHTS`; balanced weighs a class by the inverse of its share.
        min_samples_leaf: rows in a leaf, at least.
    """

    trees: int = 300
    seed: int = 1
    class_weight: str = "none"
    min_samples_leaf: int = 1

    def check(self) -> None:
        """Raise a `UsageError` for what no forest can be."""
        if self.trees < 1 or self.min_samples_leaf < 1 or not 0 <= self.seed < 2**32:
            raise UsageError(
                f"--trees {self.trees}, --min-samples-leaf {self.min_samples_leaf}, --seed "
                f"{self.seed}: the first two are at least 1, the seed at least 0 and below 2^32"
            )
        if self.class_weight not in CLASS_WEIGHTS:
            raise UsageError(
                f"--class-weight {self.class_weight}: choose one of {', '.join(CLASS_WEIGHTS)}"
            )


@dataclass(frozen=True, eq=False)
class Forest:
    """A fitted forest.

    Attributes:
        model: scikit-learn's; its classes are numbers of `labels`.
        labels: K emotions in the corpus's order.
        axes: the order in which the model reads them.
        about: where it is from, as plain values.
    """

    model: Any
    labels: tuple[str, ...]
    axes: tuple[str, ...]
    about: Mapping[str, Any]

    @property
    def design(self) -> Design:
        """As it was fitted."""
        return Design(**self.about["design"])

    def probabilities(self, vad: np.ndarray) -> np.ndarray:
        """Ask the forest.

        Args:
            vad: (N, 3) in [0, 1], axes in the order of `AXES`, none missing.

        Returns:
            (N, K) float64 in the order of `labels`; 0 for a label that no training row had.
        """
        columns = [AXES.index(axis) for axis in self.axes]
        found = np.zeros((len(vad), len(self.labels)))
        found[:, self.model.classes_] = self.model.predict_proba(vad[:, columns])
        return found


def fit_forest(
    vad: np.ndarray,
    emotions: np.ndarray,
    labels: Sequence[str],
    design: Design,
    about: Mapping[str, Any],
) -> Forest:
    """Fit a forest; the same rows and design give the same one.

    Args:
        vad: (N, 3) in [0, 1], axes in the order of `AXES`, none missing.
        emotions: (N,) numbers of `labels`.
        labels: K names.
        design: see :class:`Design`.
        about: plain values to keep with it.

    Raises:
        UsageError: an impossible design, or fewer than two emotions in the rows.
    """
    design.check()
    if len(present := np.unique(emotions)) < 2:
        raise UsageError(f"{len(present)} emotions among {len(emotions)} rows: two are needed")
    model = RandomForestClassifier(
        n_estimators=design.trees,
        class_weight=None if design.class_weight == "none" else design.class_weight,
        min_samples_leaf=design.min_samples_leaf,
        random_state=design.seed,
        n_jobs=1,  # several would add probabilities up in the order in which they come
    ).fit(vad, emotions)
    counts = np.bincount(emotions, minlength=len(labels)).tolist()
    facts = {
        **about,
        "design": asdict(design),
        "rows": len(emotions),
        "rows_by_label": dict(zip(labels, counts, strict=True)),
    }
    return Forest(model, tuple(labels), AXES, facts)
