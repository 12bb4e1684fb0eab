"""Bulk dropout: the right share, scaled; drawn again from the same state of torch's generator."""

import copy

import pytest
import torch
from fairseq.modules.fairseq_dropout import FairseqDropout
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel

from emo_fairseq.modules.bulk_dropout import bulk_dropout, use_bulk_dropout

SIZES = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "pad_token_id": 1,
    "hidden_dropout_prob": 0.2,
}
TOKENS = torch.tensor([[0, 5, 6, 7, 8, 2], [0, 9, 10, 2, 1, 1]])


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_drops_the_share_and_keeps_the_mean(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    x = torch.ones(501, 401, dtype=dtype)  # no multiple of 4
    dropped = bulk_dropout(x, p)
    assert dropped.dtype == dtype
    share = float((dropped == 0).double().mean())
    assert abs(share - p) < 5 * (p * (1 - p) / x.numel()) ** 0.5 + 2**-16
    kept = dropped[dropped != 0].double()
    rounding = 2**-8 if dtype == torch.bfloat16 else 2**-17 / (1 - p) * 1.01
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)), rtol=rounding, atol=0)
    # Neighbors, in rows and in columns, are dropped independently.
    gone = (dropped == 0).double() - share
    for shifted in (gone[1:] * gone[:-1], gone[:, 1:] * gone[:, :-1], gone[:, 4:] * gone[:, :-4]):
        assert abs(float(shifted.mean())) < 5 * p * (1 - p) / x.numel() ** 0.5


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_none_and_all(p: float) -> None:
    x = torch.randn(3, 5, requires_grad=True)
    bulk_dropout(x, p).sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 1 - p))


def test_the_mask_follows_from_the_state_of_torchs_generator() -> None:
    x = torch.randn(7, 9)
    torch.manual_seed(3)
    first, second = bulk_dropout(x, 0.5), bulk_dropout(x, 0.5)
    state = torch.get_rng_state()
    third = bulk_dropout(x, 0.5)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(bulk_dropout(x, 0.5), third)
    torch.manual_seed(3)
    assert torch.equal(bulk_dropout(x, 0.5), first)


def test_the_gradient_has_the_mask_of_the_output() -> None:
    x = torch.randn(40, 30, requires_grad=True)
    y = bulk_dropout(x, 0.3)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x, y)


def test_recomputed_activations_have_the_same_mask() -> None:
    layer = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.4), nn.Linear(6, 6))
    use_bulk_dropout(layer)
    x = torch.randn(5, 6)
    grads = []
    for recomputed in (False, True):
        torch.manual_seed(5)
        layer.zero_grad()
        output = checkpoint(layer, x, use_reentrant=False) if recomputed else layer(x)
        output.square().sum().backward()
        grads.append([p.grad.clone() for p in layer.parameters()])
    torch.testing.assert_close(*grads, rtol=0, atol=0)


@pytest.mark.parametrize(
    "build",
    [lambda: BertModel(BertConfig(**SIZES)), lambda: MPNetModel(MPNetConfig(**SIZES))],
    ids=["bert", "mpnet"],
)
def test_encoders_keep_everything_but_the_masks(build: object) -> None:
    torch.manual_seed(0)
    model = build().eval()  # type: ignore[operator]
    bulk = copy.deepcopy(model)
    use_bulk_dropout(bulk)
    assert list(bulk.state_dict()) == list(model.state_dict())
    mask = TOKENS.ne(1).long()
    plain = model(TOKENS, attention_mask=mask).last_hidden_state
    assert torch.equal(bulk(TOKENS, attention_mask=mask).last_hidden_state, plain)
    bulk.train()
    assert not any(type(part) is nn.Dropout for part in bulk.modules())
    trained = [bulk(TOKENS, attention_mask=mask).last_hidden_state for _ in range(2)]
    assert not torch.equal(*trained)


def test_fairseqs_dropout_in_training_alone() -> None:
    part = FairseqDropout(0.5, "x")
    use_bulk_dropout(part)
    x = torch.ones(50, 50)
    assert {0.0, 2.0} == set(part.train()(x).unique().tolist())
    assert part.eval()(x) is x
    part.p = 0.0
    assert part.train()(x) is x
