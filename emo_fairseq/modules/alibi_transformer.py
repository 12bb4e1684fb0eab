"""Transformer layers whose attention is biased by distance (ALiBi), as in data2vec 2.0.

Press et al. 2021, "Train Short, Test Long: Attention with Linear Biases Enables Input Length
Extrapolation" (arXiv:2108.12409), here in both directions: a query attends to a key that is d
positions away with d x slope subtracted from their score, one slope a head.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad, scaled_dot_product_attention


def alibi_slopes(n_heads: int) -> list[float]:
    """Return the slope of each head: a geometric sequence that ends in 2^-8.

    For a number of heads that is no power of 2, the heads beyond the next lower power have every
    second slope of twice that power, as in the authors' code.

    >>> alibi_slopes(4)
    [0.25, 0.0625, 0.015625, 0.00390625]
    >>> alibi_slopes(6)[4:]
    [0.5, 0.125]
    """
    lower = 2 ** int(math.log2(n_heads))
    slopes = [2 ** (-8 * (head + 1) / lower) for head in range(lower)]
    between = [2 ** (-8 * (head + 1) / (2 * lower)) for head in range(0, 2 * lower, 2)]
    return slopes + between[: n_heads - lower]


class AlibiBias(nn.Module):
    """Compute what is added to attention scores: slope x distance, times a learned scale.

    Args:
        n_heads: of the attention.
        n_biased: the first heads, which have a bias; the others have none.
        scale_shape: (layers or 1, 1, `n_biased` or 1, 1, 1), the scales that there are.
        learned: whether the scales are trained.

    >>> AlibiBias(n_heads=2, n_biased=2, scale_shape=(1, 1, 1, 1, 1), learned=False)(3, 0, 1)[0, 0]
    tensor([[-0.0000, -0.0625, -0.1250],
            [-0.0625, -0.0000, -0.0625],
            [-0.1250, -0.0625, -0.0000]])
    """

    slopes: Tensor

    def __init__(
        self, n_heads: int, n_biased: int, scale_shape: tuple[int, ...], learned: bool
    ) -> None:
        super().__init__()
        slopes = torch.tensor(alibi_slopes(n_biased))
        self.register_buffer("slopes", slopes, persistent=False)
        self.n_unbiased = n_heads - n_biased
        self.scale = nn.Parameter(torch.ones(scale_shape), requires_grad=learned)

    def forward(self, n_positions: int, n_extra: int, layer: int) -> Tensor:
        """Return the bias (1, H, T, T) of a layer.

        Args:
            n_positions: T.
            n_extra: the first positions, which have no distance to any other.
            layer: its number, from 1.
        """
        positions = torch.arange(n_positions - n_extra, device=self.slopes.device)
        distance = (positions[:, None] - positions).abs()
        scale = self.scale[layer - 1 if len(self.scale) > 1 else 0].clamp_min(0.0)
        bias = -self.slopes[:, None, None] * distance * scale  # 1 x heads with a bias x T x T
        return pad(bias, (n_extra, 0, n_extra, 0, 0, self.n_unbiased))


class AlibiLayer(nn.Module):
    """Apply self-attention and a feed-forward block, pre-norm or post-norm.

    Args:
        embed_dim: C.
        ffn_dim: width of the feed-forward block.
        n_heads: H; must divide C.
        norm_eps: of the layer norms.
        norm_affine: whether they have weights.
        pre_norm: normalize the input of attention and feed-forward block. As in fairseq, the output
            of the latter is then added to itself, not to its input.
        input_dropout: on the input; ``nn.Identity`` for none.
        dropout: after the attention.
        attention_dropout: on the attention weights.
        activation_dropout: after each of the two linear layers of the feed-forward block.
        post_mlp_dropout: after that block.
    """

    def __init__(
        self,
        embed_dim: int,
        ffn_dim: int,
        n_heads: int,
        norm_eps: float,
        norm_affine: bool,
        pre_norm: bool,
        input_dropout: nn.Module,
        dropout: float,
        attention_dropout: float,
        activation_dropout: float,
        post_mlp_dropout: float,
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.pre_norm = pre_norm
        self.norm1 = nn.LayerNorm(embed_dim, norm_eps, norm_affine)
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.norm2 = nn.LayerNorm(embed_dim, norm_eps, norm_affine)
        self.fc1 = nn.Linear(embed_dim, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, embed_dim)
        self.input_dropout = input_dropout
        self.dropout = nn.Dropout(dropout)
        self.attention_dropout = attention_dropout
        self.activation_dropout = nn.Dropout(activation_dropout)
        self.post_mlp_dropout = nn.Dropout(post_mlp_dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return the output (B, T, C) of the layer.

        Args:
            x: (B, T, C).
            bias: (B or 1, H, T, T), added to the attention scores; -inf at padding.
        """
        x = self.input_dropout(x)
        if self.pre_norm:
            x = x + self._attend(self.norm1(x), bias)
            residual = self._feed_forward(self.norm2(x))
            return residual + self.post_mlp_dropout(residual)
        x = self.norm1(x + self._attend(x, bias))
        normed: Tensor = self.norm2(x + self.post_mlp_dropout(self._feed_forward(x)))
        return normed

    def _attend(self, x: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (
            project(x).unflatten(2, (self.n_heads, -1)).transpose(1, 2)  # B x H x T x C / H
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        probability = self.attention_dropout if self.training else 0.0
        attended = scaled_dot_product_attention(query, key, value, bias.to(x.dtype), probability)
        output: Tensor = self.dropout(self.out_proj(attended.transpose(1, 2).flatten(2)))
        return output

    def _feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.activation_dropout(gelu(self.fc1(x)))
        output: Tensor = self.activation_dropout(self.fc2(hidden))
        return output
