"""Fusions of modalities: {modality: (features (B, T, C), padding_mask (B, T))} -> (B, D).

| fusion | output |
|---|---|
| :class:`ConcatFusion` | pooled vectors, concatenated |
| :class:`CrossAttentionFusion` | pooled cross-attention of each ordered pair, concatenated |
| :class:`GatedFusion` | sum with one gate per modality and output, from all modalities |
| :class:`AdaptiveFusion` | sum with one weight per modality, from its own content |
| :class:`LowRankFusion` | low-rank map of the outer product |
| :class:`TensorFusion` | linear map of the outer product |
| :class:`CrossmodalTransformer` | pooled self-attention over cross-attention, concatenated |
| :class:`SubspaceFusion` | shared and private vectors after self-attention, concatenated |
"""

from emo_fairseq.modules.fusion.adaptive import AdaptiveFusion
from emo_fairseq.modules.fusion.base import Fusion
from emo_fairseq.modules.fusion.concat import ConcatFusion
from emo_fairseq.modules.fusion.cross_attention import CrossAttentionFusion
from emo_fairseq.modules.fusion.crossmodal import CrossmodalTransformer
from emo_fairseq.modules.fusion.gated import GatedFusion
from emo_fairseq.modules.fusion.low_rank import LowRankFusion
from emo_fairseq.modules.fusion.subspaces import SubspaceFusion
from emo_fairseq.modules.fusion.tensor import TensorFusion

__all__ = [
    "AdaptiveFusion",
    "ConcatFusion",
    "CrossAttentionFusion",
    "CrossmodalTransformer",
    "Fusion",
    "GatedFusion",
    "LowRankFusion",
    "SubspaceFusion",
    "TensorFusion",
]
