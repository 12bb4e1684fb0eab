"""Fit the standardization of frozen encoders on the train split (``--standardize-frozen``)."""

import logging
from collections.abc import Callable

import torch

from emo_fairseq.data.frame_statistics import Frames, FrameStatistics
from emo_fairseq.models.roberta_emo import RobertaEMOModel

logger = logging.getLogger(__name__)

_SAMPLE, _SEED = 2000, 0  # of utterances, the same for every seed of a run


def fit_standardization(model: RobertaEMOModel, outputs_of: Callable[[str], Frames]) -> None:
    """Set the statistics of every encoder that standardizes its outputs, in place.

    Those that an earlier stage has fitted stay, since what follows was trained on them.

    Args:
        model: whose frozen encoders have their weights.
        outputs_of: returns the outputs of a modality's encoder for the rows of the train split.
    """
    for name, encoder in model.encoders.items():
        if encoder.standardize is None or encoder.standardize.is_set:
            continue
        logger.info("%s: fitting statistics on at most %d utterances", name, _SAMPLE)
        statistics = FrameStatistics.fit(outputs_of(name), _SAMPLE, _SEED)
        encoder.standardize.set(torch.tensor(statistics.mean), torch.tensor(statistics.std))
