"""The options ``--augment-...``, and what those say that are not plain numbers."""

import math
from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.data.augmentation.noise import COLORS
from emo_fairseq.errors import UsageError

_SPEEDS = 0.5, 2.0


@dataclass
class AugmentationConfig(FairseqDataclass):
    """How the train split is changed anew in every epoch; by default not at all."""

    augment_noise_snr: Optional[str] = field(
        default=None,
        metadata={
            "help": "training: add noise to the audio at a signal-to-noise ratio between LOW,HIGH "
            "dB, such as 5,20 (a negative one as --augment-noise-snr=-5,10)"
        },
    )
    augment_noise_color: ChoiceEnum(list(COLORS)) = field(  # type: ignore[valid-type]
        default="white", metadata={"help": "of that noise; pink has as much power in every octave"}
    )
    augment_gain: float = field(
        default=0.0,
        metadata={"help": "training: make the audio louder or softer by at most so many dB"},
    )
    augment_speed: Optional[str] = field(
        default=None,
        metadata={
            "help": "training: play the audio at one of these speeds, such as 0.9,1.0,1.1; pitch "
            "goes with it"
        },
    )
    augment_time_masks: int = field(
        default=0,
        metadata={
            "help": "training: mask so many stretches of time in log-mel frames and features, at "
            "most half of an utterance"
        },
    )
    augment_time_mask_width: int = field(
        default=100, metadata={"help": "longest of them, in frames"}
    )
    augment_feature_masks: int = field(
        default=0,
        metadata={"help": "training: mask so many bands of the numbers of each such frame"},
    )
    augment_feature_mask_width: int = field(
        default=27, metadata={"help": "widest of them, in numbers (mel bins)"}
    )
    augment_token_dropout: float = field(
        default=0.0,
        metadata={
            "help": "training: chance of each token of the text to become <mask>, or <unk> where "
            "the vocabulary has no mask"
        },
    )


def noise_snr(cfg: Any) -> tuple[float, float] | None:
    """What ``--augment-noise-snr`` says: the lowest and the highest ratio in dB.

    Raises:
        UsageError: it is not understood.
    """
    text = cfg.augment_noise_snr
    if text is None:
        return None
    numbers = _numbers(text)
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise UsageError(
            f"--augment-noise-snr {text!r} is not understood; write the lowest and the highest "
            "ratio in dB, such as 5,20"
        )
    return numbers[0], numbers[1]


def speeds(cfg: Any) -> list[float]:
    """What ``--augment-speed`` says: factors to choose from; none if it is not given.

    Raises:
        UsageError: it is not understood, or changes nothing.
    """
    text = cfg.augment_speed
    if text is None:
        return []
    numbers, (slowest, fastest) = _numbers(text), _SPEEDS
    if not numbers or not all(slowest <= factor <= fastest for factor in numbers):
        raise UsageError(
            f"--augment-speed {text!r} is not understood; write factors between {slowest:g} and "
            f"{fastest:g}, joined by commas, such as 0.9,1.0,1.1"
        )
    if set(numbers) == {1.0}:
        raise UsageError(
            f"--augment-speed {text!r} changes nothing; add other factors, or leave the option out"
        )
    return numbers


def check_augmentation(cfg: Any) -> None:
    """See that the options are understood, before the audio is there that they act on.

    Raises:
        UsageError: one is not.
    """
    noise_snr(cfg)
    speeds(cfg)


def _numbers(text: str) -> list[float]:
    """Finite numbers joined by commas; none of them if one is none."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []
