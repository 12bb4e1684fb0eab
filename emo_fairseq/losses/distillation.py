"""Knowledge distillation losses between the outputs of a student and of a teacher.

A NaN in a row of the teacher, or on an axis, means that the teacher has no prediction for it. Such
rows or axes have loss 0 and gradient 0, even if the student's row is not finite. The caller chooses
the divisor of a mean: with B, an utterance with a teacher has the same weight whatever the others
lack. The teacher gets no gradient.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from emo_fairseq.losses.precision import full_precision
from emo_fairseq.losses.regression import squared_error

CORRELATION_FLOOR = 1e-4  # of the norm of centered probabilities, whose rounding error is 1e-8


def teacher_divergence(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return `T^2 KL(teacher || student)` of the softened distributions of each utterance.

    Hinton et al. 2015, "Distilling the knowledge in a neural network". Both distributions are
    `softmax(logits / T)`. T^2 compensates for gradients that shrink as 1 / T^2, so that the loss
    keeps its weight relative to a supervised loss when T changes; for T to infinity it approaches
    `1 / (2K) * sum_k (z_k - t_k)^2` of logits centered in each row. The gradient is that of the
    cross entropy with the teacher's distribution, which differs by the teacher's entropy.

    Args:
        logits: (B, K), the student's, of any floating type.
        teacher_logits: (B, K), logits or log-probabilities; NaN in a row = no prediction. -inf is
            valid: the probability 0.
        temperature: T, above 0.

    Returns:
        (B,), 0 where student and teacher agree or the teacher has no prediction.

    Raises:
        ValueError: the shapes do not match, or the temperature is not above 0 and finite.

    >>> teacher = torch.tensor([[1.0, 0.0], [torch.nan, torch.nan]])
    >>> teacher_divergence(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), teacher)
    tensor([0.4621, 0.0000])
    """
    student, teacher, _ = _softened(logits, teacher_logits, temperature)  # (B, K) each
    log_p, log_q = teacher.log_softmax(dim=1), student.log_softmax(dim=1)
    p = log_p.exp()
    terms = torch.where(p > 0.0, p * (log_p - log_q), 0.0)  # 0 log 0 is 0
    return temperature**2 * terms.sum(dim=1)


def dist_inter(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return DIST's inter-class loss of each utterance: `T^2 (1 - r_i)`.

    Huang et al. 2022, arXiv:2205.10536, "Knowledge distillation from a stronger teacher". r_i is
    Pearson's correlation over the K classes between the student's and the teacher's
    `softmax(logits / T)`. T^2 is not in the paper's formula but in the authors' later code, and is
    kept so that their loss weights apply. Unlike those of :func:`teacher_divergence`, gradients of
    1 - r do not shrink with T, so that T^2 increases the loss.

    The norm of centered probabilities is at least :data:`CORRELATION_FLOOR`, so that loss and
    gradient are finite. A uniform distribution has r = 0:

    - of the teacher: loss T^2, gradient 0;
    - of the student: loss T^2, gradient towards the teacher.

    Args:
        logits: (B, K), the student's, of any floating type; K > 2.
        teacher_logits: (B, K), logits or log-probabilities; NaN in a row = no prediction.
        temperature: T, above 0.

    Returns:
        (B,), each in [0, 2 T^2]; 0 where the teacher has no prediction.

    Raises:
        ValueError: the shapes do not match, the temperature is not above 0 and finite, or there are
            fewer than three classes: over two, r is -1 or 1 and has no gradient.

    >>> dist_inter(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[0.0, 1.0, 2.0]]))
    tensor([1.8671])
    """
    student, teacher, has_teacher = _softened(logits, teacher_logits, temperature)  # (B, K), (B,)
    n_classes = student.shape[1]
    if n_classes < 3:
        raise ValueError(f"a correlation over {n_classes} classes has no gradient: it takes three")
    p, q = teacher.softmax(dim=1), student.softmax(dim=1)
    correlation = _correlation(q - 1.0 / n_classes, p - 1.0 / n_classes, dim=1)  # (B,)
    return temperature**2 * (1.0 - correlation).masked_fill(~has_teacher, 0.0)


def dist_intra(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return DIST's intra-class loss of each class over the batch: `T^2 (1 - r_k)`.

    As :func:`dist_inter`, with r_k the correlation over the n utterances for which the teacher has
    a prediction; the paper's loss is the mean over the classes. A class to which teacher or student
    assign the same probability in all utterances has r = 0. For fewer than two utterances loss and
    gradient are 0. Over two, r is -1 or 1 and has no gradient.

    Args:
        logits: (B, K), the student's, of any floating type.
        teacher_logits: (B, K), logits or log-probabilities; NaN in a row = no prediction.
        temperature: T, above 0.

    Returns:
        (K,), each in [0, 2 T^2]. The losses of parts of a batch do not sum to that of the batch.

    Raises:
        ValueError: the shapes do not match, or the temperature is not above 0 and finite.

    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> dist_intra(logits, -logits)
    tensor([2.0000, 2.0000])
    """
    student, teacher, has_teacher = _softened(logits, teacher_logits, temperature)  # (B, K), (B,)
    p, q = teacher.softmax(dim=1), student.softmax(dim=1)
    correlation = _correlation(_centered(q, has_teacher), _centered(p, has_teacher), dim=0)  # (K,)
    return temperature**2 * (1.0 - correlation).masked_fill(has_teacher.sum() < 2, 0.0)


def teacher_squared_error(
    values: Tensor, teacher_values: Tensor, axis_weights: Sequence[float] | None = None
) -> Tensor:
    """Return :func:`emo_fairseq.losses.squared_error` with the teacher's values as the target.

    >>> teacher_squared_error(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 3.0]]))
    tensor([2.])
    """
    return squared_error(values, teacher_values.detach(), axis_weights)


def _softened(
    logits: Tensor, teacher_logits: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits / T of student and teacher, (B, K), and (B,) whether the teacher predicts.

    Where it does not, both are a constant 0.
    """
    if logits.ndim != 2 or logits.shape != teacher_logits.shape:
        shapes = f"{tuple(logits.shape)} and {tuple(teacher_logits.shape)}"
        raise ValueError(f"expected logits (B, K) of student and teacher, got {shapes}")
    if not 0.0 < temperature < math.inf:
        raise ValueError(f"temperature {temperature} is not a finite number above 0")
    no_teacher = teacher_logits.isnan().any(dim=1)  # (B,)
    student = full_precision(logits).masked_fill(no_teacher.unsqueeze(1), 0.0)
    teacher = teacher_logits.detach().to(student.dtype).masked_fill(no_teacher.unsqueeze(1), 0.0)
    return student / temperature, teacher / temperature, ~no_teacher


def _centered(columns: Tensor, rows: Tensor) -> Tensor:
    """Subtract the mean of the rows that are True in `rows` (B,) from (B, K); 0 in the others."""
    others = ~rows.unsqueeze(1)  # (B, 1)
    mean = columns.masked_fill(others, 0.0).sum(dim=0) / rows.sum().clamp_min(1)  # (K,)
    return (columns - mean).masked_fill(others, 0.0)


def _correlation(x: Tensor, y: Tensor, dim: int) -> Tensor:
    """Return Pearson's correlation of centered x and y along a dimension, with floored norms."""
    # The floor is under the root, whose slope at 0 is infinite.
    x_norm, y_norm = (
        centered.square().sum(dim=dim).clamp_min(CORRELATION_FLOOR**2).sqrt() for centered in (x, y)
    )
    return (x * y).sum(dim=dim) / (x_norm * y_norm)
