"""Context by a transformer over the turns of a dialogue."""

import torch
from torch import Tensor, nn

from emo_fairseq.modules.dialogue.base import ContextEncoder, Dialogue
from emo_fairseq.modules.dialogue.sequences import at_rows, in_order

_FARTHEST = 16  # turns; all that are farther apart have one bias
_AVERSION = -2.0  # of a head to turns of the same speaker, or of others, at first
_SAME, _OTHER, _UNKNOWN = range(3)  # the speaker of another turn; a turn has the speaker of itself


class TransformerContext(ContextEncoder):
    """Attend to all turns of the dialogue, or with `causal` to those before.

    Pre-norm layers. To the score of two turns a learned number is added for their distance, and one
    for whether they have the same speaker, both for each head: relative positions as in T5 (Raffel
    et al. 2020, arXiv:1910.10683), and relations of speakers in place of their names. M2FNet
    (Chudasama et al. 2022, arXiv:2206.02187) has such layers over the turns of each modality.

    A few hundred dialogues are too few to learn from even attention that close turns matter most.
    So training starts from biases that fall with the distance, by another slope in each head, as
    those of ALiBi (Press et al. 2022, arXiv:2108.12409) do for good. Of two heads one prefers turns
    of the same speaker and the other those of other speakers: in a mean over both, what a speaker
    continues cannot be distinguished from an answer.

    Args:
        width: D, of the turns; `n_heads` must divide it.
        n_layers: layers.
        n_heads: attention heads.
        dropout: on attention weights, and after attention and feed-forward.
        causal: attend to earlier turns only.
        speakers: compare the speakers of turns.
    """

    def __init__(
        self,
        width: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
        causal: bool,
        speakers: bool = True,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.layers = nn.ModuleList(
            _Layer(width, n_heads, dropout, speakers) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.output_dim = width

    def forward(self, turns: Tensor, dialogue: Dialogue) -> Tensor:
        grid = in_order(dialogue)
        x = nn.functional.pad(turns, (0, 0, 1, 0))[grid]  # U x D -> W x L x D
        places = torch.arange(grid.shape[1], device=grid.device)
        distance = places - places[:, None]  # (L, L), from the query to the key
        relation = _relations(dialogue["speaker"], distance == 0)  # (W, L, L)
        hidden = (grid == 0)[:, None, None, :]  # (W, 1, 1, L)
        if self.causal:
            hidden = hidden | (distance > 0)
        for layer in self.layers:
            x = layer(x, distance.clamp(-_FARTHEST, _FARTHEST) + _FARTHEST, relation, hidden)
        outputs = self.norm(x).flatten(0, 1)  # W x L x D -> W L x D
        flat = torch.arange(outputs.shape[0], device=grid.device).view(grid.shape)
        return outputs[at_rows(flat, grid, turns.shape[0])]


class _Layer(nn.Module):
    def __init__(self, width: int, n_heads: int, dropout: float, speakers: bool) -> None:
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = _Attention(width, n_heads, dropout, speakers)
        self.ffn = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, distance: Tensor, relation: Tensor, hidden: Tensor) -> Tensor:
        """Encode windows (W, L, D)."""
        x = x + self.dropout(self.attention(self.attention_norm(x), distance, relation, hidden))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))


class _Attention(nn.Module):
    def __init__(self, width: int, n_heads: int, dropout: float, speakers: bool) -> None:
        super().__init__()
        self.n_heads, self.rate = n_heads, dropout
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        farness = torch.arange(-_FARTHEST, _FARTHEST + 1).abs()
        slopes = 2.0 ** -torch.arange(n_heads).div(2, rounding_mode="floor")  # 1, 1, 1/2, 1/2, ...
        self.position_bias = nn.Parameter(-farness[:, None] * slopes)
        speaker_bias = torch.zeros(3, n_heads)
        speaker_bias[_OTHER, ::2] = _AVERSION
        speaker_bias[_SAME, 1::2] = _AVERSION
        self.speaker_bias = nn.Parameter(speaker_bias) if speakers else None

    def forward(self, x: Tensor, distance: Tensor, relation: Tensor, hidden: Tensor) -> Tensor:
        """Attend within windows.

        Args:
            x: (W, L, D).
            distance: (L, L), index of the position bias.
            relation: (W, L, L), index of the speaker bias.
            hidden: True = not attended; broadcasts to (W, H, L, L).
        """
        # W x L x 3D -> 3 of W x H x L x D/H
        queries, keys, values = (
            self.in_proj(x).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        )
        bias = self.position_bias[distance].permute(2, 0, 1)  # (H, L, L)
        if self.speaker_bias is not None:
            bias = bias + self.speaker_bias[relation].permute(0, 3, 1, 2)  # (W, H, L, L)
        scores = bias.masked_fill(hidden, -torch.inf)
        rate = self.rate if self.training else 0.0
        attended = nn.functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=scores.to(queries.dtype), dropout_p=rate
        )
        return self.out_proj(attended.transpose(1, 2).flatten(2))


def _relations(speaker: Tensor, is_itself: Tensor) -> Tensor:
    """Compare the speakers (W, L) of all pairs of turns, (W, L, L)."""
    this, that = speaker[:, :, None], speaker[:, None, :]
    known = torch.where(this == that, _SAME, _OTHER)
    relation = torch.where((this < 0) | (that < 0), _UNKNOWN, known)
    return relation.masked_fill(is_itself, _SAME)
