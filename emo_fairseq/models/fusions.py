"""Which fusion the options ask for, built from its parts."""

from collections.abc import Callable, Mapping
from typing import Any

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.fusion import (
    AdaptiveFusion,
    ConcatFusion,
    CrossAttentionFusion,
    Fusion,
    GatedFusion,
    LowRankFusion,
)
from emo_fairseq.modules.pooling import POOLINGS, Pooling
from emo_fairseq.options import fusion
from emo_fairseq.types import TOKENS


def build_fusion(cfg: Any, widths: Mapping[str, int], inputs: Mapping[str, str]) -> Fusion:
    """The fusion of ``--fusion``, with its poolings.

    Args:
        cfg: options of the architecture, filled in.
        widths: C of each modality.
        inputs: what each modality's encoder reads.

    Raises:
        UsageError: options that do not go together.
    """
    name = fusion.fusion_name(cfg, len(widths))
    return _BUILDERS[name](cfg, widths, inputs)


def _poolers(cfg: Any, widths: Mapping[str, int], inputs: Mapping[str, str]) -> dict[str, Pooling]:
    kinds = {
        name: str(getattr(cfg, f"{name}_pooling") or ("first" if kind == TOKENS else "mean"))
        for name, kind in inputs.items()
    }
    return {name: POOLINGS[kinds[name]](width) for name, width in widths.items()}


def _concat(cfg: Any, widths: Mapping[str, int], inputs: Mapping[str, str]) -> Fusion:
    return ConcatFusion(_poolers(cfg, widths, inputs))


def _gated(cfg: Any, widths: Mapping[str, int], inputs: Mapping[str, str]) -> Fusion:
    return GatedFusion(_poolers(cfg, widths, inputs), cfg.fusion_embed_dim, cfg.dropout)


def _adaptive(cfg: Any, widths: Mapping[str, int], inputs: Mapping[str, str]) -> Fusion:
    return AdaptiveFusion(_poolers(cfg, widths, inputs), cfg.fusion_embed_dim, cfg.dropout)


def _low_rank(cfg: Any, widths: Mapping[str, int], inputs: Mapping[str, str]) -> Fusion:
    poolers = _poolers(cfg, widths, inputs)
    return LowRankFusion(poolers, cfg.fusion_embed_dim, cfg.lmf_rank, cfg.dropout)


def _cross_attention(cfg: Any, widths: Mapping[str, int], inputs: Mapping[str, str]) -> Fusion:
    first_token_only = fusion.cross_attention_query(cfg) == "first_token"
    frames = [name for name, kind in inputs.items() if kind != TOKENS]
    if first_token_only and frames:
        raise UsageError(
            f"--stack-up / --cross-attention-query first_token: the first frame of {frames[0]} "
            f"({inputs[frames[0]]}) says nothing of the rest; give it an encoder of tokens, or "
            "--cross-attention-query all_tokens"
        )
    if cfg.fusion_embed_dim % cfg.encoder_attention_heads:
        raise UsageError(
            f"--encoder-attention-heads {cfg.encoder_attention_heads} does not divide "
            f"--fusion-embed-dim {cfg.fusion_embed_dim}; change one of them"
        )
    return CrossAttentionFusion(
        widths,
        # What was told is pooled by its mean, unless the asking modality's pooling is given.
        pooling={name: POOLINGS[str(getattr(cfg, f"{name}_pooling") or "mean")] for name in widths},
        fusion_dim=cfg.fusion_embed_dim,
        n_layers=cfg.encoder_layers_cross,
        n_heads=cfg.encoder_attention_heads,
        dropout=cfg.dropout,
        attention_dropout=cfg.attention_dropout,
        first_token_only=first_token_only,
        ffn=not cfg.cross_attention_no_ffn,
    )


_BUILDERS: Mapping[str, Callable[..., Fusion]] = {
    "concat": _concat,
    "cross_attention": _cross_attention,
    "gated": _gated,
    "adaptive": _adaptive,
    "lmf": _low_rank,
}
