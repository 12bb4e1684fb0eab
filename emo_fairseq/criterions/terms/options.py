"""The options of the terms that any criterion may have, and the terms that they ask for."""

from dataclasses import dataclass, field
from typing import Any, List, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.criterions.terms.adversaries import AdversaryTerm
from emo_fairseq.criterions.terms.auxiliary import (
    FIXED,
    UNCERTAINTY,
    AuxiliaryTargets,
    parse_weights,
)
from emo_fairseq.criterions.terms.consistency import RDrop
from emo_fairseq.criterions.terms.mixup import EmbeddingMixup
from emo_fairseq.criterions.terms.term import Term
from emo_fairseq.errors import UsageError


@dataclass
class TermsConfig(FairseqDataclass):
    """What is added to the primary loss in training."""

    auxiliary_weights: Optional[str] = field(
        default=None,
        metadata={"help": "weights of --auxiliary-targets, vad=0.5,sentiment=1 (default: 1 each)"},
    )
    auxiliary_weighting: ChoiceEnum([FIXED, UNCERTAINTY]) = field(  # type: ignore[valid-type]
        default=FIXED,
        metadata={"help": "uncertainty: learn how much each target counts, the primary one too"},
    )
    speaker_adversary_weight: float = field(
        default=0.0,
        metadata={"help": "weight of a speaker classifier behind a gradient reversal"},
    )
    corpus_adversary_weight: float = field(
        default=0.0,
        metadata={"help": "weight of a corpus classifier behind a gradient reversal"},
    )
    adversary_warmup_updates: int = field(
        default=0, metadata={"help": "updates in which the reversed gradients grow from 0"}
    )
    r_drop_weight: float = field(
        default=0.0,
        metadata={"help": "weight of the disagreement of two passes (R-Drop's alpha)"},
    )
    mixup_alpha: float = field(
        default=0.0, metadata={"help": "mix embeddings, by shares of a Beta distribution (0: no)"}
    )


def build_terms(cfg: Any, task: Any) -> List[Term]:
    """The terms that the options ask for; none where nothing is trained.

    Raises:
        UsageError: an option that would do nothing, or cannot be.
    """
    if not getattr(task, "trains", False):
        return []
    _check(cfg, task)
    terms: List[Term] = []
    if task.auxiliary:
        weights = parse_weights(cfg.auxiliary_weights, task.auxiliary)
        terms.append(AuxiliaryTargets(task, weights, str(cfg.auxiliary_weighting)))
    warmup = cfg.adversary_warmup_updates
    if cfg.speaker_adversary_weight:
        terms.append(AdversaryTerm(task, "speaker", cfg.speaker_adversary_weight, warmup))
    if cfg.corpus_adversary_weight:
        terms.append(AdversaryTerm(task, "corpus", cfg.corpus_adversary_weight, warmup))
    if cfg.r_drop_weight:
        terms.append(RDrop(cfg.r_drop_weight, task.target.kind))
    if cfg.mixup_alpha:
        terms.append(EmbeddingMixup(cfg.mixup_alpha))
    return terms


_NOT_NEGATIVE = (
    "speaker_adversary_weight",
    "corpus_adversary_weight",
    "adversary_warmup_updates",
    "r_drop_weight",
    "mixup_alpha",
)


def _check(cfg: Any, task: Any) -> None:
    for name in _NOT_NEGATIVE:
        _check_not_negative(name, getattr(cfg, name))
    # Each puts something else in the place of the plain primary loss, and takes that out whole.
    replacing = {
        "--r-drop-weight": cfg.r_drop_weight,
        "--mixup-alpha": cfg.mixup_alpha,
        "--auxiliary-weighting uncertainty": str(cfg.auxiliary_weighting) != FIXED,
    }
    if len(given := [option for option, value in replacing.items() if value]) > 1:
        raise UsageError(
            f"{' and '.join(given)} each change the primary loss, and cannot be combined; choose "
            "one"
        )
    if not task.auxiliary and (cfg.auxiliary_weights or str(cfg.auxiliary_weighting) != FIXED):
        raise UsageError(
            "--auxiliary-weights, --auxiliary-weighting do not act: there are no "
            "--auxiliary-targets; leave them out"
        )
    if cfg.adversary_warmup_updates and not (
        cfg.speaker_adversary_weight or cfg.corpus_adversary_weight
    ):
        raise UsageError(
            "--adversary-warmup-updates does not act: there is no --speaker-adversary-weight and "
            "no --corpus-adversary-weight; leave it out"
        )


def _check_not_negative(name: str, value: float) -> None:
    if not 0 <= value < float("inf"):
        raise UsageError(f"--{name.replace('_', '-')} {value}: give 0 or more")
