"""The options of the task that criterions read, each with its rule."""

from dataclasses import dataclass
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.options.conditions import Condition
from emo_fairseq.options.option import Kind, option
from emo_fairseq.tasks.class_prototypes import ALL, CORPUS

_TAKES_PROTOTYPES = Condition(
    lambda context: bool(context.takes_prototypes),
    "neither --criterion nor --curriculum-order uses prototypes, as emotion_supcon does",
    needs="takes_prototypes",
)


@dataclass
class ObjectiveConfig(FairseqDataclass):
    """What is learned beside the target."""

    auxiliary_targets: Optional[str] = option(
        None, "predict these, too: vad, sentiment, emotion, joined by commas"
    )
    prototypes: Optional[str] = option(
        None,
        "prototypes.json, or published (default: the file of that name in --data)",
        acts=_TAKES_PROTOTYPES,
        kind=Kind.OTHER_RUN,
    )
    prototype_scope: ChoiceEnum([ALL, CORPUS]) = option(  # type: ignore[valid-type]
        ALL, "corpus: a row is held against its own corpus's prototypes", acts=_TAKES_PROTOTYPES
    )
