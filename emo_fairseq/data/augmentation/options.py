"""The options of augmentation, and the values that are parsed of them."""

import math
from dataclasses import dataclass
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.data.augmentation.audio_transforms import AudioTransforms
from emo_fairseq.data.augmentation.waveforms import COLORS
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import FRAMES, LOG_MEL, SPEECH, TEXT, TOKENS, WAVEFORM
from emo_fairseq.options.conditions import (
    READS_AUDIO,
    READS_FRAMES,
    Condition,
    OptionContext,
    reads_augmented,
    reads_tokens,
)
from emo_fairseq.options.option import NOT_NEGATIVE, PROBABILITY, Range, option

_SPEEDS = 0.5, 2.0  # the slowest and the fastest


def _reads_loudness(context: OptionContext) -> bool:
    """Return whether the speech encoder does not scale every row to unit variance first."""
    spec = context.encoders.get(SPEECH)
    given = {} if spec is None else spec.architecture
    return not given.get("normalize") and given.get("front_end") != {"do_normalize": True}


# Options that switch on a change of the audio itself, which stored frames would not show.
AUDIO_OPTIONS = (
    "--augment-speed",
    "--augment-babble-snr",
    "--augment-noise-snr",
    "--augment-transforms",
    "--augment-gain",
)
_OF_AUDIO = (
    READS_AUDIO,
    reads_augmented("the encoder that reads audio", WAVEFORM, LOG_MEL),
)
_OF_FRAMES = (READS_FRAMES, reads_augmented("the encoder of frames", LOG_MEL, FRAMES))
_READS_LOUDNESS = Condition(
    _reads_loudness, "the speech encoder scales all utterances to the same loudness"
)
_HAS_NOISE = Condition(
    lambda context: context.task.augment_noise_snr is not None, "there is no --augment-noise-snr"
)
_HAS_BABBLE = Condition(
    lambda context: context.task.augment_babble_snr is not None, "there is no --augment-babble-snr"
)
_HAS_TIME_MASKS = Condition(
    lambda context: context.task.augment_time_masks > 0, "there is no --augment-time-masks"
)
_HAS_FEATURE_MASKS = Condition(
    lambda context: context.task.augment_feature_masks > 0, "there is no --augment-feature-masks"
)


@dataclass
class AugmentationConfig(FairseqDataclass):
    """The options of augmentation; by default there is none."""

    augment_noise_snr: Optional[str] = option(
        None,
        "training: add noise to the audio at a signal-to-noise ratio between LOW,HIGH dB, such as "
        "5,20 (a negative one as --augment-noise-snr=-5,10)",
        acts=_OF_AUDIO,
    )
    augment_noise_color: ChoiceEnum(list(COLORS)) = option(  # type: ignore[valid-type]
        "white",
        "color of that noise; pink has the same power in every octave",
        acts=(*_OF_AUDIO, _HAS_NOISE),
    )
    augment_babble_snr: Optional[str] = option(
        None,
        "training: add voices of other speakers of the train split to the audio, at a "
        "signal-to-noise ratio between LOW,HIGH dB",
        acts=_OF_AUDIO,
    )
    augment_babble_speakers: int = option(
        3,
        "number of these speakers",
        within=Range(1, most=100),
        acts=(*_OF_AUDIO, _HAS_BABBLE),
    )
    augment_transforms: Optional[str] = option(
        None,
        "training: change the audio by transforms of the library audiomentations, such as rooms, "
        "codecs, pitch and recorded noise: a YAML file that lists them (extra: augment)",
        acts=_OF_AUDIO,
    )
    augment_gain: float = option(
        0.0,
        "training: make the audio louder or softer by at most so many dB",
        within=NOT_NEGATIVE,
        acts=(*_OF_AUDIO, _READS_LOUDNESS),
    )
    augment_speed: Optional[str] = option(
        None,
        "training: play the audio at one of these speeds, such as 0.9,1.0,1.1; pitch goes with it",
        acts=_OF_AUDIO,
    )
    augment_time_masks: int = option(
        0,
        "training: mask so many segments of time in log-mel frames and features, at most half of "
        "an utterance",
        within=NOT_NEGATIVE,
        acts=_OF_FRAMES,
    )
    augment_time_mask_width: int = option(
        100,
        "longest time mask, in frames",
        within=Range(1),
        acts=(*_OF_FRAMES, _HAS_TIME_MASKS),
    )
    augment_feature_masks: int = option(
        0,
        "training: mask so many bands of the numbers of each such frame",
        within=NOT_NEGATIVE,
        acts=_OF_FRAMES,
    )
    augment_feature_mask_width: int = option(
        27,
        "widest mask of bands, in numbers of a frame (mel bins)",
        within=Range(1),
        acts=(*_OF_FRAMES, _HAS_FEATURE_MASKS),
    )
    augment_token_dropout: float = option(
        0.0,
        "training: chance of each token of the text to become <mask>, or <unk> where the "
        "vocabulary has no mask",
        within=PROBABILITY,
        acts=(reads_tokens(TEXT), reads_augmented("the text encoder", TOKENS, modality=TEXT)),
    )


