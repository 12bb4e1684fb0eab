"""Augmentation of the train split: random changes of its inputs, other ones in every epoch.

One dataset changes one thing; :func:`augment` stacks those that the options switch on::

    waveforms   Speed -> Babble -> AddedNoise -> Transformed -> Gain    .waveforms
    frames      TimeMasks -> FeatureMasks                               .spec_augment
    tokens      TokenDropout                                            .token_dropout
"""

from emo_fairseq.data.augmentation.augmented_dataset import (
    AugmentedDataset,
    Item,
    unaugmented,
)
from emo_fairseq.data.augmentation.options import (
    AugmentationConfig,
    changes_audio,
    changes_inputs,
    check_augmentation,
)
from emo_fairseq.data.augmentation.spec_augment import FeatureMasks, TimeMasks, draw_spans
from emo_fairseq.data.augmentation.stack import augment
from emo_fairseq.data.augmentation.token_dropout import TokenDropout
from emo_fairseq.data.augmentation.waveforms import (
    COLORS,
    AddedNoise,
    Babble,
    Gain,
    Speed,
    Transformed,
    at_speed,
    colored_noise,
)

__all__ = [
    "COLORS",
    "AddedNoise",
    "AugmentationConfig",
    "AugmentedDataset",
    "Babble",
    "FeatureMasks",
    "Gain",
    "Item",
    "Speed",
    "TimeMasks",
    "TokenDropout",
    "Transformed",
    "at_speed",
    "augment",
    "changes_audio",
    "changes_inputs",
    "check_augmentation",
    "colored_noise",
    "draw_spans",
    "unaugmented",
]
