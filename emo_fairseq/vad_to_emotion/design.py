"""The hyperparameters of a forest, apart from scikit-learn, which takes a second to import."""

from dataclasses import dataclass

from emo_fairseq.errors import UsageError

CLASS_WEIGHTS = ("none", "balanced", "balanced_subsample")


@dataclass(frozen=True)
class Design:
    """The hyperparameters of a forest (Breiman 2001).

    Attributes:
        trees: their number.
        seed: of the rows and axes that each tree draws; one seed gives one forest.
        class_weight: one of `CLASS_WEIGHTS`; balanced weighs a class by the inverse of its share.
        min_samples_leaf: rows in a leaf, at least.
    """

    trees: int = 300
    seed: int = 1
    class_weight: str = "none"
    min_samples_leaf: int = 1

    def check(self) -> None:
        """Raise a `UsageError` for values out of range."""
        if self.trees < 1 or self.min_samples_leaf < 1 or not 0 <= self.seed < 2**32:
            raise UsageError(
                f"--trees {self.trees}, --min-samples-leaf {self.min_samples_leaf}, --seed "
                f"{self.seed}: the first two are at least 1, the seed at least 0 and below 2^32",
                "forest-design-invalid",
            )
        if self.class_weight not in CLASS_WEIGHTS:
            raise UsageError(
                f"--class-weight {self.class_weight}: choose one of {', '.join(CLASS_WEIGHTS)}",
                "forest-design-invalid",
            )
