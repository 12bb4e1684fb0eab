"""Poolings: from frames (B, T, C) to one vector per utterance."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

#: Key under which :class:`AttentionPooling` stores its weights in `attention`.
POOLING_WEIGHTS = "pooling"

_SCORER_DIM = 128  # width of the attention's scorer, as in ECAPA-TDNN
_NO_VARIANCE = 1e-12  # rounding in equal frames; its square root's gradient would be noise


class Pooling(nn.Module):
    """Pool the frames of each row into one vector. Base class.

    Attributes:
        output_dim: width of the vector.
    """

    _n_vectors = 1  # of the width of a frame, in the output

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.output_dim = self._n_vectors * embed_dim

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Pool a padded batch.

        Args:
            features: (B, T, C). Values in padding have no influence and no gradient.
            padding_mask: (B, T), True = padding.
            attention: if given, poolings with weights store them, (B, T), under
                `POOLING_WEIGHTS`.

        Returns:
            (B, output_dim); finite but meaningless where a row is all padding.
        """
        raise NotImplementedError


class FirstPooling(Pooling):
    """Return the first frame: ``<s>`` of RoBERTa, ``[CLS]`` of BERT.

    >>> frames = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> FirstPooling(1)(frames, torch.tensor([[False, False, True]]))
    tensor([[1.]])
    """

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        return features[:, 0].masked_fill(padding_mask[:, :1], 0.0)


class MeanPooling(Pooling):
    """Average the frames.

    >>> frames = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> MeanPooling(1)(frames, torch.tensor([[False, False, True]]))
    tensor([[2.]])
    """

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        return masked_mean(features, padding_mask)


