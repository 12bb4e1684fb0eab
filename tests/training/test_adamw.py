"""emotion_adamw through fairseq's own doors: options, builders, schedulers, half precision."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from codes import raises
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.optim import FP16Optimizer, MemoryEfficientFP16Optimizer, build_optimizer
from fairseq.optim.lr_scheduler import build_lr_scheduler
from torch import Tensor, nn

from emo_fairseq.training.adamw import (
    EmotionAdamW,
    check_half_precision,
    check_optimizer,
)
from emo_fairseq.training.learning_rates import (
    hold,
    options_of,
)

LR, DECAY = 0.01, 0.1
SCALES = (0.9, 1.0)  # of the first layer, and of the second
UNEVEN = 0.07  # a learning rate that is not restored by dividing what the first layer learns at


def configure(*given: str) -> Any:
    parser = options.get_training_parser()
    command = ["--task", "emotion_prediction", "--data", ".", "--arch", "robertaEMO_tiny"]
    command += ["--optimizer", "emotion_adamw", "--lr", str(LR), "--weight-decay", str(DECAY)]
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, [*command, *given]))


def make_model() -> nn.Module:
    """Two layers, each at a learning rate of its own, without weight decay of biases."""
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    for layer, scale in zip((model[0], model[2]), SCALES, strict=True):
        options_of(layer.weight).update(lr_scale=scale)
        options_of(layer.bias).update(lr_scale=scale, weight_decay_scale=0.0)
    return model


def by_hand(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        [
            {"params": [getattr(layer, name)], "lr": LR * scale, "weight_decay": decay}
            for layer, scale in zip((model[0], model[2]), SCALES, strict=True)
            for name, decay in (("weight", DECAY), ("bias", 0.0))
        ],
        betas=(0.8, 0.95),
        eps=1e-6,
    )


def batches(n: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(11)
    for _ in range(n):
        yield torch.randn(6, 4, generator=generator)


def step(model: nn.Module, optimizer: Any, batch: Tensor, clip: float = 0.0) -> Tensor:
    optimizer.zero_grad()
    optimizer.backward(model(batch).float().square().sum())
    norm = optimizer.clip_grad_norm(clip)
    optimizer.step()
    return norm


def assert_same(first: nn.Module, second: nn.Module, atol: float = 1e-7) -> None:
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=0)


def test_equals_torchs_adamw_with_groups_made_by_hand() -> None:
    cfg = configure("--adam-betas", "(0.8, 0.95)", "--adam-eps", "1e-6")
    model, reference = make_model(), make_model()
    optimizer = build_optimizer(cfg.optimizer, list(model.parameters()))
    assert isinstance(optimizer, EmotionAdamW)
    theirs = by_hand(reference)
    for batch in batches(5):
        step(model, optimizer, batch, clip=0.5)
        theirs.zero_grad()
        reference(batch).square().sum().backward()
        nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
        theirs.step()
    assert_same(model, reference)


def test_multiplies_and_clips_gradients_that_are_stepped_on() -> None:
    """As fairseq's trainer calls it: a mean over the batch, then clipping."""
    model, reference = make_model(), make_model()
    optimizer = build_optimizer(configure().optimizer, list(model.parameters()))
    theirs = by_hand(reference)
    for group in theirs.param_groups:
        group.update(betas=(0.9, 0.999), eps=1e-8)
    for n_rows, batch in enumerate(batches(4), start=5):
        for built in (optimizer, theirs):
            built.zero_grad()
        model(batch).square().sum().backward()
        (reference(batch).square().sum() / n_rows).backward()
        optimizer.multiply_grads(torch.tensor(1.0 / n_rows))
        norm = optimizer.clip_grad_norm(0.5)
        expected = nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
        torch.testing.assert_close(norm, expected)
        optimizer.step()
        theirs.step()
        for ours, parameter in zip(model.parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, parameter.grad)  # for whoever reads them later
    assert_same(model, reference, atol=1e-6)


def test_without_wishes_equals_fairseqs_adam() -> None:
    models = [nn.Linear(4, 3), nn.Linear(4, 3)]
    models[1].load_state_dict(models[0].state_dict())
    for model, name in zip(models, ("emotion_adamw", "adam"), strict=True):
        cfg = configure("--optimizer", name)
        optimizer = build_optimizer(cfg.optimizer, list(model.parameters()))
        for batch in batches(5):
            step(model, optimizer, batch, clip=0.5)
    assert_same(*models, atol=1e-6)


