"""The options of the order in which a task shows its train split."""

from dataclasses import dataclass, field
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.data.curriculum import NONE, ORDERS, PACINGS
from emo_fairseq.data.samplers import SAMPLERS


@dataclass
class CurriculumConfig(FairseqDataclass):
    """Which rows an epoch has, and how they fall into batches."""

    batch_sampler: ChoiceEnum(list(SAMPLERS)) = field(  # type: ignore[valid-type]
        default="length", metadata={"help": "what the rows of a training batch have in common"}
    )
    curriculum_order: ChoiceEnum(list(ORDERS)) = field(  # type: ignore[valid-type]
        default=NONE,
        metadata={"help": "begin with a part of the train split that grows, in this order"},
    )
    curriculum_pacing: ChoiceEnum(list(PACINGS)) = field(  # type: ignore[valid-type]
        default="linear", metadata={"help": "how that part grows"}
    )
    curriculum_epochs: int = field(
        default=15, metadata={"help": "epochs until it is the whole train split"}
    )
    curriculum_preset: Optional[str] = field(
        default=None, metadata={"help": "the order preset: a file of all ids, one a line"}
    )
    curriculum_final_dropout: float = field(
        default=0.6,
        metadata={
            "help": "dropout before the embedding and the head when the curriculum has ended "
            "(that of --pooler-dropout to leave it)"
        },
    )
