"""One sequence of features from those of all layers of an encoder."""

import torch
from torch import Tensor, nn


class LayerMix(nn.Module):
    """SUPERB's weighted sum of hidden states: one learned scalar a layer, through a softmax.

    Yang et al. 2021, "SUPERB: Speech processing Universal PERformance Benchmark". It starts as
    the plain mean.

    Args:
        n_layers_plus_one: L + 1, what enters the first layer included.
    """

    def __init__(self, n_layers_plus_one: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_layers_plus_one))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, T, L + 1, C) -> (B, T, C).

        Raises:
            ValueError: there are more or fewer hidden states than weights.
        """
        if hidden_states.size(2) != len(self.weights):
            raise ValueError(
                f"{hidden_states.size(2)} hidden states for {len(self.weights)} weights: build "
                "LayerMix with the encoder's number of layers plus one"
            )
        precise = torch.promote_types(self.weights.dtype, torch.float32)
        weights = self.weights.softmax(dim=0, dtype=precise)
        return torch.einsum("l,btlc->btc", weights.to(hidden_states.dtype), hidden_states)