def test_the_scheduler_drives_all_groups() -> None:
    cfg = configure(
        "--lr-scheduler",
        "polynomial_decay",
        "--warmup-updates",
        "2",
        "--total-num-update",
        "10",
        "--max-update",
        "10",
    )
    model = make_model()
    optimizer = build_optimizer(cfg.optimizer, list(model.parameters()))
    scheduler = build_lr_scheduler(cfg.lr_scheduler, optimizer)
    for update, factor in ((1, 0.5), (2, 1.0), (6, 0.5), (10, 0.0)):
        assert scheduler.step_update(update) == pytest.approx(factor * LR)
        assert optimizer.get_lr() == pytest.approx(factor * LR)
        learns_at = {p: g["lr"] for g in optimizer.param_groups for p in g["params"]}
        for layer, scale in zip((model[0], model[2]), SCALES, strict=True):
            for parameter in layer.parameters():
                assert learns_at[parameter] == pytest.approx(factor * scale * LR)


def test_a_resumed_run_is_the_uninterrupted_one() -> None:
    cfg = configure("--lr-scheduler", "fixed")
    whole, first = make_model(), make_model()
    optimizer = build_optimizer(cfg.optimizer, list(whole.parameters()))
    optimizer.set_lr(UNEVEN)
    for batch in batches(6):
        step(whole, optimizer, batch)

    optimizer = build_optimizer(cfg.optimizer, list(first.parameters()))
    optimizer.set_lr(UNEVEN)
    data = list(batches(6))
    for batch in data[:3]:
        step(first, optimizer, batch)
    state = copy.deepcopy(optimizer.state_dict())
    second = make_model()
    second.load_state_dict(first.state_dict())
    optimizer = build_optimizer(cfg.optimizer, list(second.parameters()))
    optimizer.load_state_dict(state)
    assert optimizer.get_lr() == UNEVEN != UNEVEN * SCALES[0] / SCALES[0]
    for batch in data[3:]:
        step(second, optimizer, batch)
    assert_same(second, whole, atol=0)


def test_a_resumed_run_takes_its_own_options_and_an_overridden_learning_rate() -> None:
    model = make_model()
    parameters = list(model.parameters())
    state = build_optimizer(configure().optimizer, parameters).state_dict()
    cfg = configure("--weight-decay", "0.5", "--adam-betas", "(0.5, 0.6)")
    optimizer = build_optimizer(cfg.optimizer, parameters)
    optimizer.load_state_dict(state, {"lr": 0.4})
    assert optimizer.get_lr() == 0.4
    learn_at = [group["lr"] for group in optimizer.param_groups]
    assert learn_at == pytest.approx([0.36, 0.36, 0.4, 0.4])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0, 0.5, 0.0]
    assert {group["betas"] for group in optimizer.param_groups} == {(0.5, 0.6)}
    with raises("optimizer-overrides"):
        optimizer.load_state_dict(state, {"weight_decay": 0.1})


def test_a_state_of_other_groups_is_refused() -> None:
    cfg = configure()
    state = build_optimizer(cfg.optimizer, list(make_model().parameters())).state_dict()
    other = make_model()
    options_of(other[0].weight)["lr_scale"] = 0.5
    optimizer = build_optimizer(cfg.optimizer, list(other.parameters()))
    with raises("optimizer-state-mismatch"):
        optimizer.load_state_dict(state)
    plain = build_optimizer(configure("--optimizer", "adam").optimizer, list(other.parameters()))
    with raises("optimizer-state-mismatch"):
        optimizer.load_state_dict(plain.state_dict())


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        (["--bf16"], torch.bfloat16),
        (["--fp16", "--fp16-no-flatten-grads", "--fp16-init-scale", "4"], torch.float16),
    ],
    ids=["bf16", "fp16"],
)
def test_half_precision_steps_float32_copies(flags: list[str], dtype: torch.dtype) -> None:
    """The copies keep their groups, and follow the very path of a float32 optimizer."""
    cfg = configure(*flags)
    model = make_model().to(dtype)
    optimizer = FP16Optimizer.build_optimizer(cfg, list(model.parameters()))
    reference = make_model()
    reference.load_state_dict({k: v.float() for k, v in model.state_dict().items()})
    theirs = build_optimizer(cfg.optimizer, list(reference.parameters()))
    optimizer.set_lr(LR)
    assert [group["lr"] for group in optimizer.param_groups] == [0.9 * LR, 0.9 * LR, LR, LR]
    for batch in batches(4):
        norm = step(model, optimizer, batch.to(dtype), clip=0.5)
        theirs.zero_grad()
        for ours, parameter in zip(model.parameters(), reference.parameters(), strict=True):
            scale = optimizer.scaler.loss_scale if optimizer.scaler else 1.0
            parameter.grad = ours.grad.float() / scale
        torch.testing.assert_close(theirs.clip_grad_norm(0.5), norm, atol=0, rtol=1e-5)
        theirs.step()
    for copied, parameter in zip(optimizer.fp32_params, reference.parameters(), strict=True):
        torch.testing.assert_close(copied, parameter, atol=1e-6, rtol=0)
    resumed = FP16Optimizer.build_optimizer(cfg, list(model.parameters()))
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert resumed.get_lr() == LR
    state = next(iter(resumed.optimizer.state.values()))
    assert state["exp_avg"].dtype == torch.float32


