"""The seed's flags, mapped onto ours in one place.

The first system of the line had a boolean for every corpus and modality. Its commands still run:
each flag either means one of our options, or is refused with the reason.
"""

import logging
from typing import Any

from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, TEXT, parse_modalities
from emo_fairseq.targets import TARGETS, Target

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
_TARGET_FLAGS = {
    "binary_target_iemocap": "binary_emotion",
    "regression_target_mos": "sentiment_score",
    "regression_target": "vad",
}


def modalities(cfg: Any) -> tuple[str, ...]:
    """What ``--modality``, or else ``--a-only`` and ``--t-only`` (both = both), ask for.

    Raises:
        UsageError: they contradict each other.
    """
    flagged = tuple(name for name, flag in ((TEXT, cfg.t_only), (SPEECH, cfg.a_only)) if flag)
    if cfg.modality is None:
        return flagged or (TEXT, SPEECH)
    chosen = parse_modalities(cfg.modality)
    if flagged and flagged != chosen:
        raise UsageError(
            f"--modality {cfg.modality} contradicts --t-only / --a-only, which together ask for "
            f"{'+'.join(flagged)}; give only one of them"
        )
    return chosen


def masked_modalities(cfg: Any, read: tuple[str, ...]) -> tuple[str, ...]:
    """Those that ``--mask-modality`` takes for missing.

    Raises:
        UsageError: one of them is not read, or none would be left.
    """
    if cfg.mask_modality is None:
        return ()
    masked = parse_modalities(cfg.mask_modality)
    if not set(masked) < set(read):
        raise UsageError(
            f"--mask-modality {cfg.mask_modality}: the model reads {'+'.join(read)}; mask some of "
            "these, and not all"
        )
    return masked


def target(cfg: Any) -> Target:
    """What ``--target``, or else one of the seed's target flags, asks for; emotion by default.

    Raises:
        UsageError: they contradict each other, or ``--eval-metric`` is given.
    """
    if cfg.eval_metric:
        raise UsageError(
            "--eval-metric: every validation already logs the published metrics of its target "
            "(per-emotion accuracy and F1 with their baseline, Acc2, Acc7, F1, MAE, Corr); "
            "leave the flag out"
        )
    flagged = {name for flag, name in _TARGET_FLAGS.items() if getattr(cfg, flag)}
    # fairseq gives a choice as an enumeration, which neither sorts nor joins with strings.
    chosen = flagged | ({str(cfg.target)} if cfg.target is not None else set())
    if len(chosen) > 1:
        raise UsageError(
            f"--target and the seed's flags ask for {' and '.join(sorted(chosen))}; give one target"
        )
    return TARGETS[chosen.pop() if chosen else "emotion"]


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
