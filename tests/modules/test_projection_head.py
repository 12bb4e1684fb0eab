"""The projection head against loops, and its linear form."""

import pytest
import torch

from emo_fairseq.modules.heads import ProjectionHead

E, HIDDEN, P = 5, 7, 3


@torch.no_grad()
def test_it_equals_loops() -> None:
    torch.manual_seed(0)
    head = ProjectionHead(E, HIDDEN, P).double()
    assert head.hidden is not None
    embedding = torch.randn(4, E, dtype=torch.float64)
    projected = head(embedding)
    assert projected.shape == (4, P)
    for row, expected in zip(embedding.tolist(), projected.tolist(), strict=True):
        hidden = []
        for weights, bias in zip(
            head.hidden.weight.tolist(), head.hidden.bias.tolist(), strict=True
        ):
            hidden.append(max(0.0, bias + sum(w * x for w, x in zip(weights, row, strict=True))))
        for k in range(P):
            weights = head.out_proj.weight[k].tolist()
            value = sum(w * h for w, h in zip(weights, hidden, strict=True))
            assert value + float(head.out_proj.bias[k]) == pytest.approx(expected[k])


@torch.no_grad()
def test_without_a_hidden_layer_it_is_linear() -> None:
    head = ProjectionHead(E, None, P).double()
    assert sorted(head.state_dict()) == ["out_proj.bias", "out_proj.weight"]
    one, other = torch.randn(2, 4, E, dtype=torch.float64)
    torch.testing.assert_close(head(one + other), head(one) + head(other) - head.out_proj.bias)


@pytest.mark.parametrize("hidden_dim", [None, HIDDEN])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_type_is_kept(hidden_dim: int | None, dtype: torch.dtype) -> None:
    head = ProjectionHead(E, hidden_dim, P).to(dtype)
    assert head(torch.randn(2, E, dtype=dtype)).dtype == dtype
