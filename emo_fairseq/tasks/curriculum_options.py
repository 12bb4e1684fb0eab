"""The options of the order in which a task trains on its rows, each with its rule."""

from dataclasses import dataclass
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.data.curriculum import NONE, ORDERS, PACINGS
from emo_fairseq.data.samplers import SAMPLERS
from emo_fairseq.options.conditions import Condition
from emo_fairseq.options.option import PROBABILITY, Range, option

_HAS_ORDER = Condition(
    lambda context: str(context.task.curriculum_order) != NONE, "there is no --curriculum-order"
)
_IS_PRESET = Condition(
    lambda context: str(context.task.curriculum_order) == "preset",
    "--curriculum-order is not preset",
)


@dataclass
class CurriculumConfig(FairseqDataclass):
    """Which rows an epoch has, and how they fall into batches."""

    batch_sampler: ChoiceEnum(list(SAMPLERS)) = option(  # type: ignore[valid-type]
        "length", "what the rows of a training batch have in common"
    )
    curriculum_order: ChoiceEnum(list(ORDERS)) = option(  # type: ignore[valid-type]
        NONE, "begin with a part of the train split that grows, in this order"
    )
    curriculum_pacing: ChoiceEnum(list(PACINGS)) = option(  # type: ignore[valid-type]
        "linear", "how the part of the train split grows", acts=_HAS_ORDER
    )
    curriculum_epochs: int = option(
        15,
        "epochs until the curriculum has the whole train split",
        within=Range(1),
        acts=_HAS_ORDER,
    )
    curriculum_preset: Optional[str] = option(
        None,
        "--curriculum-order preset: a file of all ids, one a line",
        acts=(_HAS_ORDER, _IS_PRESET),
    )
    curriculum_final_dropout: float = option(
        0.6,
        "dropout before the embedding and the head when the curriculum has ended (that of "
        "--pooler-dropout to leave it)",
        within=PROBABILITY,
        acts=_HAS_ORDER,
    )
