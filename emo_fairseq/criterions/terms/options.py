"""The options of the terms that any criterion may have, and the terms that they ask for."""

from dataclasses import dataclass
from typing import Any, List, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.criterions.task_protocol import EmotionTask
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
from emo_fairseq.options.conditions import Condition
from emo_fairseq.options.option import NOT_NEGATIVE, option

_HAS_AUXILIARY = Condition(
    lambda context: bool(context.task.auxiliary_targets), "there are no --auxiliary-targets"
)
_HAS_ADVERSARY = Condition(
    lambda context: bool(
        context.criterion.speaker_adversary_weight or context.criterion.corpus_adversary_weight
    ),
    "there is no --speaker-adversary-weight and no --corpus-adversary-weight",
    needs="criterion",
)


@dataclass
class TermsConfig(FairseqDataclass):
    """What is added to the primary loss in training."""

    auxiliary_weights: Optional[str] = option(
        None,
        "weights of --auxiliary-targets, vad=0.5,sentiment=1 (default: 1 each)",
        acts=_HAS_AUXILIARY,
    )
    auxiliary_weighting: ChoiceEnum([FIXED, UNCERTAINTY]) = option(  # type: ignore[valid-type]
        FIXED,
        "uncertainty: learn how much each target counts, the primary one too",
        acts=_HAS_AUXILIARY,
    )
    speaker_adversary_weight: float = option(
        0.0, "weight of a speaker classifier behind a gradient reversal", within=NOT_NEGATIVE
    )
    corpus_adversary_weight: float = option(
        0.0, "weight of a corpus classifier behind a gradient reversal", within=NOT_NEGATIVE
    )
    adversary_warmup_updates: int = option(
        0,
        "updates in which the reversed gradients grow from 0",
        within=NOT_NEGATIVE,
        acts=_HAS_ADVERSARY,
    )
    r_drop_weight: float = option(
        0.0, "weight of the disagreement of two passes (R-Drop's alpha)", within=NOT_NEGATIVE
    )
    mixup_alpha: float = option(
        0.0, "mix embeddings, by shares of a Beta distribution (0: no)", within=NOT_NEGATIVE
    )


def build_terms(cfg: Any, task: EmotionTask) -> List[Term]:
    """The terms that the options ask for; none where nothing is trained.

    Raises:
        UsageError: options that cannot be combined.
    """
    if not task.is_training:
        return []
    _check_combination(cfg)
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


def _check_combination(cfg: Any) -> None:
    """Refuse several terms that each replace the plain primary loss, and subtract it whole."""
    replacing = {
        "--r-drop-weight": cfg.r_drop_weight,
        "--mixup-alpha": cfg.mixup_alpha,
        "--auxiliary-weighting uncertainty": str(cfg.auxiliary_weighting) != FIXED,
    }
    if len(given := [name for name, value in replacing.items() if value]) > 1:
        raise UsageError(
            f"{' and '.join(given)} each change the primary loss, and cannot be combined; choose "
            "one",
            "terms-exclusive",
        )
