"""The adversary learns the classes; the embedding it is given is driven to hide them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from emo_fairseq.modules.adversary import Adversary

E, HIDDEN, K = 5, 7, 3


def adversary(dropout: float = 0.0) -> Adversary:
    torch.manual_seed(0)
    return Adversary(E, HIDDEN, K, dropout).double()


@torch.no_grad()
def test_logits_are_those_of_loops() -> None:
    module = adversary()
    embedding = torch.randn(4, E, dtype=torch.float64)
    logits = module(embedding)
    assert logits.shape == (4, K)
    for row, expected in zip(embedding, logits, strict=True):
        hidden = [
            max(0.0, sum(float(w * x) for w, x in zip(weights, row, strict=True)) + float(bias))
            for weights, bias in zip(module.hidden.weight, module.hidden.bias, strict=True)
        ]
        for k in range(K):
            weights = module.out_proj.weight[k].tolist()
            logit = sum(w * h for w, h in zip(weights, hidden, strict=True))
            assert logit + float(module.out_proj.bias[k]) == pytest.approx(float(expected[k]))


def slopes(module: Adversary, embedding: Tensor) -> tuple[Tensor, ...]:
    loss = F.cross_entropy(module(embedding), torch.arange(len(embedding)) % K)
    return torch.autograd.grad(loss, [embedding, *module.parameters()])


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0])
def test_only_the_embeddings_gradient_turns_round(scale: float) -> None:
    module = adversary()
    embedding = torch.randn(6, E, dtype=torch.float64, requires_grad=True)
    plain_logits = module.out_proj(module.hidden(embedding).relu())
    loss = F.cross_entropy(plain_logits, torch.arange(6) % K)
    plain = torch.autograd.grad(loss, [embedding, *module.parameters()])
    module.reversal.scale = scale
    of_embedding, *of_parameters = slopes(module, embedding)
    torch.testing.assert_close(of_embedding, -scale * plain[0])
    torch.testing.assert_close(of_parameters, list(plain[1:]))


def test_a_step_down_makes_the_adversary_better_or_the_embedding_worse_for_it() -> None:
    module = adversary()
    embedding = torch.randn(6, E, dtype=torch.float64, requires_grad=True)
    target = torch.arange(6) % K
    before = F.cross_entropy(module(embedding), target)
    of_embedding, *of_parameters = slopes(module, embedding)
    hidden_better = F.cross_entropy(module(embedding - 0.01 * of_embedding), target)
    with torch.no_grad():
        for parameter, slope in zip(module.parameters(), of_parameters, strict=True):
            parameter -= 0.01 * slope
    told_better = F.cross_entropy(module(embedding), target)
    assert told_better < before < hidden_better


def test_dropout_is_for_training_only() -> None:
    module = adversary(dropout=0.5)
    embedding = torch.randn(4, E, dtype=torch.float64)
    assert not torch.equal(module(embedding), module(embedding))
    module.eval()
    assert torch.equal(module(embedding), module(embedding))
    plain = adversary().eval()
    plain.load_state_dict(module.state_dict())
    assert torch.equal(plain(embedding), module(embedding))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    logits = Adversary(E, HIDDEN, K, 0.0).to(dtype)(torch.randn(2, E, dtype=dtype))
    assert logits.dtype == dtype
    assert logits.isfinite().all()
