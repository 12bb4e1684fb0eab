"""The options of the contrastive loss, each with its rule."""

from dataclasses import dataclass
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq import losses
from emo_fairseq.criterions.terms.contrastive import SCHEDULES
from emo_fairseq.criterions.terms.difficulty import EMA, FIXED, LEARNING
from emo_fairseq.errors import UsageError
from emo_fairseq.options.conditions import Condition, is_none_of
from emo_fairseq.options.option import NOT_NEGATIVE, POSITIVE, PROBABILITY, Range, option

SUPERVISED, V3 = "supervised", "v3"


def _has_weighting(*names: str) -> Condition:
    return Condition(
        lambda context: str(context.criterion.supcon_weighting) in names,
        is_none_of("--supcon-weighting", names),
        needs="criterion",
    )


_HAS_NO_THRESHOLD = Condition(
    lambda context: context.criterion.prototype_threshold is None,
    "--prototype-threshold is given",
    needs="criterion",
)
_IS_EMA = Condition(
    lambda context: str(context.criterion.prototype_learning) == EMA,
    "--prototype-learning is not ema",
    needs="criterion",
)


@dataclass
class ContrastiveConfig(FairseqDataclass):
    """Which embeddings are drawn together, and how much."""

    supcon_weight: float = option(
        0.5, "lambda: weight of the contrastive loss", within=NOT_NEGATIVE
    )
    supcon_warmup_updates: int = option(
        0, "updates in which lambda grows from 0", within=NOT_NEGATIVE
    )
    supcon_schedule: ChoiceEnum(list(SCHEDULES)) = option(  # type: ignore[valid-type]
        "constant", "how lambda falls to 0 after that, by --max-update"
    )
    supcon_temperature: float = option(0.07, "tau: cosines are divided by it", within=Range(0.01))
    supcon_weighting: ChoiceEnum(list(losses.WEIGHTINGS)) = option(  # type: ignore[valid-type]
        SUPERVISED, "how the distance to the prototype of its class weights an utterance"
    )
    supcon_projection_dim: int = option(
        0, "width of a projection head before the loss (0: none)", within=NOT_NEGATIVE
    )
    supcon_queue: int = option(
        0, "rows of earlier batches that are contrasted with, too", within=NOT_NEGATIVE
    )
    prototype_alpha: float = option(
        1.0,
        "v1: the weight of an anchor at distance d is exp(-alpha d)",
        within=NOT_NEGATIVE,
        acts=_has_weighting("v1"),
    )
    prototype_beta: float = option(
        0.5,
        "v2: the weight of a pair is exp(-beta (d_i + d_p))",
        within=NOT_NEGATIVE,
        acts=_has_weighting("v2", "v2_original"),
    )
    prototype_threshold: Optional[float] = option(
        None,
        "v3: the weight of anchors beyond this distance is 0.1",
        within=POSITIVE,
        acts=_has_weighting(V3),
    )
    prototype_quantile: float = option(
        0.5,
        "v3: --prototype-threshold as a quantile of the distances of the train split",
        within=Range(above=0, below=1),
        acts=(_has_weighting(V3), _HAS_NO_THRESHOLD),
    )
    prototype_learning: ChoiceEnum(list(LEARNING)) = option(  # type: ignore[valid-type]
        FIXED,
        "ema: prototypes follow the batches' class means; trained: by gradient",
        acts=_has_weighting("v1", "v2", "v2_original", V3),
    )
    prototype_momentum: float = option(
        0.99, "momentum of --prototype-learning ema", within=PROBABILITY, acts=_IS_EMA
    )


def check_schedule(cfg: Any, max_update: int) -> None:
    """Check that lambda falls to 0 at an update that is known.

    Args:
        cfg: has the fields of :class:`ContrastiveConfig`.
        max_update: when training ends; 0 if that is not known.

    Raises:
        UsageError: it is not.
    """
    schedule = str(cfg.supcon_schedule)
    if schedule != "constant" and max_update <= cfg.supcon_warmup_updates:
        raise UsageError(
            f"--supcon-schedule {schedule} ends at --max-update, which is {max_update}; give one "
            f"above --supcon-warmup-updates {cfg.supcon_warmup_updates}",
            "schedule-endless",
        )
