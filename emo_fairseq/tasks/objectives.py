"""What criterions ask their task for, beyond the batches it makes."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from emo_fairseq.data.annotations import (
    Classes,
    target_of_classes,
)
from emo_fairseq.data.data_dir import TRAIN
from emo_fairseq.data.fit import fit_labels
from emo_fairseq.data.manifest import Split
from emo_fairseq.tasks import teachers
from emo_fairseq.tasks.class_prototypes import ClassPrototypes
from emo_fairseq.tasks.datasets import build_split
from emo_fairseq.tasks.settled_state import SettledState


class Objectives(SettledState):
    """Prototypes of the classes, annotations of the train split, and teachers."""

    @functools.cached_property
    def class_prototypes(self) -> ClassPrototypes:
        """Of the classes of the target, or of the emotions beside a target of numbers."""
        target = target_of_classes(self.target)
        names = self.labels if self.target.has_labels else fit_labels(self.source, target)
        classes = Classes(target, names)
        return ClassPrototypes(self.cfg, self.source.folder, self.state, classes, self.take)

    def class_difficulties(self) -> Tensor:
        """(K,) mean distance of each class's rows of the train split to its prototype."""
        if self.trains:
            self.class_prototypes.require("--class-weighting difficulty")
            return self.class_prototypes.class_means(self.train_split())
        return self.state.prototypes["class_means"]

    def train_split(self) -> Split:
        """The rows of the train split."""
        return self.source.split(TRAIN)

    def build_train_view(self) -> Any:
        """The train split's dataset as scoring sees it: in order, and not augmented."""
        return build_split(self, TRAIN, for_training=False)

    def annotate(self, name: str, provide: Callable[[Split], np.ndarray]) -> None:
        """Let the batches of the train split carry something of each utterance.

        Called by criterions, which fairseq builds before it loads any split.

        Args:
            name: in ``sample["annotations"]``.
            provide: from a split to an array (N, ...).
        """
        self.annotators[name] = provide

    def teacher_from_predictions(self, path: str) -> Callable[[Split], np.ndarray]:
        """See :func:`emo_fairseq.tasks.teachers.teacher_from_predictions`."""
        return teachers.teacher_from_predictions(path, self)

    def teacher_from_checkpoint(self, path: str, data: str | None) -> Callable[[Split], np.ndarray]:
        """See :func:`emo_fairseq.tasks.teachers.teacher_from_checkpoint`."""
        return teachers.teacher_from_checkpoint(path, data, self)