class AttentionPooling(Pooling):
    """Average the frames with learned weights: softmax over frames of v · tanh(W x + b).

    Yang et al. 2016, "Hierarchical Attention Networks for Document Classification", equations 5-7.

    >>> attention = {}
    >>> frames, mask = torch.randn(1, 3, 8), torch.tensor([[False, False, True]])
    >>> AttentionPooling(8)(frames, mask, attention).shape
    torch.Size([1, 8])
    >>> attention["pooling"].shape, float(attention["pooling"][0, 2])
    (torch.Size([1, 3]), 0.0)
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__(embed_dim)
        self.scorer = _scorer(embed_dim, 1)

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        features = features.masked_fill(padding_mask[..., None], 0.0)
        weights = _weigh(self.scorer(features), padding_mask, attention)  # B x T x 1
        # (B x 1 x T) (B x T x C) -> B x C
        return torch.bmm(weights.to(features.dtype).transpose(1, 2), features).squeeze(1)


class MeanStdPooling(Pooling):
    """Concatenate mean and (population) standard deviation of the frames: 2 C.

    Statistics pooling of Snyder et al. 2018, "X-vectors: Robust DNN Embeddings for Speaker
    Recognition". The deviation of one frame is 0.

    >>> frames = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> MeanStdPooling(1)(frames, torch.tensor([[False, False, True]]))
    tensor([[2., 1.]])
    """

    _n_vectors = 2

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        return torch.cat(_mean_and_std(features, padding_mask), dim=1).to(features.dtype)


class AttentiveStatisticsPooling(Pooling):
    """Concatenate mean and standard deviation of the frames, both with learned weights: 2 C.

    Okabe et al. 2018, "Attentive Statistics Pooling for Deep Speaker Embedding" (arXiv:1803.10963),
    equations 3-6: the weights are those of :class:`AttentionPooling`. The deviation of one frame is
    0.

    >>> frames, mask = torch.randn(1, 3, 8), torch.tensor([[False, False, True]])
    >>> AttentiveStatisticsPooling(8)(frames, mask).shape
    torch.Size([1, 16])
    """

    _n_vectors = 2

    def __init__(self, embed_dim: int) -> None:
        super().__init__(embed_dim)
        self.scorer = _scorer(embed_dim, 1)

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        features = features.masked_fill(padding_mask[..., None], 0.0)
        weights = _weigh(self.scorer(features), padding_mask, attention)  # B x T x 1
        statistics = _weighted_mean_and_std(features, weights)
        return torch.cat(statistics, dim=1).to(features.dtype)


class ChannelStatisticsPooling(Pooling):
    """Attentive statistics with weights for each channel, which depend on the whole utterance: 2 C.

    Desplanques et al. 2020, "ECAPA-TDNN: Emphasized Channel Attention, Propagation and Aggregation
    in TDNN Based Speaker Verification" (arXiv:2005.07143), section 3.1: a frame is scored together
    with mean and standard deviation of all frames. There is no batch norm, whose statistics would
    include other utterances. The stored weights of a frame are the mean of those of its channels.

    >>> frames, mask = torch.randn(1, 3, 8), torch.tensor([[False, False, True]])
    >>> ChannelStatisticsPooling(8)(frames, mask).shape
    torch.Size([1, 16])
    """

    _n_vectors = 2

    def __init__(self, embed_dim: int) -> None:
        super().__init__(embed_dim)
        self.scorer = _scorer(3 * embed_dim, embed_dim)

    def forward(
        self, features: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None = None
    ) -> Tensor:
        features = features.masked_fill(padding_mask[..., None], 0.0)
        statistics = torch.cat(_mean_and_std(features, padding_mask), dim=1).to(features.dtype)
        context = statistics[:, None].expand(-1, features.size(1), -1)  # B x T x 2C
        scores = self.scorer(torch.cat([features, context], dim=2))  # B x T x 3C -> B x T x C
        weights = _weigh(scores, padding_mask, attention)
        statistics = torch.cat(_weighted_mean_and_std(features, weights), dim=1)
        return statistics.to(features.dtype)


#: Names of poolings that have no weights and read all frames.
FIXED_POOLINGS = ("mean", "mean_std")

#: Each pooling by its name; called with `embed_dim`.
POOLINGS: Mapping[str, Callable[[int], Pooling]] = {
    "first": FirstPooling,
    "mean": MeanPooling,
    "attention": AttentionPooling,
    "mean_std": MeanStdPooling,
    "attentive_statistics": AttentiveStatisticsPooling,
    "channel_statistics": ChannelStatisticsPooling,
}


def _scorer(input_dim: int, output_dim: int) -> nn.Sequential:
    """Return what scores frames (B, T, input_dim) as (B, T, output_dim)."""
    return nn.Sequential(
        nn.Linear(input_dim, _SCORER_DIM),
        nn.Tanh(),
        nn.Linear(_SCORER_DIM, output_dim, bias=False),  # a softmax cancels a bias
    )


def _weigh(scores: Tensor, padding_mask: Tensor, attention: dict[str, Tensor] | None) -> Tensor:
    """Return weights (B, T, K) of scores (B, T, K), and store their mean over K."""
    weights = masked_softmax(scores, padding_mask[..., None], dim=1)
    if attention is not None:
        attention[POOLING_WEIGHTS] = weights.detach().mean(dim=2)
    return weights


def masked_mean(features: Tensor, padding_mask: Tensor) -> Tensor:
    """Average the frames that are not padding.

    Args:
        features: (B, T, C).
        padding_mask: (B, T), True = padding.

    Returns:
        (B, C) of the same dtype; zeros where a row is all padding.
    """
    real = _at_least_float32(features).masked_fill(padding_mask[..., None], 0.0)
    n_frames = (~padding_mask).sum(dim=1, keepdim=True)  # (B, 1)
    return (real.sum(dim=1) / n_frames.clamp(min=1)).to(features.dtype)


def _mean_and_std(features: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (B, C) of frames (B, T, C), in float32 or better."""
    real = _at_least_float32(features).masked_fill(padding_mask[..., None], 0.0)
    weights = (~padding_mask)[..., None].to(real.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
    return _weighted_mean_and_std(real, weights)


def _weighted_mean_and_std(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same with weights (B, T, C) or (B, T, 1), which sum to 1 over T."""
    precise = _at_least_float32(features)
    mean = _weighted_sum(precise, weights)
    # The slope of the variance with respect to the mean, -2 sum w (x - m), is 0: without it, frames
    # that need no gradient are passed over once in the backward pass.
    variance = _weighted_sum((precise - mean.detach()[:, None]).square(), weights)
    return mean, _root(variance)


def _weighted_sum(values: Tensor, weights: Tensor) -> Tensor:
    """Sum values (B, T, C) with weights (B, T, C) or (B, T, 1) over T, in their precision."""
    if weights.size(2) != 1:
        return (weights * values).sum(dim=1)
    with torch.autocast(values.device.type, enabled=False):  # which would round a product
        # (B x 1 x T) (B x T x C) -> B x C: a product of (B, T, C) would be stored.
        return torch.bmm(weights.transpose(1, 2), values).squeeze(1)


def _root(variance: Tensor) -> Tensor:
    # The slope of a root at 0 is infinite, and times 0 its gradient is NaN: take the root of 1.
    varies = variance > _NO_VARIANCE
    return torch.where(varies, variance, 1.0).sqrt().masked_fill(~varies, 0.0)


def masked_softmax(scores: Tensor, masked: Tensor, dim: int) -> Tensor:
    """Apply a softmax to the scores that are not masked, in float32 or better.

    Args:
        scores: of any shape.
        masked: broadcast to that shape; True = weight 0.
        dim: dimension of the softmax.

    Returns:
        Weights that sum to 1 over `dim`, or to 0 where all scores are masked.
    """
    precise = _at_least_float32(scores)
    # Not -inf: where all is masked, the softmax and its gradient would be NaN.
    lowest = torch.finfo(precise.dtype).min
    return precise.masked_fill(masked, lowest).softmax(dim=dim).masked_fill(masked, 0.0)


def _at_least_float32(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
