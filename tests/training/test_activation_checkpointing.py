"""Recomputed activations: the same gradients, in less memory, under the same names."""

import copy

import pytest
import torch
from tiny_transformers import TRANSFORMERS, Transformer, gradients
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from emo_fairseq.modules.lora import add_lora
from emo_fairseq.training.activation_checkpointing import checkpoint_activations
from emo_fairseq.training.freezing import freeze

every_transformer = pytest.mark.parametrize("tiny", TRANSFORMERS.values(), ids=TRANSFORMERS)


def kept_elements(model: nn.Module, tiny: Transformer) -> int:
    """How much a forward pass keeps for the backward pass."""
    sizes = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        tiny.run(model)
    return sum(sizes)


@every_transformer
@pytest.mark.parametrize("what", ["full", "frozen embeddings", "lora"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_same_gradients(tiny: Transformer, what: str, dropout: float) -> None:
    model = tiny.build(dropout).train()
    embeddings, *layers = tiny.blocks(model)
    if what == "frozen embeddings":
        freeze(embeddings)
    if what == "lora":
        add_lora(model, ["query", "value", "ffn"], 2, 4.0, dropout)
        for name, parameter in model.named_parameters():
            if name.endswith("lora_B"):
                nn.init.normal_(parameter)
    names = list(model.state_dict())
    plain = gradients(model, tiny.run)
    drawn = torch.rand(3)
    kept = kept_elements(model, tiny)
    checkpoint_activations(layers)
    recomputed = gradients(model, tiny.run)
    assert torch.equal(torch.rand(3), drawn)
    assert plain
    torch.testing.assert_close(recomputed, plain, atol=1e-6, rtol=0)
    assert kept_elements(model, tiny) < kept / 2
    assert list(model.state_dict()) == names


@every_transformer
def test_evaluation_is_left_alone(tiny: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "emo_fairseq.training.activation_checkpointing.checkpoint"
    monkeypatch.setattr(module, lambda *args, **kwargs: pytest.fail("recomputes"))
    model = tiny.build(0.0).eval()
    before = tiny.run(model)
    checkpoint_activations(tiny.blocks(model)[1:])
    assert torch.equal(tiny.run(model), before)
    with torch.no_grad():
        tiny.run(model.train())


def test_a_copy_computes_with_its_own_parameters() -> None:
    tiny = TRANSFORMERS["fairseq"]
    model = tiny.build(0.0).eval()
    checkpoint_activations(tiny.blocks(model))
    duplicate = copy.deepcopy(model)
    before = tiny.run(model)
    for parameter in duplicate.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(tiny.run(model), before)
    assert tiny.run(duplicate).abs().max() == 0


def test_the_members_of_a_container_are_taken_and_twice_is_once() -> None:
    tiny = TRANSFORMERS["bert"]
    model = tiny.build(0.3).train()
    plain = gradients(model, tiny.run)
    for _ in range(2):
        checkpoint_activations([model.encoder.layer])
    torch.testing.assert_close(gradients(model, tiny.run), plain, atol=1e-6, rtol=0)
