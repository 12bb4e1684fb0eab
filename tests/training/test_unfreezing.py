"""Gradual unfreezing, in a training loop as fairseq's trainer makes it."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from codes import raises
from fairseq.optim import build_optimizer
from omegaconf import OmegaConf
from tiny_transformers import N_LAYERS, TRANSFORMERS, Transformer, gradients
from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.lora import add_lora, is_adapter
from emo_fairseq.training.activation_checkpointing import checkpoint_activations
from emo_fairseq.training.freezing import (
    GradualUnfreezing,
    check_ddp_backend,
)

EVERY = 2


def make_blocks() -> nn.ModuleList:
    torch.manual_seed(7)
    return nn.ModuleList(nn.Linear(3, 3) for _ in range(3))


def make_optimizer(model: nn.Module) -> Any:
    cfg = {"_name": "emotion_adamw", "lr": [0.1], "weight_decay": 0.1}
    return build_optimizer(OmegaConf.create(cfg), list(model.parameters()))


def batches() -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(11)
    while True:
        yield torch.randn(6, 3, generator=generator)


def train(
    blocks: nn.ModuleList, optimizer: Any, unfreezing: GradualUnfreezing, first: int, last: int
) -> list[list[bool]]:
    """Train from one update to another; which blocks changed in each."""
    changed = []
    for update, batch in zip(range(last), batches(), strict=False):
        if update < first:
            continue
        before = [[p.detach().clone() for p in block.parameters()] for block in blocks]
        optimizer.zero_grad()
        unfreezing.set_num_updates(update)
        optimizer.backward(nn.Sequential(*blocks)(batch).square().sum())
        optimizer.clip_grad_norm(1.0)
        optimizer.step()
        changed.append(
            [
                not all(map(torch.equal, old, block.parameters()))
                for old, block in zip(before, blocks, strict=True)
            ]
        )
    return changed


def test_from_the_top_block_by_block() -> None:
    blocks = make_blocks()
    unfreezing = GradualUnfreezing(blocks, EVERY)
    changed = train(blocks, make_optimizer(blocks), unfreezing, 0, 6)
    assert changed == [
        *([[False, False, True]] * EVERY),
        *([[False, True, True]] * EVERY),
        *([[True, True, True]] * EVERY),
    ]


@pytest.mark.parametrize("interrupted_at", [1, 2, 3, 5])
def test_a_resumed_run_is_the_uninterrupted_one(interrupted_at: int) -> None:
    whole, first, second = make_blocks(), make_blocks(), make_blocks()
    train(whole, make_optimizer(whole), GradualUnfreezing(whole, EVERY), 0, 7)
    optimizer = make_optimizer(first)
    train(first, optimizer, GradualUnfreezing(first, EVERY), 0, interrupted_at)
    # As on a resume: the model's weights, then an optimizer over all of it, then its state.
    unfreezing = GradualUnfreezing(second, EVERY)
    second.load_state_dict(first.state_dict())
    resumed = make_optimizer(second)
    resumed.load_state_dict(optimizer.state_dict())
    train(second, resumed, unfreezing, interrupted_at, 7)
    assert all(map(torch.equal, second.parameters(), whole.parameters()))


def test_what_was_frozen_stays_frozen_and_what_is_shared_goes_with_the_top() -> None:
    bottom, middle, top = make_blocks()
    bottom.bias.requires_grad_(False)
    bottom.weight = top.weight
    unfreezing = GradualUnfreezing([bottom, middle, top], EVERY)
    unfreezing.set_num_updates(0)
    assert top.weight.requires_grad
    assert not middle.weight.requires_grad
    unfreezing.set_num_updates(100)
    assert middle.weight.requires_grad
    assert not bottom.bias.requires_grad
    unfreezing.set_num_updates(0)  # back again: it depends on nothing but the number
    assert not middle.weight.requires_grad


@pytest.mark.parametrize("transformer", TRANSFORMERS.values(), ids=TRANSFORMERS)
@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_with_checkpointed_activations(transformer: Transformer, adapted: bool) -> None:
    model = transformer.build(0.1).train()
    blocks = transformer.blocks(model)
    if adapted:
        add_lora(model, ["query", "ffn"], 2, 4.0, 0.1)
    unfreezing = GradualUnfreezing(blocks, EVERY)
    for update in range(0, EVERY * (N_LAYERS + 1), EVERY):
        unfreezing.set_num_updates(update)
        n_open = 1 + update // EVERY
        plain = gradients(model, transformer.run)
        open_blocks = {name for block in blocks[-n_open:] for name in names_in(model, block)}
        in_blocks = {name for block in blocks for name in names_in(model, block)}
        expected = {name for name in open_blocks if not adapted or is_adapter(name)}
        assert set(plain) & in_blocks == expected
        checkpoint_activations(blocks[1:])
        recomputed = gradients(model, transformer.run)
        for block in blocks[1:]:
            del block.forward
        torch.testing.assert_close(recomputed, plain, atol=1e-6, rtol=0)


def names_in(model: nn.Module, block: nn.Module) -> set[str]:
    members = set(block.parameters())
    return {name for name, parameter in model.named_parameters() if parameter in members}


def test_mistakes() -> None:
    with raises("option-out-of-range"):
        GradualUnfreezing(make_blocks(), 0)
    check_ddp_backend("pytorch_ddp", 1, find_unused_parameters=False)
    check_ddp_backend("pytorch_ddp", 2, find_unused_parameters=True)
    check_ddp_backend("no_c10d", 2, find_unused_parameters=False)
    for backend in ("pytorch_ddp", "fully_sharded", "slowmo"):
        with pytest.raises(UsageError, match=f"on 2 ranks needs .*, not {backend}"):
            check_ddp_backend(backend, 2, find_unused_parameters=False)
