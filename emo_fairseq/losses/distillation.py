"""Losses of a student against what a teacher said of the same utterances.

A teacher need not have an answer to every utterance: NaN in its row, or on its axis, says so. What
it has no say in adds 0 and has gradient 0, even if the student's row is not finite; the divisor of
a mean is left to the caller, as everywhere here, and over all B utterances one with a teacher
weighs the same whatever the others lack. The teacher gets no gradient.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from emo_fairseq.losses.precision import full_precision
from emo_fairseq.losses.regression import squared_error

CORRELATION_FLOOR = 1e-4  # of the norm of centered probabilities, which rounding blurs by 1e-8


def teacher_divergence(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Divergence of the softened answers, `T^2 KL(teacher || student)` (Hinton et al. 2015).

    Both are `softmax(logits / T)`. T^2 makes up for gradients that shrink as 1 / T^2, so that the
    loss keeps its weight beside one of the truth when T changes; towards T = infinity it becomes
    `1 / (2K) * sum_k (z_k - t_k)^2` of logits centered in each row. The gradient is that of the
    cross entropy with the teacher's answer: the two differ by the teacher's entropy.

    Args:
        logits: (B, K), the student's, of any floating type.
        teacher_logits: (B, K), logits or log-probabilities; NaN in a row = no answer. -inf is an
            answer: the probability 0.
        temperature: T, above 0.

    Returns:
        (B,), 0 where student and teacher agree or the teacher has no answer.

    Raises:
        ValueError: shapes that do not fit, or a temperature that is not above 0 or infinite.
    """
    student, teacher, _ = _softened(logits, teacher_logits, temperature)  # (B, K) each
    log_p, log_q = teacher.log_softmax(dim=1), student.log_softmax(dim=1)
    p = log_p.exp()
    terms = torch.where(p > 0.0, p * (log_p - log_q), 0.0)  # 0 log 0 is 0
    return temperature**2 * terms.sum(dim=1)


def dist_inter(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """DIST's relation between the classes: `T^2 (1 - r_i)` of each utterance (Huang et al. 2022).

    arXiv:2205.10536, "Knowledge distillation from a stronger teacher". r_i is Pearson's
    correlation over the K classes of the student's and the teacher's `softmax(logits / T)`. T^2 is
    not in that formula but in the authors' later code: kept, so that their weights of the loss
    hold. Unlike those of :func:`teacher_divergence`, gradients of 1 - r do not shrink with T, and
    T^2 lets the loss grow.

    A norm of centered probabilities below :data:`CORRELATION_FLOOR` counts as that floor, so loss
    and gradient stay finite. An answer that gives each class the same probability has r = 0:

    - the teacher's: loss T^2, gradient 0 (nothing to learn from);
    - the student's: loss T^2, gradient towards the teacher.

    Args:
        logits: (B, K), the student's, of any floating type; K > 2.
        teacher_logits: (B, K), logits or log-probabilities; NaN in a row = no answer.
        temperature: T, above 0.

    Returns:
        (B,), each in [0, 2 T^2]; 0 where the teacher has no answer.

    Raises:
        ValueError: shapes that do not fit, a temperature that is not above 0 or infinite, or
            fewer than three classes: over two, r is -1 or 1 and has no gradient.
    """
    student, teacher, answered = _softened(logits, teacher_logits, temperature)  # (B, K), (B,)
    n_classes = student.shape[1]
    if n_classes < 3:
        raise ValueError(f"a correlation over {n_classes} classes teaches nothing: it takes three")
    p, q = teacher.softmax(dim=1), student.softmax(dim=1)
    correlation = _correlation(q - 1.0 / n_classes, p - 1.0 / n_classes, dim=1)  # (B,)
    return temperature**2 * (1.0 - correlation).masked_fill(~answered, 0.0)


def dist_intra(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """DIST's relation within a class: `T^2 (1 - r_k)` of each class over the batch.

    As :func:`dist_inter`, with r_k the correlation over the n utterances that the teacher answers;
    the paper's loss is the mean over the classes. A class to which teacher or student give the
    same probability in each utterance has r = 0. Fewer than two utterances have no relation: loss
    0, gradient 0. Over two, r is -1 or 1 and has no gradient.

    Args:
        logits: (B, K), the student's, of any floating type.
        teacher_logits: (B, K), logits or log-probabilities; NaN in a row = no answer.
        temperature: T, above 0.

    Returns:
        (K,), each in [0, 2 T^2]. Not a sum over utterances: parts of a batch do not add up.

    Raises:
        ValueError: shapes that do not fit, or a temperature that is not above 0 or infinite.
    """
    student, teacher, answered = _softened(logits, teacher_logits, temperature)  # (B, K), (B,)
    p, q = teacher.softmax(dim=1), student.softmax(dim=1)
    correlation = _correlation(_centered(q, answered), _centered(p, answered), dim=0)  # (K,)
    return temperature**2 * (1.0 - correlation).masked_fill(answered.sum() < 2, 0.0)


def teacher_squared_error(
    values: Tensor, teacher_values: Tensor, axis_weights: Sequence[float] | None = None
) -> Tensor:
    """:func:`emo_fairseq.losses.squared_error` with the teacher's values for the truth."""
    return squared_error(values, teacher_values.detach(), axis_weights)


def _softened(
    logits: Tensor, teacher_logits: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits / T of student and teacher, (B, K), and (B,) whether the teacher has an answer.

    Where it has none both are a constant 0.
    """
    if logits.ndim != 2 or logits.shape != teacher_logits.shape:
        shapes = f"{tuple(logits.shape)} and {tuple(teacher_logits.shape)}"
        raise ValueError(f"expected logits (B, K) of student and teacher, got {shapes}")
    if not 0.0 < temperature < math.inf:
        raise ValueError(f"temperature {temperature} is not a finite number above 0")
    unanswered = teacher_logits.isnan().any(dim=1)  # (B,)
    student = full_precision(logits).masked_fill(unanswered.unsqueeze(1), 0.0)
    teacher = teacher_logits.detach().to(student.dtype).masked_fill(unanswered.unsqueeze(1), 0.0)
    return student / temperature, teacher / temperature, ~unanswered


def _centered(columns: Tensor, rows: Tensor) -> Tensor:
    """(B, K) less the mean of the rows that are True in (B,); 0 in the others."""
    others = ~rows.unsqueeze(1)  # (B, 1)
    mean = columns.masked_fill(others, 0.0).sum(dim=0) / rows.sum().clamp_min(1)  # (K,)
    return (columns - mean).masked_fill(others, 0.0)


def _correlation(x: Tensor, y: Tensor, dim: int) -> Tensor:
    """Pearson's correlation of centered x and y along one dimension, norms not below the floor."""
    # The floor is under the root, whose slope at 0 is infinite.
    x_norm, y_norm = (
        centered.square().sum(dim=dim).clamp_min(CORRELATION_FLOOR**2).sqrt() for centered in (x, y)
    )
    return (x * y).sum(dim=dim) / (x_norm * y_norm)
