"""Fit on the train split what standardizes outputs of frozen encoders, and fused vectors."""

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from emo_fairseq.data.dialogue_dataset import EmotionDataset
from emo_fairseq.data.frame_statistics import MIN_STD, Frames, FrameStatistics
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.tasks.predicting import batches_of, run

logger = logging.getLogger(__name__)

_SAMPLE, _SEED = 2000, 0  # of utterances, the same for every seed of a run


def standardize_encoders(model: RobertaEMOModel, outputs_of: Callable[[str], Frames]) -> None:
    """Set the statistics of every frozen encoder that standardizes its outputs, in place.

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


def standardize_fused(
    model: RobertaEMOModel, dataset: Callable[[], EmotionDataset], device: torch.device
) -> None:
    """Set the statistics of the fused vectors, in place; those of an earlier stage stay.

    As Salimans and Kingma (2016), "Weight normalization", initialize a layer by the data, here
    without a scale and a shift that are learned: the layer behind it has them.

    Args:
        model: with the weights of the first update; goes back to the device that it was on.
        dataset: returns that of the train split, not built for training.
        device: that the model runs on.
    """
    standardize = model.embedding.standardize
    if standardize is None or standardize.is_set:
        return
    logger.info("fused vectors: fitting statistics on at most %d utterances", _SAMPLE)
    vectors = _fused_vectors(model, dataset(), device)
    mean, std = vectors.mean(dim=0), vectors.std(dim=0, correction=0)
    is_constant = std <= MIN_STD * mean.abs().clamp(min=1)
    standardize.set(mean.float(), std.masked_fill(is_constant, torch.inf).float())


def _fused_vectors(model: RobertaEMOModel, dataset: EmotionDataset, device: torch.device) -> Tensor:
    """Return what enters the embedding layer (N, D) for a sample of rows, in float64 on the CPU."""
    vectors: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        vectors.append(inputs[0].double().cpu())

    batches = batches_of(dataset)
    before = next(model.head.parameters()).device
    hook = model.embedding.register_forward_pre_hook(keep)
    model.to(device)
    try:
        for number in np.random.default_rng(_SEED).permutation(len(batches)):
            run(model, dataset, batches[number], device)
            if sum(map(len, vectors)) >= _SAMPLE:
                break
    finally:
        hook.remove()
        model.to(before)
    return torch.cat(vectors)
