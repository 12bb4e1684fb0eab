"""How sure the model is of the truth of every row it is trained on, before an epoch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from fairseq.distributed import utils as distributed_utils
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.tasks.predicting import predict_rows
from emo_fairseq.types import TargetKind

_EPOCH, _VALUES = "epoch", "values"


class ModelConfidence:
    """Asks the model once an epoch, in evaluation, for every row of the train split.

    The answers to the last question lie in the task's state: a training that is resumed in the
    middle of an epoch has another model by then, and needs those that the epoch began with.

    Args:
        task: its ``build_train_view()`` gives the rows as they are, its state keeps the answers.
        model: in training.
    """

    def __init__(self, task: Any, model: Any) -> None:
        self._task, self._model = task, model

    def __call__(self, epoch: int) -> np.ndarray | None:
        """(N,) log-probability of the truth, or less its squared error; None before epoch 2."""
        kept = self._task.state.confidence
        if kept.get(_EPOCH) != epoch:
            if epoch == 1:
                return None
            kept.update({_EPOCH: epoch, _VALUES: self._ask()})
        return kept[_VALUES].numpy()

    def _ask(self) -> Tensor:
        dataset = self._task.build_train_view()
        world = distributed_utils.get_data_parallel_world_size()
        rank = distributed_utils.get_data_parallel_rank() if world > 1 else 0
        device = next(self._model.parameters()).device
        rows, outputs = predict_rows(self._model, dataset, device, slice(rank, None, world))
        confidence = torch.zeros(len(dataset), dtype=torch.float64, device=device)
        if len(rows):  # of fewer rows than ranks, some have none
            truth = torch.stack([dataset.defn["target"][int(row)] for row in rows])
            row_loss = _ROW_LOSSES[self._task.target.kind]
            confidence[rows] = -row_loss(torch.from_numpy(outputs), truth).to(device)
        if world > 1:
            group = distributed_utils.get_data_parallel_group()
            torch.distributed.all_reduce(confidence, group=group)
        return confidence.cpu()


_ROW_LOSSES: Mapping[TargetKind, Callable[[Tensor, Tensor], Tensor]] = {
    TargetKind.CATEGORICAL: losses.cross_entropy,
    TargetKind.BINARY_PER_LABEL: losses.binary_pairs,
    TargetKind.CONTINUOUS: losses.squared_error,
}
