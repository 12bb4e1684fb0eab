"""Initialize heads of numbers with the mean and the deviation of their truth in the train split."""

import numpy as np
import torch

from emo_fairseq.data.annotations import truth_array
from emo_fairseq.data.manifest import Split
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.modules.heads import LinearHead
from emo_fairseq.targets import LabeledTarget
from emo_fairseq.task_state import TaskState


def initialize_heads(model: RobertaEMOModel, state: TaskState, train: Split) -> None:
    """Set the heads of VAD and of sentiment scores, primary and auxiliary ones, in place.

    Rows of the train split without truth do not count.
    """
    _initialize(model.head, LabeledTarget(state.target, state.labels), train)
    for name, other in state.auxiliary.items():
        head = model.auxiliary_heads[name]
        assert isinstance(head, LinearHead)
        _initialize(head, other, train)


def _initialize(head: LinearHead, predicted: LabeledTarget, train: Split) -> None:
    if predicted.target.has_labels:
        return
    truth = truth_array(train, predicted.target, predicted.labels)  # (N, A)
    known = [axis[~np.isnan(axis)] for axis in truth.T]
    mean = torch.tensor([axis.mean() if len(axis) else torch.nan for axis in known])
    std = torch.tensor([axis.std() if len(axis) else torch.nan for axis in known])
    head.start_at(mean, std)
