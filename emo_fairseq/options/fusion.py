"""Which fusion the options ask for, and which options act on it."""

import logging
from typing import Any

from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

# --fusion, and the options that act on it.
FUSIONS = {
    "concat": (),
    "cross_attention": (
        "encoder_layers_cross",
        "encoder_attention_heads",
        "cross_attention_query",
        "cross_attention_no_ffn",
        "fusion_embed_dim",
    ),
    "gated": ("fusion_embed_dim",),
    "adaptive": ("fusion_embed_dim",),
    "lmf": ("fusion_embed_dim", "lmf_rank"),
}


def fusion_name(cfg: Any, n_modalities: int) -> str:
    """Name of the fusion; one modality alone is just pooled by default, which is `concat` of one.

    Raises:
        UsageError: ``--stack-up`` or cross-attention asked for where it cannot act.
    """
    asked_for_cross = cfg.stack_up or cfg.fusion == "cross_attention"
    if n_modalities == 1:
        if asked_for_cross:
            raise UsageError(
                "--stack-up / --fusion cross_attention need two modalities; "
                "add one to --modality or leave the option out"
            )
        return str(cfg.fusion or "concat")
    if cfg.stack_up and cfg.fusion not in (None, "cross_attention"):
        raise UsageError(f"--stack-up is cross-attention and contradicts --fusion {cfg.fusion}")
    return str(cfg.fusion or "cross_attention")


def check_fusion_options(cfg: Any, n_modalities: int) -> None:
    """See that options of a fusion, where given, have one to act on.

    The seed's commands for a single modality carry those of the cross-attention too, so there they
    are only warned of.

    Raises:
        UsageError: they are given beside another fusion.
    """
    chosen = fusion_name(cfg, n_modalities)
    known = dict.fromkeys(name for names in FUSIONS.values() for name in names)
    idle = [
        name
        for name in known
        if getattr(cfg, name, None) not in (None, False) and name not in FUSIONS[chosen]
    ]
    if not idle:
        return
    given = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
    if n_modalities > 1:
        raise UsageError(f"{given}: does not act on --fusion {chosen}; leave out one of them")
    logger.warning("one modality: --fusion %s has nothing for %s to act on", chosen, given)


def cross_attention_query(cfg: Any) -> str:
    """Which tokens ask: ``--stack-up`` means the seed's first token."""
    chosen: str | None = cfg.cross_attention_query
    if cfg.stack_up and chosen == "all_tokens":
        raise UsageError("--stack-up lets the first token ask; leave out one of the two options")
    return "first_token" if cfg.stack_up else chosen or "all_tokens"
