"""A whole model over all rows of a dataset, in evaluation: logits or values, row after row."""

from typing import Any

import numpy as np
import torch
from fairseq import utils

_ROWS_OF_A_BATCH = 32


def predict_rows(
    model: Any,
    dataset: Any,
    device: torch.device,
    part: slice = slice(None),
) -> tuple[np.ndarray, np.ndarray]:
    """Ask the model for some rows of a dataset, without gradient, dropout or augmentation.

    Args:
        model: goes back to the mode it was in.
        dataset: an :class:`emo_fairseq.data.raw_audio_text_dataset.RawAudioTextDataset` that was
            not built for training.
        device: that the model is on.
        part: of the rows in the order of their length.

    Returns:
        The row numbers (n,), and the outputs (n, n_outputs) float64.
    """
    rows = np.asarray(dataset.ordered_indices())[part]
    precision = next(model.head.parameters()).dtype
    was_training = model.training

    def in_precision(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(precision) if tensor.dtype == torch.float32 else tensor

    model.eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(rows), _ROWS_OF_A_BATCH):
            batch = rows[start : start + _ROWS_OF_A_BATCH]
            sample = dataset.collater([dataset[int(row)] for row in batch])
            sample = utils.move_to_cuda(sample, device) if device.type == "cuda" else sample
            sample = utils.apply_to_sample(in_precision, sample["net_input"])
            found.append(model(**sample).logits.double().cpu())
    model.train(was_training)
    outputs = torch.cat(found).numpy() if found else np.zeros((0, 0))
    return rows, outputs
