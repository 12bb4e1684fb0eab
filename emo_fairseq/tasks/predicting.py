"""Predict rows of a dataset with a model in evaluation."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from fairseq import utils

from emo_fairseq.data.dialogue_dataset import EmotionDataset
from emo_fairseq.models.roberta_emo import EmotionOutput, RobertaEMOModel

_ROWS_OF_A_BATCH = 32


def predict_rows(
    model: RobertaEMOModel,
    dataset: EmotionDataset,
    device: torch.device,
    part: slice = slice(None),
) -> tuple[np.ndarray, np.ndarray]:
    """Predict some rows of a dataset, without gradient, dropout or augmentation.

    Args:
        model: goes back to the mode it was in.
        dataset: that was not built for training.
        device: that the model is on.
        part: of the batches.

    Returns:
        The row numbers (n,), and the outputs (n, n_outputs) float64.
    """
    batches = batches_of(dataset)[part]
    if not batches:
        return np.zeros(0, dtype=np.int64), np.zeros((0, 0))
    logits = [run(model, dataset, batch, device).logits.double().cpu() for batch in batches]
    return np.concatenate(batches), torch.cat(logits).numpy()


def batches_of(dataset: EmotionDataset) -> list[np.ndarray]:
    """Return the row numbers of batches that have all rows of a dataset."""
    rows = np.asarray(dataset.ordered_indices())
    batches = dataset.batch_by_size(rows, max_sentences=_ROWS_OF_A_BATCH)
    return [np.asarray(batch) for batch in batches]


def run(
    model: RobertaEMOModel,
    dataset: EmotionDataset,
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
    return run_batch(model, read_batch(dataset, rows), device, **options)


def read_batch(dataset: EmotionDataset, rows: Iterable[int]) -> dict[str, Any]:
    """Return a batch of some rows."""
    items: list[Any] = [dataset[int(row)] for row in rows]
    return dataset.collater(items)


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
