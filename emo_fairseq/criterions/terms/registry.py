"""Terms of the loss: which there are, the options of each, and when each is used.

A new term is a module here, with a dataclass of its options and a :class:`Term`, and a row of
:data:`TERMS`. Its dataclass becomes a base of :class:`TermsConfig` if any criterion may have it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, List, NamedTuple

from fairseq.dataclass import FairseqDataclass

from emo_fairseq.criterions.task_protocol import EmotionTask
from emo_fairseq.criterions.terms.adversaries import (
    AdversaryConfig,
    CorpusAdversary,
    SpeakerAdversary,
)
from emo_fairseq.criterions.terms.auxiliary import (
    UNCERTAINTY,
    AuxiliaryTargets,
    AuxiliaryTargetsConfig,
)
from emo_fairseq.criterions.terms.contrastive import Contrastive, ContrastiveConfig
from emo_fairseq.criterions.terms.distillation import Distillation, DistillationConfig
from emo_fairseq.criterions.terms.prototypical import Prototypical, PrototypicalConfig
from emo_fairseq.criterions.terms.regularization import EmbeddingMixup, RDrop, RegularizationConfig
from emo_fairseq.criterions.terms.subspaces import Subspaces, SubspacesConfig
from emo_fairseq.criterions.terms.term import Term
from emo_fairseq.errors import UsageError
from emo_fairseq.option_values import MISA


class TermEntry(NamedTuple):
    """A row of :data:`TERMS`.

    Attributes:
        term: its class.
        options: the dataclass of its options; criterions whose dataclass derives from it have the
            term.
        is_used: whether the options of the criterion and the task use it.
        replaces: the option by which it replaces the plain primary loss; empty if it adds to it.
    """

    term: type[Term]
    options: type[FairseqDataclass]
    is_used: Callable[[Any, EmotionTask], bool] = lambda cfg, task: True
    replaces: Callable[[Any], str] = lambda cfg: ""


# In the order in which they are built. A checkpoint has their parameters by their number in it.
TERMS: Mapping[str, TermEntry] = {
    "contrastive": TermEntry(Contrastive, ContrastiveConfig),
    "distillation": TermEntry(Distillation, DistillationConfig),
    "auxiliary_targets": TermEntry(
        AuxiliaryTargets,
        AuxiliaryTargetsConfig,
        lambda cfg, task: bool(task.auxiliary),
        lambda cfg: (
            "--auxiliary-weighting uncertainty"
            if str(cfg.auxiliary_weighting) == UNCERTAINTY
            else ""
        ),
    ),
    "speaker_adversary": TermEntry(
        SpeakerAdversary, AdversaryConfig, lambda cfg, task: cfg.speaker_adversary_weight > 0
    ),
    "corpus_adversary": TermEntry(
        CorpusAdversary, AdversaryConfig, lambda cfg, task: cfg.corpus_adversary_weight > 0
    ),
    "r_drop": TermEntry(
        RDrop,
        RegularizationConfig,
        lambda cfg, task: cfg.r_drop_weight > 0,
        lambda cfg: "--r-drop-weight",
    ),
    "mixup": TermEntry(
        EmbeddingMixup,
        RegularizationConfig,
        lambda cfg, task: cfg.mixup_alpha > 0,
        lambda cfg: "--mixup-alpha",
    ),
    "subspaces": TermEntry(Subspaces, SubspacesConfig, lambda cfg, task: task.fusion == MISA),
    "prototypical": TermEntry(
        Prototypical, PrototypicalConfig, lambda cfg, task: cfg.spcl_weight > 0
    ),
}


@dataclass
class TermsConfig(
    AuxiliaryTargetsConfig,
    AdversaryConfig,
    RegularizationConfig,
    SubspacesConfig,
    PrototypicalConfig,
):
    """The options of the terms that any criterion may have."""


def build_terms(cfg: Any, task: EmotionTask, schema: type[FairseqDataclass]) -> List[Term]:
    """Build the terms that the options use; none where nothing is trained.

    Args:
        cfg: the options of a criterion.
        task: the task that is trained.
        schema: the dataclass of the criterion's options, which decides on the terms that it has.

    Raises:
        UsageError: options that cannot be combined.
    """
    if not task.is_training:
        return []
    used = [
        entry
        for entry in TERMS.values()
        if issubclass(schema, entry.options) and entry.is_used(cfg, task)
    ]
    # Each takes the plain primary loss out: two would leave it in with a minus sign.
    if len(replacing := [option for entry in used if (option := entry.replaces(cfg))]) > 1:
        raise UsageError(
            f"{' and '.join(replacing)} each change the primary loss, and cannot be combined; "
            "choose one",
            "terms-exclusive",
        )
    return [entry.term.from_options(cfg, task) for entry in used]
