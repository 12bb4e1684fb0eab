"""Losses against a teacher: slow references, limits of the temperature, teachers without answer."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from emo_fairseq.losses import (
    CORRELATION_FLOOR,
    cross_entropy,
    dist_inter,
    dist_intra,
    squared_error,
    teacher_divergence,
    teacher_squared_error,
)

N_ROWS, N_CLASSES = 12, 4
SILENT = [0, 5, 6]  # rows the teacher has no answer to
NAN = math.nan

Loss = Callable[..., Tensor]
LOSSES: dict[str, Loss] = {
    "divergence": teacher_divergence,
    "inter": dist_inter,
    "intra": dist_intra,
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
every_row_loss = pytest.mark.parametrize("loss", [teacher_divergence, dist_inter])
every_temperature = pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])


def random_logits(silent: bool = True, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(12, 4) logits of student and teacher; if `silent`, three rows of the teacher are NaN."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = 2.0 * torch.randn(
        2, N_ROWS, N_CLASSES, generator=generator, dtype=torch.float64
    )
    if silent:
        teacher[SILENT] = NAN
    return student, teacher


def softened(row: list[float], temperature: float) -> list[float]:
    exponentials = [math.exp(logit / temperature) for logit in row]
    return [exponential / sum(exponentials) for exponential in exponentials]


def answers(
    student: Tensor, teacher: Tensor, temperature: float
) -> list[tuple[list[float], list[float]] | None]:
    """Probabilities of both for each utterance, None where the teacher has no answer."""
    return [
        None
        if any(math.isnan(logit) for logit in other)
        else (softened(row, temperature), softened(other, temperature))
        for row, other in zip(student.tolist(), teacher.tolist(), strict=True)
    ]


@every_temperature
def test_divergence_is_the_formula(temperature: float) -> None:
    student, teacher = random_logits()
    expected = []
    for answer in answers(student, teacher, temperature):
        loss = 0.0
        if answer is not None:
            for q, p in zip(*answer, strict=True):
                loss += temperature**2 * p * math.log(p / q)
        expected.append(loss)
    loss = teacher_divergence(student, teacher, temperature)
    assert loss.tolist() == pytest.approx(expected, abs=1e-12)


@every_temperature
def test_divergence_is_scipys_relative_entropy(temperature: float) -> None:
    student, teacher = random_logits(silent=False)
    p, q = (np.asarray((x / temperature).softmax(dim=1)) for x in (teacher, student))
    expected = temperature**2 * scipy.stats.entropy(p, q, axis=1)
    np.testing.assert_allclose(teacher_divergence(student, teacher, temperature), expected)


@every_temperature
def test_inter_is_pearsons_correlation_over_the_classes(temperature: float) -> None:
    student, teacher = random_logits()
    expected = []
    for answer in answers(student, teacher, temperature):
        correlation = 1.0 if answer is None else scipy.stats.pearsonr(*answer).statistic
        expected.append(temperature**2 * (1.0 - correlation))
    loss = dist_inter(student, teacher, temperature)
    assert loss.tolist() == pytest.approx(expected, abs=1e-12)


@every_temperature
def test_intra_is_pearsons_correlation_over_the_answered_utterances(temperature: float) -> None:
    student, teacher = random_logits()
    answered = [a for a in answers(student, teacher, temperature) if a is not None]
    assert len(answered) == N_ROWS - len(SILENT)
    expected = []
    for k in range(N_CLASSES):
        columns = [q[k] for q, _ in answered], [p[k] for _, p in answered]
        correlation = scipy.stats.pearsonr(*columns).statistic
        expected.append(temperature**2 * (1.0 - correlation))
    loss = dist_intra(student, teacher, temperature)
    assert loss.tolist() == pytest.approx(expected, abs=1e-12)


@every_loss
@every_temperature
def test_a_student_that_is_the_teacher_loses_nothing(loss: Loss, temperature: float) -> None:
    _, teacher = random_logits()
    student = teacher.nan_to_num(0.3).requires_grad_()
    result = loss(student, teacher, temperature)
    result.sum().backward()
    torch.testing.assert_close(result, torch.zeros_like(result), atol=1e-12, rtol=0)
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-12


@every_loss
def test_a_shift_of_the_logits_or_log_probabilities_in_their_place_change_nothing(
    loss: Loss,
) -> None:
    student, teacher = random_logits()
    expected = loss(student, teacher, 2.0)
    torch.testing.assert_close(loss(student + 3.0, teacher - 5.0, 2.0), expected)
    torch.testing.assert_close(
        loss(student.log_softmax(dim=1), teacher.log_softmax(dim=1), 2.0), expected
    )


def test_divergence_has_the_gradient_of_cross_entropy_with_the_teachers_answer() -> None:
    student, teacher = random_logits(silent=False)
    student.requires_grad_()
    (slope,) = torch.autograd.grad(teacher_divergence(student, teacher).sum(), student)
    soft = -(teacher.softmax(dim=1) * student.log_softmax(dim=1)).sum()
    torch.testing.assert_close(slope, torch.autograd.grad(soft, student)[0])


def test_divergence_from_a_teacher_that_is_certain_is_cross_entropy() -> None:
    student, _ = random_logits()
    target = torch.arange(N_ROWS) % N_CLASSES
    certain = torch.full_like(student, -math.inf)
    certain[torch.arange(N_ROWS), target] = 0.0  # log 1, all others log 0
    student.requires_grad_()
    loss = teacher_divergence(student, certain)
    torch.testing.assert_close(loss, cross_entropy(student, target))
    slope, expected = (
        torch.autograd.grad(x.sum(), student)[0] for x in (loss, cross_entropy(student, target))
    )
    torch.testing.assert_close(slope, expected)


def test_divergence_where_both_mask_out_a_class() -> None:
    student = torch.tensor([[0.0, 1.0, -math.inf]], requires_grad=True)
    teacher = torch.tensor([[1.0, 0.0, -math.inf]])
    loss = teacher_divergence(student, teacher)
    loss.sum().backward()
    torch.testing.assert_close(loss, teacher_divergence(student[:, :2], teacher[:, :2]))
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_divergence_at_high_temperature_is_the_squared_distance_of_centered_logits() -> None:
    student, teacher = random_logits(silent=False)
    centered = [x - x.mean(dim=1, keepdim=True) for x in (student, teacher)]
    expected = (centered[0] - centered[1]).square().sum(dim=1) / (2 * N_CLASSES)
    loss = teacher_divergence(student, teacher, 1e4)
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize(("loss", "axis"), [(dist_inter, 1), (dist_intra, 0)])
def test_correlations_at_high_temperature_are_those_of_the_centered_logits(
    loss: Loss, axis: int
) -> None:
    student, teacher = random_logits(silent=False)
    centered = [np.asarray(x - x.mean(dim=1, keepdim=True)) for x in (student, teacher)]
    expected = 1.0 - scipy.stats.pearsonr(*centered, axis=axis).statistic
    temperature = 200.0
    relative = loss(student, teacher, temperature) / temperature**2
    np.testing.assert_allclose(relative, expected, rtol=0, atol=0.02)


@every_row_loss
def test_row_loss_of_a_batch_is_that_of_its_parts_in_any_order(loss: Loss) -> None:
    student, teacher = random_logits()
    whole = loss(student, teacher, 2.0)
    assert whole.shape == (N_ROWS,)
    for cut in (0, 1, 5):
        parts = [
            loss(student[:cut], teacher[:cut], 2.0),
            loss(student[cut:], teacher[cut:], 2.0),
        ]
        torch.testing.assert_close(torch.cat(parts), whole)
    order = torch.randperm(N_ROWS, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(loss(student[order], teacher[order], 2.0), whole[order])


def test_intra_does_not_depend_on_the_order_of_the_utterances() -> None:
    student, teacher = random_logits()
    order = torch.randperm(N_ROWS, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        dist_intra(student[order], teacher[order]), dist_intra(student, teacher)
    )


@every_loss
def test_losses_follow_the_order_of_the_classes(loss: Loss) -> None:
    student, teacher = random_logits()
    order = torch.tensor([2, 0, 3, 1])
    expected = loss(student, teacher)
    if loss is dist_intra:
        expected = expected[order]
    torch.testing.assert_close(loss(student[:, order], teacher[:, order]), expected)


@every_loss
def test_what_the_teacher_does_not_answer_adds_nothing(loss: Loss) -> None:
    student, teacher = random_logits()
    answered = ~teacher.isnan().any(dim=1)
    teacher[5] = torch.tensor([1.0, NAN, 0.0, 0.0])  # one NaN is enough
    student[SILENT] = torch.tensor([math.inf, NAN, -math.inf, 1.0], dtype=torch.float64)
    student.requires_grad_()
    result = loss(student, teacher, 2.0)
    result.sum().backward()
    without = loss(student.detach()[answered], teacher[answered], 2.0)
    if loss is not dist_intra:
        assert (result[SILENT] == 0.0).all()
        result = result[answered]
    torch.testing.assert_close(result, without)
    assert student.grad is not None
    assert (student.grad[SILENT] == 0.0).all()
    assert student.grad[answered].isfinite().all()
    assert (student.grad[answered] != 0.0).all()


@every_loss
@pytest.mark.parametrize("n_rows", [0, 1, 3])
def test_a_teacher_without_any_answer(loss: Loss, n_rows: int) -> None:
    student = torch.randn(n_rows, N_CLASSES, requires_grad=True)
    result = loss(student, torch.full((n_rows, N_CLASSES), NAN))
    result.sum().backward()
    assert result.shape == ((N_CLASSES,) if loss is dist_intra else (n_rows,))
    assert (result == 0.0).all()
    assert student.grad is not None
    assert (student.grad == 0.0).all()


def test_intra_needs_two_answered_utterances() -> None:
    student, teacher = random_logits(silent=False)
    teacher[1:] = NAN
    student.requires_grad_()
    for n_rows in (1, N_ROWS):
        loss = dist_intra(student[:n_rows], teacher[:n_rows])
        (slope,) = torch.autograd.grad(loss.sum(), student)
        assert loss.tolist() == [0.0] * N_CLASSES
        assert (slope == 0.0).all()
    two = dist_intra(*(x[:2] for x in random_logits(silent=False)))
    assert torch.minimum(two.abs(), (two - 2.0).abs()).max() < 1e-12  # r is 1 or -1


def test_a_teacher_that_does_not_vary_teaches_no_relation() -> None:
    student, _ = random_logits()
    student.requires_grad_()
    indifferent = torch.full_like(student, 0.7)
    monotonous = torch.arange(4.0, dtype=torch.float64).expand(N_ROWS, -1)
    for loss, teacher in ((dist_inter, indifferent), (dist_intra, monotonous)):
        result = loss(student, teacher, 2.0)
        (slope,) = torch.autograd.grad(result.sum(), student)
        torch.testing.assert_close(result, torch.full_like(result, 4.0), rtol=0, atol=1e-9)
        assert slope.abs().max() < 1e-9


def test_a_student_that_does_not_vary_is_drawn_to_the_teacher() -> None:
    _, teacher = random_logits(silent=False)
    for loss in (dist_inter, dist_intra):
        student = torch.zeros_like(teacher, requires_grad=True)
        result = loss(student, teacher)
        (slope,) = torch.autograd.grad(result.sum(), student)
        torch.testing.assert_close(result, torch.ones_like(result))
        assert slope.isfinite().all()
        assert slope.abs().max() < 1.0 / CORRELATION_FLOOR
        later = loss(student - 1e-3 * slope, teacher)
        assert later.sum() < 0.9 * result.sum()


@every_loss
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_gradients(loss: Loss, temperature: float) -> None:
    student, teacher = random_logits()
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher, temperature), student)


@every_loss
def test_the_teacher_gets_no_gradient(loss: Loss) -> None:
    student, teacher = random_logits()
    teacher.requires_grad_()
    student.requires_grad_()
    loss(student, teacher).sum().backward()
    assert teacher.grad is None
    assert not loss(student.detach(), teacher).requires_grad


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_half_precision_is_that_of_its_float32(
    loss: Loss, dtype: torch.dtype, scale: float
) -> None:
    student, teacher = ((scale * x).to(dtype) for x in random_logits())
    student.requires_grad_()
    result = loss(student, teacher, 2.0)
    result.sum().backward()
    assert result.dtype == torch.float32
    assert result.isfinite().all()
    torch.testing.assert_close(result, loss(student.detach().float(), teacher.float(), 2.0))
    assert student.grad is not None
    assert student.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, NAN])
def test_a_temperature_without_meaning_is_refused(loss: Loss, temperature: float) -> None:
    with pytest.raises(ValueError, match=f"temperature {temperature} is not"):
        loss(*random_logits(), temperature)


@every_loss
def test_shapes_that_do_not_fit_are_refused(loss: Loss) -> None:
    for shape in ((3,), (3, 1), (1, 4), (4, 3)):
        with pytest.raises(ValueError, match=r"of student and teacher, got \(3, 4\) and"):
            loss(torch.zeros(3, 4), torch.zeros(shape))
    with pytest.raises(ValueError, match=r"expected logits \(B, K\)"):
        loss(torch.zeros(3), torch.zeros(3))


def test_inter_refuses_two_classes() -> None:
    with pytest.raises(ValueError, match="over 2 classes has no gradient"):
        dist_inter(torch.zeros(3, 2), torch.zeros(3, 2))


@pytest.mark.parametrize("axis_weights", [None, (1.0, 0.0, 3.0, 2.0)])
def test_values_are_drawn_to_the_teachers(axis_weights: tuple[float, ...] | None) -> None:
    values, teacher = random_logits()
    teacher[2, 1] = NAN
    values.requires_grad_()
    teacher.requires_grad_()
    of_truth = partial(squared_error, axis_weights=axis_weights)
    loss = teacher_squared_error(values, teacher, axis_weights)
    torch.testing.assert_close(loss, of_truth(values, teacher.detach()))
    assert (loss[SILENT] == 0.0).all()
    loss.sum().backward()
    assert teacher.grad is None
    assert values.grad is not None
    assert (values.grad[SILENT] == 0.0).all()
    assert values.grad[2, 1] == 0.0
