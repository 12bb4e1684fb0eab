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

_CROSS_ATTENTION_OPTIONS = (
    "encoder_layers_cross",
    "encoder_attention_heads",
    "cross_attention_query",
    "fusion_embed_dim",
)
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
    """Name of the fusion; one modality alone is pooled, which is `concat` of one.

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
        return "concat"
    if cfg.stack_up and cfg.fusion == "concat":
        raise UsageError("--stack-up is cross-attention and contradicts --fusion concat")
    return cfg.fusion or "cross_attention"


def check_cross_attention_options(cfg: Any, n_modalities: int) -> None:
    """See that options of the cross-attention, where given, have one to act on.

    The seed's commands for a single modality carry them too, so there they are only warned of.

    Raises:
        UsageError: they are given beside ``--fusion concat``.
    """
    names = [name for name in _CROSS_ATTENTION_OPTIONS if getattr(cfg, name, None) is not None]
    if not names or fusion_name(cfg, n_modalities) != "concat":
        return
    given = ", ".join(f"--{name.replace('_', '-')}" for name in names)
    if n_modalities > 1:
        raise UsageError(f"{given}: --fusion concat has no cross-attention; leave out one of them")
    logger.warning("one modality: there is no cross-attention for %s to act on", given)


def cross_attention_query(cfg: Any) -> str:
    """Which tokens ask: ``--stack-up`` means the seed's first token."""
    chosen: str | None = cfg.cross_attention_query
    if cfg.stack_up and chosen == "all_tokens":
        raise UsageError("--stack-up lets the first token ask; leave out one of the two options")
    return "first_token" if cfg.stack_up else chosen or "all_tokens"
