"""The primary loss of a criterion: one number an utterance from its logits and its truth."""

from typing import Protocol

import torch
from torch import Tensor

from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.errors import UsageError
from emo_fairseq.losses import Likelihood
from emo_fairseq.types import TargetKind


class PrimaryLoss(Protocol):
    """What :class:`emo_fairseq.criterions.emotion_criterion.EmotionCriterion` minimizes.

    Attributes:
        likelihood: of which it is the negative logarithm.
        mean_weight: what an utterance of the train split counts in the mean loss, on average: 1
            without class weights. Terms multiply their utterances by it, so that theirs is a mean
            over utterances beside a mean that is weighted.
    """

    likelihood: Likelihood
    mean_weight: float

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """(B, n_outputs) and the target -> (B,) loss of each utterance."""

    def weights(self, target: Tensor) -> Tensor | None:
        """What each utterance counts in the mean loss, (B,); None = 1 each."""


def check_serves(task: EmotionTask, kinds: frozenset[TargetKind]) -> None:
    """Raise a `UsageError` if the task's target is of another kind."""
    if task.target.kind not in kinds:
        raise UsageError(
            f"--target {task.target.name} is {task.target.kind.value}, which this criterion "
            "does not serve; --criterion emotion_prediction_cri picks the one that does"
        )


def try_options(loss: PrimaryLoss, target: Tensor, n_outputs: int) -> None:
    """Compute a loss at set-up, so that an option out of range is refused before training.

    Raises:
        UsageError: the loss does not take its options.
    """
    try:
        loss.losses(torch.zeros(len(target), n_outputs), target)
    except ValueError as error:
        raise UsageError(f"an option of the loss is out of range: {error}") from error
