"""From frames to one vector an utterance."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

#: Where :class:`AttentionPooling` puts its weights in the `attention` it is given.
POOLING_WEIGHTS = "pooling"

_SCORER_DIM = 128  # width of the attention's scorer, as in ECAPA-TDNN
_NO_VARIANCE = 1e-12  # rounding in equal frames; its square root's gradient would be noise


class Pooling(nn.Module):
    """What every pooling is.

    Attributes:
        output_dim: width of the vector.
    """

    output_dim: int

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Pool.

        Args:
            features: (B, T, C). What stands in padding has no influence and no gradient.
            padding_mask: (B, T), True = padding.
            attention: if given, poolings with weights leave them (B, T) under `POOLING_WEIGHTS`.

        Returns:
            (B, output_dim); finite, and of no meaning, where a row is all padding.
        """
        raise NotImplementedError


class FirstPooling(Pooling):
    """The first frame: ``<s>`` of RoBERTa, ``[CLS]`` of BERT."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.output_dim = embed_dim

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        return features[:, 0].masked_fill(padding_mask[:, :1], 0.0)


class MeanPooling(Pooling):
    """The mean of the frames."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.output_dim = embed_dim

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        return masked_mean(features, padding_mask)


class AttentionPooling(Pooling):
    """A mean whose weights are learned: softmax over frames of v · tanh(W x + b).

    Yang et al. 2016, "Hierarchical Attention Networks for Document Classification", equations 5-7.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.scorer = nn.Sequential(
            nn.Linear(embed_dim, _SCORER_DIM),
            nn.Tanh(),
            nn.Linear(_SCORER_DIM, 1, bias=False),  # a softmax does not see a bias
        )
        self.output_dim = embed_dim

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        features = features.masked_fill(padding_mask[..., None], 0.0)
        scores = self.scorer(features).squeeze(-1)  # B x T x 1 -> B x T
        weights = masked_softmax(scores, padding_mask, dim=1)
        if attention is not None:
            attention[POOLING_WEIGHTS] = weights.detach()
        # (B x 1 x T) (B x T x C) -> B x C
        return torch.bmm(weights.to(features.dtype)[:, None], features).squeeze(1)


class MeanStdPooling(Pooling):
    """Mean and (population) standard deviation of the frames, concatenated: 2 C.

    Statistics pooling of Snyder et al. 2018, "X-vectors: Robust DNN Embeddings for Speaker
    Recognition". The deviation of one frame is 0.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.output_dim = 2 * embed_dim

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        precise = _at_least_float32(features)
        mean = masked_mean(precise, padding_mask)
        variance = masked_mean((precise - mean[:, None]).square(), padding_mask)
        # The slope of a root at 0 is infinite, and infinity times 0 no number: root something else.
        varies = variance > _NO_VARIANCE
        std = torch.where(varies, variance, 1.0).sqrt().masked_fill(~varies, 0.0)
        return torch.cat([mean, std], dim=1).to(features.dtype)


#: What `embed_dim` makes of each kind.
POOLINGS: Mapping[str, Callable[[int], Pooling]] = {
    "first": FirstPooling,
    "mean": MeanPooling,
    "attention": AttentionPooling,
    "mean_std": MeanStdPooling,
}


def masked_mean(features: Tensor, padding_mask: Tensor) -> Tensor:
    """Mean over the frames that are not padding.

    Args:
        features: (B, T, C).
        padding_mask: (B, T), True = padding.

    Returns:
        (B, C) of the same type; zeros where a row is all padding.
    """
    real = _at_least_float32(features).masked_fill(padding_mask[..., None], 0.0)
    n_frames = (~padding_mask).sum(dim=1, keepdim=True)  # (B, 1)
    return (real.sum(dim=1) / n_frames.clamp(min=1)).to(features.dtype)


def masked_softmax(scores: Tensor, masked: Tensor, dim: int) -> Tensor:
    """Softmax over what is not masked, in float32 or better.

    Args:
        scores: of any shape.
        masked: broadcasts to it; True = weight 0.
        dim: over which the weights sum to 1, or to 0 where all is masked.
    """
    precise = _at_least_float32(scores)
    # Not minus infinity: where all is masked, the softmax and its gradient would start as NaN.
    lowest = torch.finfo(precise.dtype).min
    return precise.masked_fill(masked, lowest).softmax(dim=dim).masked_fill(masked, 0.0)


def _at_least_float32(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
