"""The flags of BERT-like (Siriwardhana et al. 2020), mapped onto the options of today.

That system has a boolean for every corpus and modality. Its commands still run: each flag means one
of our options, or is refused with the reason.
"""

from typing import Any

from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    SPEECH,
    TARGETS,
    TEXT,
    Target,
    parse_modalities,
)

_TARGET_FLAGS = {
    "binary_target_iemocap": "binary_emotion",
    "regression_target_mos": "sentiment_score",
    "regression_target": "vad",
}


def modalities(cfg: Any) -> tuple[str, ...]:
    """Return the modalities of ``--modality``, or else of ``--a-only`` and ``--t-only``.

    Raises:
        UsageError: they contradict each other.
    """
    flagged = tuple(name for name, flag in ((TEXT, cfg.t_only), (SPEECH, cfg.a_only)) if flag)
    if cfg.modality is None:
        return flagged or (TEXT, SPEECH)
    chosen = parse_modalities(cfg.modality)
    if flagged and flagged != chosen:
        raise UsageError(
            f"--modality {cfg.modality} contradicts --t-only / --a-only, which together mean "
            f"{'+'.join(flagged)}; give only one of them",
            "modality-contradictory",
        )
    return chosen


def target(cfg: Any) -> Target:
    """Return the target of ``--target``, or else of a legacy flag; emotion by default.

    Raises:
        UsageError: they contradict each other, or ``--eval-metric`` is given.
    """
    if cfg.eval_metric:
        raise UsageError(
            "--eval-metric: every validation already logs the published metrics of its target "
            "(per-emotion accuracy and F1 with their baseline, Acc2, Acc7, F1, MAE, Corr); "
            "leave the flag out",
            "eval-metric-refused",
        )
    flagged = {name for flag, name in _TARGET_FLAGS.items() if getattr(cfg, flag)}
    # fairseq gives a choice as an enumeration, which neither sorts nor joins with strings.
    chosen = flagged | ({str(cfg.target)} if cfg.target is not None else set())
    if len(chosen) > 1:
        raise UsageError(
            f"--target and the legacy flags mean {' and '.join(sorted(chosen))}; give one target",
            "target-contradictory",
        )
    return TARGETS[chosen.pop() if chosen else "emotion"]
