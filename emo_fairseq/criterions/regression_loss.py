"""The primary loss of numbers: squared and absolute error, 1 - CCC, and mixtures of them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import List, Optional

import torch
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from emo_fairseq import losses
from emo_fairseq.criterions.primary_loss import check_kind, try_options
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.errors import UsageError
from emo_fairseq.options.conditions import PREDICTS_NUMBERS
from emo_fairseq.options.option import option
from emo_fairseq.targets import TargetKind


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
        check_kind(task, self.kinds)
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
        try_options(self, torch.zeros(1, task.n_outputs), task.n_outputs)

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
