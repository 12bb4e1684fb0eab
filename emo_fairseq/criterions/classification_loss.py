"""The primary loss of labels, and of annotators' votes for them."""

import functools
from dataclasses import dataclass

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.primary_loss import check_kind, try_options
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.errors import UsageError
from emo_fairseq.metrics import shares
from emo_fairseq.options.conditions import (
    PREDICTS_DISTRIBUTION,
    PREDICTS_LABELS,
    PREDICTS_ONE_LABEL,
    Condition,
)
from emo_fairseq.options.option import NOT_NEGATIVE, PROBABILITY, Range, option
from emo_fairseq.targets import TargetKind

_DIFFICULTY = "difficulty"  # of --class-weighting
_CROSS_ENTROPY, _KL = _DISTRIBUTION_LOSSES = ("cross_entropy", "kl")


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
        "share of the target probability that is spread over all classes",
        within=Range(0, most=1),
        acts=PREDICTS_LABELS,
    )
    focal_gamma: float = option(
        0.0,
        "gamma of the focal loss: larger numbers weight hard utterances more (0: cross-entropy)",
        within=NOT_NEGATIVE,
        acts=(PREDICTS_LABELS, PREDICTS_ONE_LABEL),
    )
    distribution_loss: ChoiceEnum(_DISTRIBUTION_LOSSES) = option(  # type: ignore[valid-type]
        _CROSS_ENTROPY,
        "loss of annotators' votes: kl leaves out the entropy of the votes, so that it is 0 at a "
        "perfect prediction; the gradient is the same",
        acts=PREDICTS_DISTRIBUTION,
    )


class ClassificationLoss:
    """Cross-entropy over K labels, or over K yes/no questions, summed over utterances.

    The target is a label, or the shares of annotators' votes for each. The mean is weighted:
    divided by the sum of the utterances' class weights, as torch does; the weight of an utterance
    with votes is the mean of the class weights by its shares.
    """

    kinds = frozenset(
        {TargetKind.CATEGORICAL, TargetKind.DISTRIBUTION, TargetKind.BINARY_PER_LABEL}
    )
    likelihood = losses.Likelihood.SOFTMAX

    def __init__(self, cfg: ClassificationLossConfig, task: EmotionTask) -> None:
        check_kind(task, self.kinds)
        if cfg.focal_gamma and cfg.label_smoothing:
            raise UsageError(
                "--focal-gamma and --label-smoothing cannot be combined; choose one",
                "options-conflict",
            )
        self.binary = task.target.kind is TargetKind.BINARY_PER_LABEL
        self.is_soft = task.target.kind is TargetKind.DISTRIBUTION
        try:
            self.class_weights = self._class_weights(cfg, task)
        except UsageError:
            raise
        except ValueError as error:
            raise UsageError(
                f"--class-weighting {cfg.class_weighting}: {error}", "class-weights-undefined"
            ) from error
        self.mean_weight = self._mean_weight(task)
        no_truth = torch.zeros(1, dtype=torch.long)
        if self.is_soft:
            is_kl = str(cfg.distribution_loss) == _KL
            self.row_loss = functools.partial(
                losses.soft_divergence if is_kl else losses.soft_cross_entropy,
                label_smoothing=cfg.label_smoothing,
            )
            no_truth = torch.full((1, 1 + task.n_outputs), 1.0 / task.n_outputs)
        elif cfg.focal_gamma:
            self.row_loss = functools.partial(losses.focal, gamma=cfg.focal_gamma)
        else:
            self.row_loss = functools.partial(
                losses.cross_entropy, label_smoothing=cfg.label_smoothing
            )
        try_options(self, no_truth, task.n_outputs)

    def _class_weights(self, cfg: ClassificationLossConfig, task: EmotionTask) -> Tensor | None:
        if cfg.class_weighting == "none":
            return None
        if self.binary:
            raise UsageError(
                "--class-weighting weights the classes of one target, and yes/no questions have "
                "none; use --focal-gamma, or --target emotion",
                "class-weighting-unsupported",
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

    def losses(self, logits: Tensor, truth: Tensor) -> Tensor:
        if self.binary:
            return losses.binary_pairs(logits, truth, self.row_loss)
        if self.is_soft:
            truth = shares(truth)
        return self.row_loss(logits, truth, class_weights=self.class_weights)

    def weights(self, truth: Tensor) -> Tensor | None:
        if self.class_weights is None:
            return None
        of_classes = self.class_weights.to(truth.device)
        return shares(truth).to(of_classes) @ of_classes if self.is_soft else of_classes[truth]
