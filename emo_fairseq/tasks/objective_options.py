"""The options of the task that criterions look at."""

from dataclasses import dataclass, field
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.tasks.class_prototypes import ALL, CORPUS


@dataclass
class ObjectiveConfig(FairseqDataclass):
    """What is learned beside the target."""

    auxiliary_targets: Optional[str] = field(
        default=None,
        metadata={"help": "predict these, too: vad, sentiment, emotion, joined by commas"},
    )
    prototypes: Optional[str] = field(
        default=None,
        metadata={
            "help": "prototypes.json, or published (default: the file of that name in --data)"
        },
    )
    prototype_scope: ChoiceEnum([ALL, CORPUS]) = field(  # type: ignore[valid-type]
        default=ALL, metadata={"help": "corpus: a row is held against its own corpus's prototypes"}
    )
