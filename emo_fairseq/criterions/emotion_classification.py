"""Criterion ``emotion_classification``: cross-entropy and its weighted and focal forms."""

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.criterions import register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.errors import UsageError
from emo_fairseq.targets import TargetKind


@dataclass
class EmotionClassificationConfig(FairseqDataclass):
    """How labels and utterances are weighed in the loss."""

    class_weighting: ChoiceEnum(list(losses.CLASS_WEIGHTINGS)) = field(  # type: ignore[valid-type]
        default="none",
        metadata={"help": "weight of a class in the loss, by its count in the train split"},
    )
    effective_number_beta: float = field(
        default=0.999, metadata={"help": "beta of --class-weighting effective_number"}
    )
    label_smoothing: float = field(
        default=0.0, metadata={"help": "share of the target spread over all classes"}
    )
    focal_gamma: float = field(
        default=0.0, metadata={"help": "focus of the focal loss on hard utterances (0: none)"}
    )


@register_criterion("emotion_classification", dataclass=EmotionClassificationConfig)
class EmotionClassificationCriterion(EmotionCriterion):
    """Cross-entropy over K labels, or over K yes/no questions, summed over utterances.

    The mean is weighted: divided by the sum of the utterances' class weights, as torch does.
    """

    serves = frozenset({TargetKind.CATEGORICAL, TargetKind.BINARY_PER_LABEL})
    loss_unit = math.log(2)

    def __init__(self, cfg: EmotionClassificationConfig, task: Any) -> None:
        super().__init__(task)
        if cfg.focal_gamma and cfg.label_smoothing:
            raise UsageError("--focal-gamma and --label-smoothing cannot be combined; choose one")
        self.binary = task.target.kind is TargetKind.BINARY_PER_LABEL
        try:
            self.class_weights = self._class_weights(cfg, task)
        except ValueError as error:
            raise UsageError(f"--class-weighting {cfg.class_weighting}: {error}") from error
        if cfg.focal_gamma:
            self.row_loss = functools.partial(losses.focal, gamma=cfg.focal_gamma)
        else:
            self.row_loss = functools.partial(
                losses.cross_entropy, label_smoothing=cfg.label_smoothing
            )
        self.try_options(torch.zeros(1, dtype=torch.long), task.n_outputs)

    def _class_weights(self, cfg: EmotionClassificationConfig, task: Any) -> Tensor | None:
        if cfg.class_weighting == "none":
            return None
        if self.binary:
            raise UsageError(
                "--class-weighting weighs labels against each other, which yes/no questions do "
                "not do; use --focal-gamma, or --target emotion"
            )
        return losses.class_weights_from_counts(
            torch.tensor(task.class_counts), cfg.class_weighting, cfg.effective_number_beta
        )

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.binary:
            return losses.binary_pairs(logits, target, self.row_loss)
        return self.row_loss(logits, target, class_weights=self.class_weights)

    def weights(self, target: Tensor) -> Tensor | None:
        return None if self.class_weights is None else self.class_weights.to(target.device)[target]