@pytest.mark.parametrize("flags", [[], ["--bf16"]], ids=["fp32", "bf16"])
def test_what_is_held_stays_as_it_is(flags: list[str]) -> None:
    cfg = configure(*flags)
    model = make_model()
    for parameter in model[0].parameters():
        hold(parameter, held=False)  # as gradual unfreezing does, before the optimizer is built
    model.to(torch.bfloat16 if flags else torch.float32)
    parameters = list(model.parameters())
    build: Callable[..., Any] = (
        FP16Optimizer.build_optimizer if flags else lambda cfg, p: build_optimizer(cfg.optimizer, p)
    )
    optimizer = build(cfg, parameters)
    data = list(batches(4))

    def run(held: bool, batch: Tensor) -> bool:
        """Whether the first layer, or the copy of it that is stepped, changes."""
        for parameter in model[0].parameters():
            hold(parameter, held)
        stepped = [*model[0].parameters(), *getattr(optimizer, "fp32_params", [])[:2]]
        before = [parameter.detach().clone() for parameter in stepped]
        step(model, optimizer, batch.to(parameters[0].dtype))
        return not all(map(torch.equal, before, stepped))

    assert not run(True, data[0])
    assert run(False, data[1])
    assert not run(True, data[2])
    assert run(False, data[3])


def test_fairseq_refuses_what_cannot_work() -> None:
    """What :func:`check_half_precision` says in one sentence, fairseq would say later."""
    model = make_model().half()
    cfg = configure("--memory-efficient-fp16")
    with pytest.raises(ValueError, match="Unsupported optimizer: EmotionAdamW"):
        MemoryEfficientFP16Optimizer.build_optimizer(cfg, list(model.parameters()))
    assert not build_optimizer(cfg.optimizer, list(model.parameters())).supports_flat_params


def test_check_half_precision() -> None:
    check_half_precision("adam", flattens=True, memory_efficient=True)
    check_half_precision("emotion_adamw", flattens=False, memory_efficient=False)
    with raises("half-precision-unsupported"):
        check_half_precision("emotion_adamw", flattens=True, memory_efficient=False)
    with raises("half-precision-unsupported"):
        check_half_precision("emotion_adamw", flattens=False, memory_efficient=True)


def test_check_optimizer() -> None:
    model = make_model()
    check_optimizer("emotion_adamw", model.parameters())
    with raises("optimizer-unsupported"):
        check_optimizer("adam", model.parameters())
    for parameter in model.parameters():
        options_of(parameter)["lr_scale"] = 1.0
    check_optimizer("adam", model.parameters())
    hold(model[0].weight, held=False)
    with raises("optimizer-unsupported"):
        check_optimizer("adam", model.parameters())


@pytest.mark.parametrize("given", ["(0.9", "0.9", "(0.9, x)", "(0.9, 1.0)", "(0.9, 0.9, 0.9)"])
def test_betas_that_are_none(given: str) -> None:
    with raises("betas-invalid"):
        build_optimizer(configure("--adam-betas", given).optimizer, [nn.Parameter(torch.ones(1))])


def test_one_learning_rate_an_epoch_begins_with_the_first() -> None:
    cfg = configure("--lr", "0.5,0.25")
    optimizer = build_optimizer(cfg.optimizer, list(make_model().parameters()))
    assert optimizer.get_lr() == 0.5
