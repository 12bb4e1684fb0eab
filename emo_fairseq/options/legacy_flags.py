"""The flags of BERT-like (Siriwardhana et al. 2020), mapped onto the options of today.

That system has a boolean for every corpus and modality. Its commands still run: each flag means one
of our options, or is refused with the reason.
"""

from collections.abc import Mapping
from typing import Protocol

from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import MODALITIES, SPEECH, TEXT, VIDEO, parse_modalities
from emo_fairseq.options.option import flag
from emo_fairseq.targets import TARGETS, UNLABELED, Target

MODALITY_FLAGS: Mapping[str, tuple[str, ...]] = {
    "t_only": (TEXT,),
    "a_only": (SPEECH,),
    "v_only": (VIDEO,),
    "all_in": MODALITIES,
}
_TARGET_FLAGS = {
    "binary_target_iemocap": "binary_emotion",
    "softmax_target_meld": "emotion",
    "regression_target_mos": "sentiment_score",
    "regression_target": "vad",
}


class ChosenOptions(Protocol):
    """The options of a task that name its modalities and its target, beside the flags."""

    @property
    def modality(self) -> str | None: ...

    @property
    def target(self) -> str | None: ...


def modalities(cfg: ChosenOptions) -> tuple[str, ...]:
    """Return the modalities of ``--modality``, or else of the flags of single ones.

    Raises:
        UsageError: they contradict each other.
    """
    given = [name for name in MODALITY_FLAGS if getattr(cfg, name, False)]
    named = {modality for name in given for modality in MODALITY_FLAGS[name]}
    flagged = tuple(name for name in MODALITIES if name in named)
    if cfg.modality is None:
        return flagged or (TEXT, SPEECH)
    chosen = parse_modalities(cfg.modality)
    if flagged and flagged != chosen:
        raise UsageError(
            f"--modality {cfg.modality} contradicts {' '.join(map(flag, given))}, which means "
            f"{'+'.join(flagged)}; give only one of them",
            "modality-contradictory",
        )
    return chosen


def target(cfg: ChosenOptions) -> Target:
    """Return the target of ``--target``, or else of a legacy flag; emotion by default.

    Raises:
        UsageError: they contradict each other, or one is given that no option replaces.
    """
    _refuse_without_equivalent(cfg)
    flagged = {target for name, target in _TARGET_FLAGS.items() if getattr(cfg, name, False)}
    # fairseq gives a choice as an enumeration, which neither sorts nor joins with strings.
    chosen = flagged | ({str(cfg.target)} if cfg.target is not None else set())
    if len(chosen) > 1:
        raise UsageError(
            f"--target and the legacy flags mean {' and '.join(sorted(chosen))}; give one target",
            "target-contradictory",
        )
    name = chosen.pop() if chosen else "emotion"
    return UNLABELED if name == UNLABELED.name else TARGETS[name]


def has_target_flag(cfg: object) -> bool:
    """Return whether a legacy flag names the target."""
    return any(getattr(cfg, name, False) for name in _TARGET_FLAGS)


def _refuse_without_equivalent(cfg: object) -> None:
    if getattr(cfg, "eval_metric", False):
        raise UsageError(
            "--eval-metric: every validation already logs the published metrics of its target "
            "(per-emotion accuracy and F1 with their baseline, Acc2, Acc7, F1, MAE, Corr); "
            "leave the flag out",
            "eval-metric-refused",
        )
    if getattr(cfg, "no_shuffle", False):
        raise UsageError(
            "--no-shuffle: the rows of a training are shuffled in every epoch; leave the flag out, "
            "or add them in the order of a file by --curriculum-order preset, or keep the order "
            "of the batches for N epochs by fairseq's --curriculum N",
            "no-shuffle-refused",
        )
