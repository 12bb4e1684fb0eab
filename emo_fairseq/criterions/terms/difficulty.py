"""The difficulty of utterances: their distance to the prototypes of their classes in VAD space."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from emo_fairseq.criterions.gathering import gather_rows
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.data.annotations import vad_values
from emo_fairseq.losses.prototypes import moving_prototypes, prototype_distance
from emo_fairseq.training.learning_rates import options_of

FIXED, EMA, TRAINED = "fixed", "ema", "trained"
LEARNING = (FIXED, EMA, TRAINED)


class Difficulty(nn.Module):
    """The distance of utterances to the prototypes of their classes in VAD space.

    A checkpoint has the prototypes: moving averages in the task's state, trained ones among the
    criterion's parameters.

    Args:
        task: has ``class_prototypes``, which have been read.
        learning: of the prototypes: "fixed"; "ema", each batch moves them towards its class means;
            or "trained" by gradient, towards the points of least mean distance.
        momentum: of "ema".
    """

    def __init__(self, task: EmotionTask, learning: str, momentum: float) -> None:
        super().__init__()
        self.prototypes, self.learning, self.momentum = task.class_prototypes, learning, momentum
        task.annotate("vad", vad_values)
        task.annotate("prototype_scope", self.prototypes.scopes)
        self.trained = None
        if learning == TRAINED:
            self.trained = nn.Parameter(self.prototypes.values.float())
            options_of(self.trained)["weight_decay_scale"] = 0.0  # 0 is a corner of the VAD space

    def forward(self, annotations: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Return (B,) difficulties, NaN = unknown, for the annotations and (B,) class ids."""
        of_scopes = self.prototypes.values if self.trained is None else self.trained
        vad = annotations["vad"]
        prototypes = of_scopes.to(vad)[annotations["prototype_scope"]]  # (B, K, 3)
        return prototype_distance(vad, labels, prototypes)

    def update(self, annotations: Mapping[str, Tensor], labels: Tensor) -> None:
        """Move the averages of "ema" towards the class means of the batches of all ranks."""
        if self.learning != EMA:
            return
        columns = [annotations["vad"], annotations["prototype_scope"], labels]
        (vad, scopes, classes), _ = gather_rows(columns)
        of_corpora = self.prototypes.values.to(vad)  # (S, K, 3), the last for all corpora
        own = [torch.where(scopes == scope, classes, -1) for scope in range(len(of_corpora) - 1)]
        moved = [
            moving_prototypes(prototypes, vad, own_classes, self.momentum)
            for prototypes, own_classes in zip(of_corpora, [*own, classes], strict=True)
        ]
        self.prototypes.values = torch.stack(moved)
