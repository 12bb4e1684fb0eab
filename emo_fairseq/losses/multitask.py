"""One loss from those of several tasks."""

import enum
from collections.abc import Mapping

import torch
from torch import Tensor

from emo_fairseq.losses.precision import full_precision


class Likelihood(enum.Enum):
    """Of what a loss is the negative logarithm; the value is its factor in the weighted loss."""

    SOFTMAX = 1.0  # cross entropy, also focal and other losses without a likelihood
    GAUSSIAN = 0.5  # squared error


def uncertainty_weighting(
    losses: Mapping[str, Tensor],
    log_variances: Mapping[str, Tensor],
    likelihoods: Mapping[str, Likelihood],
) -> Tensor:
    """Weigh each task by its learned noise: Kendall et al. 2018, "Multi-task learning using
    uncertainty to weigh losses for scene geometry and semantics".

    With s_t = log sigma_t^2, a task adds

    - SOFTMAX: `exp(-s_t) L_t + s_t / 2` (their eq. 10);
    - GAUSSIAN: `exp(-s_t) L_t / 2 + s_t / 2` (their eq. 7).

    For a fixed L_t the best s_t is log(2 L_t), respectively log(L_t). The sum may be negative, and
    as a loss nears 0 its weight grows without bound. Each element of a loss brings its own s_t / 2:
    give means over the utterances measured, since one counted as 0 would raise the task's weight.

    Args:
        losses: of each task, all of one shape, none negative.
        log_variances: s_t of each task, scalars; 0 is a good start.
        likelihoods: of each task.

    Returns:
        A tensor of the losses' shape.

    Raises:
        ValueError: names or shapes that do not fit, or no task.
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


def _check_tasks(losses: Mapping[str, Tensor], others: Mapping[str, object], what: str) -> None:
    if not losses or losses.keys() != others.keys():
        raise ValueError(f"losses of tasks {sorted(losses)} and {what} of {sorted(others)}")
    if len({loss.shape for loss in losses.values()}) > 1:
        shapes = ", ".join(f"{task} {tuple(loss.shape)}" for task, loss in losses.items())
        raise ValueError(f"expected losses of one shape, got {shapes}")
