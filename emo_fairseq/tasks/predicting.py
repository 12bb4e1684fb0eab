"""Predict rows of a dataset with a model in evaluation."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from fairseq import utils

from emo_fairseq.data.raw_audio_text_dataset import RawAudioTextDataset
from emo_fairseq.models.roberta_emo import EmotionOutput, RobertaEMOModel

_ROWS_OF_A_BATCH = 32


def predict_rows(
    model: RobertaEMOModel,
    dataset: RawAudioTextDataset,
    device: torch.device,
    part: slice = slice(None),
) -> tuple[np.ndarray, np.ndarray]:
    """Predict some rows of a dataset, without gradient, dropout or augmentation.

    Args:
        model: goes back to the mode it was in.
        dataset: that was not built for training.
        device: that the model is on.
        part: of the rows in the order of their length.

    Returns:
        The row numbers (n,), and the outputs (n, n_outputs) float64.
    """
    rows = np.asarray(dataset.ordered_indices())[part]
    batches = batches_of(rows)
    logits = [run(model, dataset, batch, device).logits.double().cpu() for batch in batches]
    outputs = torch.cat(logits).numpy() if logits else np.zeros((0, 0))
    return rows, outputs


def batches_of(rows: np.ndarray) -> list[np.ndarray]:
    """Divide row numbers (n,) into those of batches, in their order."""
    return [rows[at : at + _ROWS_OF_A_BATCH] for at in range(0, len(rows), _ROWS_OF_A_BATCH)]


def run(
    model: RobertaEMOModel,
    dataset: RawAudioTextDataset,
    rows: Iterable[int],
    device: torch.device,
    **options: Any,
) -> EmotionOutput:
    """Return the output of the model for some rows in one batch.

    Args:
        model: goes back to the mode it was in.
        dataset: as :func:`predict_rows` takes it.
        rows: their numbers.
        device: that the model is on.
        options: further arguments of the model, such as ``return_attention``.
    """
    return run_batch(
        model, dataset.collater([dataset[int(row)] for row in rows]), device, **options
    )


def run_batch(
    model: RobertaEMOModel, batch: Mapping[str, Any], device: torch.device, **options: Any
) -> EmotionOutput:
    """Return the output of the model for a collated batch; see :func:`run`."""
    precision = next(model.head.parameters()).dtype
    was_training = model.training

    def in_precision(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(precision) if tensor.dtype == torch.float32 else tensor

    inputs = batch["net_input"]
    inputs = utils.move_to_cuda(inputs, device) if device.type == "cuda" else inputs
    inputs = utils.apply_to_sample(in_precision, inputs)
    model.eval()
    with torch.no_grad():
        output: EmotionOutput = model(**inputs, **options)
    model.train(was_training)
    return output
