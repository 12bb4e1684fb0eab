"""Predictors out of what a training or an export left on disk."""

from pathlib import Path

import torch

from emo_fairseq.errors import UsageError
from emo_fairseq.inference.loading import read_checkpoint_model
from emo_fairseq.inference.model_folder import read_model_folder
from emo_fairseq.inference.predictor import EmotionPredictor


def load_predictor(
    place: str | Path, device: str | torch.device | None = None, data: str | Path | None = None
) -> EmotionPredictor:
    """A predictor out of a model folder, or of a checkpoint of fairseq-train.

    Args:
        place: the folder, or the ``.pt`` file.
        device: by default the GPU, if there is one.
        data: of a checkpoint the data dir with the tokenizers, by default the one that it was
            trained on.

    Raises:
        UsageError: neither is there, or it does not fit; see :class:`EmotionPredictor`.
    """
    place = Path(place)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if place.is_dir():
        if data is not None:
            raise UsageError(f"{place}: a model folder has its own tokenizers; leave data out")
        return EmotionPredictor(read_model_folder(place), device)
    return EmotionPredictor(
        read_checkpoint_model(place, None if data is None else Path(data)), device
    )
