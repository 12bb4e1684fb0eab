"""What a primary loss is: one number for each utterance from its logits and its truth."""

from typing import Protocol

import torch
from torch import Tensor

from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.errors import UsageError
from emo_fairseq.losses import Likelihood
from emo_fairseq.targets import TargetKind


class PrimaryLoss(Protocol):
    """The loss that :class:`emo_fairseq.criterions.emotion_criterion.EmotionCriterion` minimizes.

    Attributes:
        likelihood: the loss is its negative logarithm.
        mean_weight: the mean weight of an utterance of the train split in the mean loss: 1 without
            class weights. Terms multiply their losses by it, so that theirs is a plain mean over
            utterances beside a weighted mean.
    """

    likelihood: Likelihood
    mean_weight: float

    def losses(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the (B,) loss of each utterance, of (B, n_outputs) logits and the truth."""

    def weights(self, truth: Tensor) -> Tensor | None:
        """Return the weight of each utterance in the mean loss, (B,); None = 1 each."""


def check_kind(task: EmotionTask, kinds: frozenset[TargetKind]) -> None:
    """Raise a `UsageError` if the task's target is of another kind, or none."""
    if task.target.is_none:
        raise UsageError(
            "--target none: this criterion learns a target; name one, or give --criterion "
            "emotion_pretraining or emotion_masked_lm",
            "criterion-unfit",
        )
    if task.target.kind not in kinds:
        raise UsageError(
            f"--target {task.target.name} is {task.target.kind.value}, which this criterion "
            "has no loss for; use --criterion emotion_prediction_cri, which has",
            "criterion-unfit",
        )


def try_options(loss: PrimaryLoss, truth: Tensor, n_outputs: int) -> None:
    """Compute a loss at set-up, so that an option out of range is refused before training.

    Raises:
        UsageError: the loss does not take its options.
    """
    try:
        loss.losses(torch.zeros(len(truth), n_outputs), truth)
    except ValueError as error:
        raise UsageError(
            f"an option of the loss is out of range: {error}", "option-out-of-range"
        ) from error