def changes_audio(cfg: AugmentationConfig) -> bool:
    """Return whether an option changes the waveforms of training."""
    return any(audio_options(cfg).values())


def changes_inputs(cfg: AugmentationConfig, modality: str, kind: str) -> bool:
    """Return whether an option changes what an encoder reads in training."""
    masks_frames = bool(cfg.augment_time_masks or cfg.augment_feature_masks)
    changed = {
        WAVEFORM: changes_audio(cfg),
        LOG_MEL: changes_audio(cfg) or masks_frames,
        FRAMES: masks_frames,
        TOKENS: modality == TEXT and cfg.augment_token_dropout > 0,
    }
    return changed.get(kind, False)


def audio_options(cfg: AugmentationConfig) -> dict[str, Any]:
    """Return the values of the options that switch on a change of the audio."""
    return {name: getattr(cfg, name[2:].replace("-", "_")) for name in AUDIO_OPTIONS}


def noise_snr(cfg: AugmentationConfig) -> tuple[float, float] | None:
    """Parse ``--augment-noise-snr``: the lowest and the highest ratio in dB; None without it.

    Raises:
        UsageError: it is not two numbers in order.
    """
    return _snr("--augment-noise-snr", cfg.augment_noise_snr)


def babble_snr(cfg: AugmentationConfig) -> tuple[float, float] | None:
    """Parse ``--augment-babble-snr``; see :func:`noise_snr`."""
    return _snr("--augment-babble-snr", cfg.augment_babble_snr)


def _snr(option_name: str, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    numbers = _numbers(text)
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise UsageError(
            f"{option_name} {text!r} is not understood; write the lowest and the highest "
            "ratio in dB, such as 5,20",
            "noise-snr-invalid",
        )
    return numbers[0], numbers[1]


def speeds(cfg: AugmentationConfig) -> list[float]:
    """Parse ``--augment-speed``: the factors to choose from; none without it.

    Raises:
        UsageError: it is not a list of factors, or changes nothing.
    """
    text = cfg.augment_speed
    if text is None:
        return []
    numbers, (slowest, fastest) = _numbers(text), _SPEEDS
    if not numbers or not all(slowest <= factor <= fastest for factor in numbers):
        raise UsageError(
            f"--augment-speed {text!r} is not understood; write factors between {slowest:g} and "
            f"{fastest:g}, joined by commas, such as 0.9,1.0,1.1",
            "speeds-invalid",
        )
    if set(numbers) == {1.0}:
        raise UsageError(
            f"--augment-speed {text!r} changes nothing; add other factors, or leave the option out",
            "speeds-idle",
        )
    return numbers


def check_augmentation(cfg: AugmentationConfig) -> None:
    """Check the options that are parsed, before any audio is opened.

    Raises:
        UsageError: one is malformed.
    """
    noise_snr(cfg)
    babble_snr(cfg)
    speeds(cfg)
    if cfg.augment_transforms:
        AudioTransforms(cfg.augment_transforms)


def _numbers(text: str) -> list[float]:
    """Parse finite numbers joined by commas; return none of them if one is malformed."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []
