"""The classes that a contrastive loss and prototypes tell apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emo_fairseq.data.manifest import Split, truth_array
from emo_fairseq.types import (
    TARGETS,
    Target,
)


@dataclass(frozen=True)
class Classes:
    """A label column and its labels.

    Attributes:
        target: of labels; the primary one, or "emotion" beside a target of numbers.
        names: in the order of their ids.
    """

    target: Target
    names: Sequence[str]

    @property
    def column(self) -> str:
        """Of the manifest."""
        return self.target.columns[0]

    def ids(self, split: Split) -> np.ndarray:
        """(N,) int64 class ids, -1 = missing."""
        return truth_array(split, self.target, self.names)


def target_of_classes(target: Target) -> Target:
    """The target itself if it has labels, and emotions else."""
    return target if target.has_labels else TARGETS["emotion"]
