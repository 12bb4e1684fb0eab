"""Weighting of the losses of several tasks."""

import enum
from collections.abc import Mapping

import torch
from torch import Tensor

from emo_fairseq.losses.precision import full_precision


class Likelihood(enum.Enum):
    """Likelihood of which a loss is the negative logarithm; its value scales the weighted loss."""

    SOFTMAX = 1.0  # cross entropy, also focal and other losses without a likelihood
    GAUSSIAN = 0.5  # squared error


def uncertainty_weighting(
    losses: Mapping[str, Tensor],
    log_variances: Mapping[str, Tensor],
    likelihoods: Mapping[str, Likelihood],
) -> Tensor:
    """Return the sum of the losses of all tasks, weighted by learned uncertainties.

    Kendall et al. 2018, "Multi-task learning using uncertainty to weigh losses for scene geometry
    and semantics". With s_t = log sigma_t^2, the terms are

    - SOFTMAX: `exp(-s_t) L_t + s_t / 2` (their eq. 10);
    - GAUSSIAN: `exp(-s_t) L_t / 2 + s_t / 2` (their eq. 7).

    For a fixed L_t the optimal s_t is log(2 L_t) and log(L_t), respectively. The sum may be
    negative, and the weight of a loss grows without bound as the loss approaches 0. s_t / 2 is
    added to each element of a loss: pass means over the utterances that have a target, since zeros
    for the others would increase the weight of the task.

    Args:
        losses: of each task, all of one shape, none negative.
        log_variances: s_t of each task, scalars; initialize with 0.
        likelihoods: of each task.

    Returns:
        A tensor of the same shape as each loss.

    Raises:
        ValueError: the names or shapes do not match, or there is no task.

    >>> losses = {"emotion": torch.tensor(1.0), "vad": torch.tensor(0.5)}
    >>> log_variances = {"emotion": torch.tensor(0.0), "vad": torch.tensor(0.0)}
    >>> likelihoods = {"emotion": Likelihood.SOFTMAX, "vad": Likelihood.GAUSSIAN}
    >>> uncertainty_weighting(losses, log_variances, likelihoods)
    tensor(1.2500)
    """
    _check_tasks(losses, log_variances, "log-variances")
    _check_tasks(losses, likelihoods, "likelihoods")
    terms = []
    for task, loss in losses.items():
        log_variance = log_variances[task]
        if log_variance.ndim != 0:
            shape = tuple(log_variance.shape)
            raise ValueError(f"log-variance of task {task} has shape {shape}: give a scalar")
        s = full_precision(log_variance)
        terms.append(likelihoods[task].value * (-s).exp() * full_precision(loss) + 0.5 * s)
    return torch.stack(terms).sum(dim=0)


def _check_tasks(losses: Mapping[str, Tensor], others: Mapping[str, object], name: str) -> None:
    if not losses or losses.keys() != others.keys():
        raise ValueError(f"losses of tasks {sorted(losses)} and {name} of {sorted(others)}")
    if len({loss.shape for loss in losses.values()}) > 1:
        shapes = ", ".join(f"{task} {tuple(loss.shape)}" for task, loss in losses.items())
        raise ValueError(f"expected losses of one shape, got {shapes}")
