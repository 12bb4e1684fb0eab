"""The confidence of the model in the truth of every row of the train split, before an epoch."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from fairseq.distributed import utils as distributed_utils
from fairseq.tasks.fairseq_task import StatefulContainer
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.data.dialogue_dataset import EmotionDataset
from emo_fairseq.metrics import shares
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.targets import TargetKind
from emo_fairseq.tasks.predicting import predict_rows

_EPOCH, _VALUES = "epoch", "values"


class ModelConfidence:
    """Scores every row of the train split with the model in evaluation, once an epoch.

    The last scores are kept in the task's state: a training that is resumed in the middle of an
    epoch has another model by then, and needs those that the epoch began with.

    Args:
        model: in training.
        kind: of its target.
        state: of the task; its ``confidence`` keeps the scores.
        build_train_split: builds the dataset of the train split in order, and not augmented.
    """

    def __init__(
        self,
        model: RobertaEMOModel,
        kind: TargetKind,
        state: StatefulContainer,
        build_train_split: Callable[[], EmotionDataset],
    ) -> None:
        self._model, self._row_loss, self._state = model, _ROW_LOSSES[kind], state
        self._build_train_split = build_train_split

    def __call__(self, epoch: int) -> np.ndarray | None:
        """Return (N,) log-probabilities of the truth, or -squared errors; None before epoch 2."""
        kept = self._state.confidence
        if kept.get(_EPOCH) != epoch:
            if epoch == 1:
                return None
            kept.update({_EPOCH: epoch, _VALUES: self._score()})
        return kept[_VALUES].numpy()

    def _score(self) -> Tensor:
        dataset = self._build_train_split()
        world = distributed_utils.get_data_parallel_world_size()
        rank = distributed_utils.get_data_parallel_rank() if world > 1 else 0
        device = next(self._model.parameters()).device
        rows, outputs = predict_rows(self._model, dataset, device, slice(rank, None, world))
        confidence = torch.zeros(len(dataset), dtype=torch.float64, device=device)
        if len(rows):  # of fewer rows than ranks, some have none
            truth = dataset.truth(rows)
            confidence[rows] = -self._row_loss(torch.from_numpy(outputs), truth).to(device)
        if world > 1:
            group = distributed_utils.get_data_parallel_group()
            torch.distributed.all_reduce(confidence, group=group)
        return confidence.cpu()


_ROW_LOSSES: Mapping[TargetKind, Callable[[Tensor, Tensor], Tensor]] = {
    TargetKind.CATEGORICAL: losses.cross_entropy,
    TargetKind.DISTRIBUTION: lambda logits, truth: losses.soft_cross_entropy(logits, shares(truth)),
    TargetKind.BINARY_PER_LABEL: losses.binary_pairs,
    TargetKind.CONTINUOUS: losses.squared_error,
}
