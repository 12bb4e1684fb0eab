"""Learned weighted sum of the hidden states of an encoder's layers."""

import torch
from torch import Tensor, nn

from emo_fairseq.modules.standardization import Standardization


class LayerMix(nn.Module):
    """Sum the hidden states of all layers, weighted by a softmax of one learned scalar per layer.

    Yang et al. 2021, "SUPERB: Speech processing Universal PERformance Benchmark". The initial
    weights are equal.

    Args:
        n_layers_plus_one: L + 1, including the input of the first layer.

    >>> LayerMix(3)(torch.ones(2, 5, 3, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, n_layers_plus_one: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_layers_plus_one))

    def forward(self, hidden_states: Tensor, standardize: Standardization | None = None) -> Tensor:
        """Map hidden states (B, T, L + 1, C) to features (B, T, C).

        Args:
            hidden_states: of all layers.
            standardize: with statistics (L + 1, C), for the sum of standardized states. Its result
                is computed from the states as they are, since w (x - m) s = (w s) x - w s m.

        Raises:
            ValueError: the number of hidden states is not L + 1.
        """
        if hidden_states.size(2) != len(self.weights):
            raise ValueError(
                f"{hidden_states.size(2)} hidden states for {len(self.weights)} weights: build "
                "LayerMix with the encoder's number of layers plus one"
            )
        precise = torch.promote_types(self.weights.dtype, torch.float32)
        precise = torch.promote_types(hidden_states.dtype, precise)
        scales = self.weights.softmax(dim=0, dtype=precise)[:, None]  # (L + 1, 1)
        mixed = torch.zeros((), dtype=precise, device=hidden_states.device)
        if standardize is not None:
            scales = scales * standardize.scale  # (L + 1, C)
            mixed = -(scales * standardize.mean).sum(dim=0)
        # Layer by layer: an einsum over (B, T, L + 1, C) copies its input on CPUs.
        for state, scale in zip(hidden_states.unbind(dim=2), scales.unbind(), strict=True):
            mixed = torch.addcmul(mixed, state.to(precise), scale)
        return mixed.to(hidden_states.dtype)
