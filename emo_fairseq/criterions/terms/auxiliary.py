"""Several targets at once: the losses of ``--auxiliary-targets``, with fixed or learned weights."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Optional, Self

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor, nn

from data_prep.manifest.table import has
from emo_fairseq import losses
from emo_fairseq.criterions.scoring import mean_of
from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.criterions.terms.term import Statistics, Term, TrainingBatch
from emo_fairseq.errors import UsageError
from emo_fairseq.options.conditions import Condition
from emo_fairseq.options.option import option
from emo_fairseq.targets import TargetKind
from emo_fairseq.training.learning_rates import options_of

FIXED, UNCERTAINTY = "fixed", "uncertainty"
_PRIMARY = "primary"


_HAS_AUXILIARY = Condition(
    lambda context: bool(context.task.auxiliary_targets), "there are no --auxiliary-targets"
)


@dataclass
class AuxiliaryTargetsConfig(FairseqDataclass):
    """How the auxiliary targets are weighted."""

    auxiliary_weights: Optional[str] = option(
        None,
        "weights of --auxiliary-targets, vad=0.5,sentiment=1 (default: 1 each)",
        acts=_HAS_AUXILIARY,
    )
    auxiliary_weighting: ChoiceEnum([FIXED, UNCERTAINTY]) = option(  # type: ignore[valid-type]
        FIXED,
        "uncertainty: learn how much each target counts, the primary one too",
        acts=_HAS_AUXILIARY,
    )


class AuxiliaryTargets(Term):
    """Cross-entropy of labels, squared error of numbers; a missing truth adds nothing.

    Args:
        task: has ``target`` and ``auxiliary``.
        weights: of each auxiliary target, by name.
        weighting: "uncertainty" learns a log variance s of each target, the primary one included,
            and trains with :func:`emo_fairseq.losses.uncertainty_weighting`.

    Raises:
        UsageError: no row of the train split has the truth of one of them.
    """

    def __init__(self, task: EmotionTask, weights: Mapping[str, float], weighting: str) -> None:
        super().__init__()
        _check_truth_exists(task)
        self.targets = {name: other.target for name, other in task.auxiliary.items()}
        self.weights = dict(weights)
        self.log_variances = None
        if weighting == UNCERTAINTY:
            names = [_PRIMARY, *self.targets]
            self.log_variances = nn.ParameterDict({name: torch.zeros(()) for name in names})
            for log_variance in self.log_variances.values():
                options_of(log_variance)["weight_decay_scale"] = 0.0

    @classmethod
    def from_options(cls, cfg: AuxiliaryTargetsConfig, task: EmotionTask) -> Self:
        weights = parse_weights(cfg.auxiliary_weights, task.auxiliary)
        return cls(task, weights, str(cfg.auxiliary_weighting))

    def forward(self, batch: TrainingBatch) -> tuple[Tensor, Statistics]:
        statistics: Statistics = {}
        added = batch.losses.new_zeros(())
        mean_weight = batch.primary.mean_weight
        if self.log_variances is not None:
            # The primary loss under its learned weight, less the plain one, which is in the sum
            # already. Division by the mean class weight puts its rows on the others' scale.
            rows, likelihood = batch.losses / mean_weight, batch.primary.likelihood
            weighted = mean_weight * self._weighted(_PRIMARY, rows, likelihood)
            added = added + (weighted - batch.losses).sum()
        for name, target in self.targets.items():
            truth, values = batch.annotations[name], batch.output.auxiliary[name]
            rows = _ROW_LOSSES[target.kind](values, truth)  # 0 where the truth is missing
            known = truth >= 0 if truth.ndim == 1 else ~truth.isnan().all(dim=1)
            statistics |= mean_of(f"{name}_loss", rows.detach().sum(), known.sum())
            weighted = self._weighted(name, rows, _LIKELIHOODS[target.kind])
            weighted = weighted.masked_fill(~known, 0.0)  # not 0 before: each has its s / 2
            added = added + self.weights[name] * mean_weight * weighted.sum()
        return added, statistics

    def _weighted(self, name: str, rows: Tensor, likelihood: losses.Likelihood) -> Tensor:
        if self.log_variances is None:
            return rows
        log_variance = self.log_variances[name]
        return losses.uncertainty_weighting({name: rows}, {name: log_variance}, {name: likelihood})


def parse_weights(text: str | None, targets: Mapping[str, Any]) -> dict[str, float]:
    """Read ``--auxiliary-weights vad=0.5,sentiment=1``; a target that is not named has 1.

    Raises:
        UsageError: a name that is no auxiliary target, or no positive number.
    """
    weights = dict.fromkeys(targets, 1.0)
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, _, value = (word.strip() for word in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if name not in weights or not 0 < number < math.inf:
            raise UsageError(
                f"--auxiliary-weights {text!r}: {part.strip()!r} is no NAME=NUMBER with a positive "
                f"number and one of the auxiliary targets ({', '.join(targets) or 'none'})",
                "option-malformed",
            )
        weights[name] = number
    return weights


def _check_truth_exists(task: EmotionTask) -> None:
    split = task.train_split()
    for name, other in task.auxiliary.items():
        columns = other.target.columns
        if not any(has(split.utterances, column).any() for column in columns):
            raise UsageError(
                f"--auxiliary-targets {name}: no row of {split.file} has {' / '.join(columns)}; "
                "leave it out",
                "column-empty",
            )


def _labels(logits: Tensor, truth: Tensor) -> Tensor:
    known = truth >= 0
    return losses.cross_entropy(logits, truth.clamp_min(0)).masked_fill(~known, 0.0)


_LIKELIHOODS = {
    TargetKind.CATEGORICAL: losses.Likelihood.SOFTMAX,
    TargetKind.CONTINUOUS: losses.Likelihood.GAUSSIAN,
}

_ROW_LOSSES: Mapping[TargetKind, Callable[[Tensor, Tensor], Tensor]] = {
    TargetKind.CATEGORICAL: _labels,
    TargetKind.CONTINUOUS: losses.squared_error,
}
