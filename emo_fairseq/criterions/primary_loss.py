"""Primary losses: one number for each utterance from its logits and its truth."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import List, Optional, Protocol

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.errors import UsageError
from emo_fairseq.losses import Likelihood
from emo_fairseq.metrics import shares
from emo_fairseq.options.conditions import (
    PREDICTS_DISTRIBUTION,
    PREDICTS_LABELS,
    PREDICTS_NUMBERS,
    PREDICTS_ONE_LABEL,
    Condition,
)
from emo_fairseq.options.option import NOT_NEGATIVE, PROBABILITY, Range, option
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


# -- labels ----------------------------------------------------------------------------------------

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
        _check_kind(task, self.kinds)
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
        _try_options(self, no_truth, task.n_outputs)

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


# -- numbers ---------------------------------------------------------------------------------------


@dataclass
class RegressionLossConfig(FairseqDataclass):
    """Which losses are mixed, and how the axes are weighted."""

    regression_loss: str = option(
        "mse",
        "loss of numbers: mse, l1, ccc, or a mixture such as 0.5*mse+0.5*ccc",
        acts=PREDICTS_NUMBERS,
    )
    axis_weights: Optional[List[float]] = option(
        None,
        "weight of each axis in the order of the target's columns (default: equal)",
        acts=PREDICTS_NUMBERS,
    )


class RegressionLoss:
    """A mixture of losses over A real numbers, averaged over the axes.

    The CCC term is 1 - CCC over the batch; it is added once for each utterance, so that
    fairseq's division by their number cancels out. A missing truth adds nothing.
    """

    kinds = frozenset({TargetKind.CONTINUOUS})
    mean_weight = 1.0

    def __init__(self, cfg: RegressionLossConfig, task: EmotionTask) -> None:
        _check_kind(task, self.kinds)
        self.mixture = parse_mixture(cfg.regression_loss)
        is_squared = list(self.mixture) == ["mse"]
        self.likelihood = losses.Likelihood.GAUSSIAN if is_squared else losses.Likelihood.SOFTMAX
        self.axis_weights = cfg.axis_weights and list(cfg.axis_weights)
        if self.axis_weights and len(self.axis_weights) != task.n_outputs:
            raise UsageError(
                f"--axis-weights has {len(self.axis_weights)} numbers, but --target "
                f"{task.target.name} has the axes {', '.join(task.target.columns)}",
                "axis-weights-mismatch",
            )
        _try_options(self, torch.zeros(1, task.n_outputs), task.n_outputs)

    def losses(self, logits: Tensor, truth: Tensor) -> Tensor:
        terms = [
            weight * _LOSSES[name](logits, truth, self.axis_weights)
            for name, weight in self.mixture.items()
        ]
        return torch.stack(terms).sum(dim=0)

    def weights(self, truth: Tensor) -> None:
        """Each utterance counts the same."""


def _concordance(values: Tensor, truth: Tensor, axis_weights: Optional[List[float]]) -> Tensor:
    loss = losses.axis_mean(losses.concordance_loss(values, truth), axis_weights)
    return loss.expand(len(values))


_LOSSES: Mapping[str, Callable[[Tensor, Tensor, Optional[List[float]]], Tensor]] = {
    "mse": losses.squared_error,
    "l1": losses.absolute_error,
    "ccc": _concordance,
}


def parse_mixture(text: str) -> dict[str, float]:
    """Read ``--regression-loss``.

    >>> parse_mixture("0.5*mse+ccc")
    {'mse': 0.5, 'ccc': 1.0}

    Raises:
        UsageError: an unknown name, one that occurs twice, or a weight that is no positive number.
    """
    mixture: dict[str, float] = {}
    for term in text.split("+"):
        weight, _, name = term.strip().rpartition("*")
        try:
            number = float(weight) if weight else 1.0
        except ValueError:
            number = 0.0
        if name.strip() not in _LOSSES or name.strip() in mixture or not 0 < number < math.inf:
            raise UsageError(
                f"--regression-loss {text!r}: write {', '.join(_LOSSES)}, or a sum of them, each "
                "once, with a positive weight before a *",
                "option-malformed",
            )
        mixture[name.strip()] = number
    return mixture


# -- either ----------------------------------------------------------------------------------------


@dataclass
class AnyTargetConfig(ClassificationLossConfig, RegressionLossConfig):
    """The options of the losses of labels and of numbers."""


def primary_loss(cfg: AnyTargetConfig, task: EmotionTask) -> PrimaryLoss:
    """Return the loss that the target needs: of labels or of numbers."""
    is_continuous = task.target.kind is TargetKind.CONTINUOUS
    return (RegressionLoss if is_continuous else ClassificationLoss)(cfg, task)


def _check_kind(task: EmotionTask, kinds: frozenset[TargetKind]) -> None:
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


def _try_options(loss: PrimaryLoss, truth: Tensor, n_outputs: int) -> None:
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
