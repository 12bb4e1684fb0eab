"""What can be predicted: the values of ``--target`` and ``--auxiliary-targets``."""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.manifest.columns import AXES, KNOWN_COLUMNS
from emo_fairseq.errors import UsageError


class TargetKind(enum.Enum):
    """The form of a target: it decides the head's width, the loss and the metrics."""

    CATEGORICAL = "categorical"  # one of K labels: K logits
    DISTRIBUTION = "distribution"  # the shares of annotators' votes for K labels: K logits
    BINARY_PER_LABEL = "binary_per_label"  # K yes/no questions: 2 K logits, (no, yes) per label
    CONTINUOUS = "continuous"  # A real numbers: A values


@dataclass(frozen=True)
class Target:
    """One row of :data:`TARGETS`.

    Attributes:
        name: the value of ``--target``.
        kind: see :class:`TargetKind`.
        columns: the manifest columns that hold the truth; for labels exactly one.
        label_column: the one whose labels corpus.yaml names, and that has the majority label of a
            distribution; None for numbers.
        letter: its abbreviation in the names of model folders; E and S are those of BERT-like.
    """

    name: str
    kind: TargetKind
    columns: tuple[str, ...]
    letter: str

    @property
    def label_column(self) -> str | None:
        if self.kind is TargetKind.DISTRIBUTION:
            return "emotion"
        return self.columns[0] if self.has_labels else None

    @property
    def has_labels(self) -> bool:
        """True if labels are predicted, False if a number for each column."""
        return self.kind is not TargetKind.CONTINUOUS

    @property
    def is_none(self) -> bool:
        """Whether nothing is predicted: see :data:`UNLABELED`."""
        return not self.columns

    def n_outputs(self, n_labels: int) -> int:
        """Return the width of the head, given the number of labels (unused for numbers)."""
        if self.kind in (TargetKind.CATEGORICAL, TargetKind.DISTRIBUTION):
            return n_labels
        if self.kind is TargetKind.BINARY_PER_LABEL:
            return 2 * n_labels
        return len(self.columns)

    def check_num_classes(self, num_classes: int, labels: Sequence[str]) -> None:
        """Refuse a ``--num-classes`` that does not fit; a negative one is taken from the labels.

        Raises:
            UsageError: the number differs from what the target and its labels need.
        """
        needed = self.n_outputs(len(labels))
        if num_classes >= 0 and num_classes != needed:
            names = ", ".join(labels) if self.has_labels else ", ".join(self.columns)
            raise UsageError(
                f"--num-classes {num_classes} does not fit --target {self.name}, which has "
                f"{needed} outputs ({names}); give --num-classes {needed} or leave it out",
                "num-classes-mismatch",
            )


@dataclass(frozen=True)
class LabeledTarget:
    """A target, and the names of its labels or axes."""

    target: Target
    labels: Sequence[str]

    @property
    def n_outputs(self) -> int:
        """Width of its head."""
        return self.target.n_outputs(len(self.labels))


def auxiliary_targets(names: str | None, primary: Target) -> list[Target]:
    """Parse ``--auxiliary-targets``.

    A name that is not of :data:`TARGETS` is that of a column of the manifest, whose values are the
    labels.

    >>> [target.name for target in auxiliary_targets("vad,gender", TARGETS["emotion"])]
    ['vad', 'gender']

    Args:
        names: joined by commas; None for none.
        primary: what is predicted anyway.

    Raises:
        UsageError: a name that can be no target, occurs twice, or is what is predicted anyway.
    """
    targets: list[Target] = []
    for name in (word.strip() for word in (names or "").split(",") if word.strip()):
        target = TARGETS.get(name) or _target_of_column(name)
        if target is None or target.kind in _PRIMARY_ONLY:
            others = [t.name for t in TARGETS.values() if t.kind not in _PRIMARY_ONLY]
            raise UsageError(
                f"--auxiliary-targets {names}: {name!r} is not one of {', '.join(others)}, and no "
                "column of labels",
                "target-unknown",
            )
        if target in targets or target.columns == primary.columns:
            raise UsageError(
                f"--auxiliary-targets {names}: {name} is predicted anyway; leave it out",
                "target-twice",
            )
        targets.append(target)
    return targets


def predicts_numbers(name: str) -> bool:
    """Return whether the target of this name is of numbers; that of a column is of labels.

    >>> predicts_numbers("vad"), predicts_numbers("gender")
    (True, False)
    """
    return name in TARGETS and not TARGETS[name].has_labels


def _target_of_column(name: str) -> Target | None:
    """Return the target of a column of labels; None if it holds others, or has no such name."""
    if not _COLUMN_NAME.fullmatch(name) or (name in KNOWN_COLUMNS and name not in _GROUP_COLUMNS):
        return None
    return Target(name, TargetKind.CATEGORICAL, (name,), "")


_COLUMN_NAME = re.compile(r"[A-Za-z_][\w-]*")
_GROUP_COLUMNS = ("speaker", "session", "corpus")  # of the known ones, those that name groups
_PRIMARY_ONLY = (TargetKind.BINARY_PER_LABEL, TargetKind.DISTRIBUTION)  # never auxiliary

# A new target is a new row: the columns that are read, the width of the head, the loss and the
# metrics follow from it.
TARGETS = {
    target.name: target
    for target in (
        Target("emotion", TargetKind.CATEGORICAL, ("emotion",), "E"),
        Target("emotion_distribution", TargetKind.DISTRIBUTION, ("votes",), "D"),
        Target("sentiment", TargetKind.CATEGORICAL, ("sentiment",), "S"),
        Target("binary_emotion", TargetKind.BINARY_PER_LABEL, ("emotion",), "B"),
        Target("sentiment_score", TargetKind.CONTINUOUS, ("sentiment_score",), "R"),
        Target("vad", TargetKind.CONTINUOUS, AXES, "V"),
    )
}
# Nothing is predicted: of models that are pretrained on rows without labels.
UNLABELED = Target("none", TargetKind.CONTINUOUS, (), "U")
