"""Fusions: {modality: (features (B, T, C), padding_mask (B, T))} -> (B, D)."""

from emo_fairseq.modules.fusion.adaptive import AdaptiveFusion
from emo_fairseq.modules.fusion.base import (
    Attention,
    Encoded,
    Fusion,
)
from emo_fairseq.modules.fusion.concat import ConcatFusion
from emo_fairseq.modules.fusion.cross_attention import CrossAttentionFusion
from emo_fairseq.modules.fusion.gated import GatedFusion
from emo_fairseq.modules.fusion.low_rank import LowRankFusion

__all__ = [
    "AdaptiveFusion",
    "Attention",
    "ConcatFusion",
    "CrossAttentionFusion",
    "Encoded",
    "Fusion",
    "GatedFusion",
    "LowRankFusion",
]
