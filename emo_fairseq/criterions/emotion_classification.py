"""Criterion ``emotion_classification``: cross-entropy and its weighted and focal forms."""

import functools
from dataclasses import dataclass

import torch
from fairseq.criterions import register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.primary import check_serves, try_options
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.criterions.terms.options import TermsConfig, build_terms
from emo_fairseq.errors import UsageError
from emo_fairseq.options.conditions import PREDICTS_LABELS, Condition
from emo_fairseq.options.option import NOT_NEGATIVE, PROBABILITY, Range, option
from emo_fairseq.types import TargetKind

_DIFFICULTY = "difficulty"  # of --class-weighting


_IS_EFFECTIVE_NUMBER = Condition(
    lambda context: str(context.criterion.class_weighting) == "effective_number",
    "--class-weighting is not effective_number",
    needs="criterion",
)


@dataclass
class ClassificationLossConfig(FairseqDataclass):
    """How labels and utterances are weighted in the loss."""

    class_weighting: ChoiceEnum([*losses.CLASS_WEIGHTINGS, _DIFFICULTY]) = option(  # type: ignore[valid-type]
        "none",
        "weight of a class in the loss, by its count in the train split; difficulty: and by how "
        "far its utterances are from its VAD prototype",
        acts=PREDICTS_LABELS,
    )
    effective_number_beta: float = option(
        0.999,
        "beta of --class-weighting effective_number",
        within=PROBABILITY,
        acts=(PREDICTS_LABELS, _IS_EFFECTIVE_NUMBER),
    )
    label_smoothing: float = option(
        0.0,
        "share of the target spread over all classes",
        within=Range(0, most=1),
        acts=PREDICTS_LABELS,
    )
    focal_gamma: float = option(
        0.0,
        "focus of the focal loss on hard utterances (0: none)",
        within=NOT_NEGATIVE,
        acts=PREDICTS_LABELS,
    )


class ClassificationLoss:
    """Cross-entropy over K labels, or over K yes/no questions, summed over utterances.

    The mean is weighted: divided by the sum of the utterances' class weights, as torch does.
    """

    serves = frozenset({TargetKind.CATEGORICAL, TargetKind.BINARY_PER_LABEL})
    likelihood = losses.Likelihood.SOFTMAX

    def __init__(self, cfg: ClassificationLossConfig, task: EmotionTask) -> None:
        check_serves(task, self.serves)
        if cfg.focal_gamma and cfg.label_smoothing:
            raise UsageError("--focal-gamma and --label-smoothing cannot be combined; choose one")
        self.binary = task.target.kind is TargetKind.BINARY_PER_LABEL
        try:
            self.class_weights = self._class_weights(cfg, task)
        except UsageError:
            raise
        except ValueError as error:
            raise UsageError(f"--class-weighting {cfg.class_weighting}: {error}") from error
        self.mean_weight = self._mean_weight(task)
        if cfg.focal_gamma:
            self.row_loss = functools.partial(losses.focal, gamma=cfg.focal_gamma)
        else:
            self.row_loss = functools.partial(
                losses.cross_entropy, label_smoothing=cfg.label_smoothing
            )
        try_options(self, torch.zeros(1, dtype=torch.long), task.n_outputs)

    def _class_weights(self, cfg: ClassificationLossConfig, task: EmotionTask) -> Tensor | None:
        if cfg.class_weighting == "none":
            return None
        if self.binary:
            raise UsageError(
                "--class-weighting weighs labels against each other, which yes/no questions do "
                "not do; use --focal-gamma, or --target emotion"
            )
        counts = torch.tensor(task.class_counts)
        if cfg.class_weighting == _DIFFICULTY:
            return losses.class_weights_from_difficulty(counts, task.class_difficulties())
        return losses.class_weights_from_counts(
            counts, cfg.class_weighting, cfg.effective_number_beta
        )

    def _mean_weight(self, task: EmotionTask) -> float:
        if self.class_weights is None:
            return 1.0
        counts = torch.tensor(task.class_counts, dtype=torch.float64)
        return float(counts @ self.class_weights.double() / counts.sum())

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.binary:
            return losses.binary_pairs(logits, target, self.row_loss)
        return self.row_loss(logits, target, class_weights=self.class_weights)

    def weights(self, target: Tensor) -> Tensor | None:
        return None if self.class_weights is None else self.class_weights.to(target.device)[target]


@dataclass
class EmotionClassificationConfig(ClassificationLossConfig, TermsConfig):
    """The loss of labels, and what is added to it."""


@register_criterion("emotion_classification", dataclass=EmotionClassificationConfig)
class EmotionClassificationCriterion(EmotionCriterion):
    """A :class:`ClassificationLoss`."""

    def __init__(self, cfg: EmotionClassificationConfig, task: EmotionTask) -> None:
        super().__init__(task, ClassificationLoss(cfg, task), build_terms(cfg, task))
