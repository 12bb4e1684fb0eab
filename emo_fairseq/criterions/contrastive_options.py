"""The options of the contrastive loss, and which of them go together."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq import losses
from emo_fairseq.criterions.terms.contrastive import SCHEDULES
from emo_fairseq.criterions.terms.difficulty import EMA, FIXED, LEARNING
from emo_fairseq.errors import UsageError

SUPERVISED, V3 = "supervised", "v3"


@dataclass
class ContrastiveConfig(FairseqDataclass):
    """Which embeddings are drawn together, and how much."""

    supcon_weight: float = field(
        default=0.5, metadata={"help": "lambda: weight of the contrastive loss"}
    )
    supcon_warmup_updates: int = field(
        default=0, metadata={"help": "updates in which lambda grows from 0"}
    )
    supcon_schedule: ChoiceEnum(list(SCHEDULES)) = field(  # type: ignore[valid-type]
        default="constant", metadata={"help": "how lambda falls to 0 after that, by --max-update"}
    )
    supcon_temperature: float = field(
        default=0.07, metadata={"help": "tau: cosines are divided by it"}
    )
    supcon_weighting: ChoiceEnum(list(losses.WEIGHTINGS)) = field(  # type: ignore[valid-type]
        default=SUPERVISED,
        metadata={"help": "how the distance to the prototype of its class weighs an utterance"},
    )
    supcon_projection_dim: int = field(
        default=0, metadata={"help": "width of a projection head before the loss (0: none)"}
    )
    supcon_queue: int = field(
        default=0, metadata={"help": "rows of earlier batches that are contrasted with, too"}
    )
    prototype_alpha: float = field(
        default=1.0, metadata={"help": "v1: an anchor at distance d weighs exp(-alpha d)"}
    )
    prototype_beta: float = field(
        default=0.5, metadata={"help": "v2: a pair weighs exp(-beta (d_i + d_p))"}
    )
    prototype_threshold: Optional[float] = field(
        default=None, metadata={"help": "v3: anchors beyond this distance weigh 0.1"}
    )
    prototype_quantile: float = field(
        default=0.5,
        metadata={"help": "v3: that distance as a quantile of the train split, if not given"},
    )
    prototype_learning: ChoiceEnum(list(LEARNING)) = field(  # type: ignore[valid-type]
        default=FIXED,
        metadata={"help": "ema: prototypes follow the batches' class means; trained: by gradient"},
    )
    prototype_momentum: float = field(
        default=0.99, metadata={"help": "of --prototype-learning ema"}
    )


def check_contrastive_options(cfg: Any, max_update: int) -> None:
    """See that the options are within their ranges, and that those given act.

    Args:
        cfg: has the fields of :class:`ContrastiveConfig`.
        max_update: when training ends; 0 if that is not known.

    Raises:
        UsageError: one of them would do nothing, or cannot be.
    """
    _check_ranges(cfg)
    _check_idle(cfg, str(cfg.supcon_weighting))
    _check_schedule(cfg, max_update)


def _check_schedule(cfg: Any, total: int) -> None:
    """Raise a `UsageError` if lambda is to fall to 0 at an update that is not known."""
    schedule = str(cfg.supcon_schedule)
    if schedule != "constant" and total <= cfg.supcon_warmup_updates:
        raise UsageError(
            f"--supcon-schedule {schedule} ends at --max-update, which is {total}; give one above "
            f"--supcon-warmup-updates {cfg.supcon_warmup_updates}"
        )


def _check_ranges(cfg: Any) -> None:
    """Raise a `UsageError` for a number that cannot be."""
    for name, (is_right, needed) in _RANGES.items():
        value = getattr(cfg, name)
        if value is not None and not is_right(value):
            raise UsageError(f"--{_flag(name)} {value}: give {needed}")


_NOT_NEGATIVE = (lambda value: 0 <= value < math.inf, "0 or more")

_RANGES: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "supcon_weight": _NOT_NEGATIVE,
    "supcon_warmup_updates": _NOT_NEGATIVE,
    "supcon_temperature": (lambda value: 0.01 <= value < math.inf, "0.01 or more"),
    "supcon_projection_dim": _NOT_NEGATIVE,
    "supcon_queue": _NOT_NEGATIVE,
    "prototype_alpha": _NOT_NEGATIVE,
    "prototype_beta": _NOT_NEGATIVE,
    "prototype_threshold": (lambda value: value > 0, "more than 0"),
    "prototype_quantile": (lambda value: 0 < value < 1, "more than 0, and less than 1"),
    "prototype_momentum": (lambda value: 0 <= value < 1, "0 or more, and less than 1"),
}

_ACTS_FOR = {
    "prototype_alpha": ("v1",),
    "prototype_beta": ("v2", "v2_original"),
    "prototype_threshold": ("v3",),
    "prototype_quantile": ("v3",),
    "prototype_learning": ("v1", "v2", "v2_original", "v3"),
}


def _check_idle(cfg: Any, weighting: str) -> None:
    """Raise a `UsageError` for an option that would do nothing."""
    defaults = {one.name: one.default for one in fields(ContrastiveConfig)}
    for name, weightings in _ACTS_FOR.items():
        given = getattr(cfg, name)
        if defaults[name] not in (given, str(given)) and weighting not in weightings:
            raise UsageError(
                f"--{_flag(name)} does not act: it belongs to --supcon-weighting "
                f"{' or '.join(weightings)}; leave it out"
            )
    if (
        cfg.prototype_threshold is not None
        and cfg.prototype_quantile != defaults["prototype_quantile"]
    ):
        raise UsageError(
            "--prototype-quantile does not act beside --prototype-threshold; leave one of the two "
            "out"
        )
    if (
        cfg.prototype_momentum != defaults["prototype_momentum"]
        and str(cfg.prototype_learning) != EMA
    ):
        raise UsageError(
            "--prototype-momentum does not act: it belongs to --prototype-learning ema; leave it "
            "out"
        )


def _flag(name: str) -> str:
    return name.replace("_", "-")
