"""Encode rows of very different lengths in groups, so that little of the encoder's work is padding.

Batches of utterances are made of rows of about the same length. Those of dialogues cannot be: of
MELD's texts, in batches of 32 turns, three tokens of five would be padding.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

_RATIO = 1.5  # of the longest row of a group to that of the next one
_MOST_GROUPS = 4
_LEAST_SAVING = 0.1  # of the padded length of all rows, else they are one group


def group_by_length(lengths: np.ndarray) -> list[np.ndarray]:
    """Divide rows into groups of similar length, if that saves padding.

    >>> [rows.tolist() for rows in group_by_length(np.array([40, 5, 38, 9]))]
    [[0, 2], [1, 3]]

    Args:
        lengths: (B,), 1 or more each.

    Returns:
        At most four arrays of row numbers, of the longest rows first.
    """
    longest = lengths.max()
    distance = np.log(longest / lengths) / np.log(_RATIO)
    number = np.minimum(np.floor(distance), _MOST_GROUPS - 1)
    groups = [np.flatnonzero(number == n) for n in np.unique(number)]
    padded = sum(len(rows) * lengths[rows].max() for rows in groups)
    if padded > (1 - _LEAST_SAVING) * len(lengths) * longest:
        return [np.arange(len(lengths))]
    return groups


def encode_by_length(
    encode: Callable[..., tuple[Tensor, Tensor]], source: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return what an encoder returns for a batch, from a call for each group of similar length.

    Args:
        encode: (B, S, ...) inputs by name -> features (B, T, ...) and their padding mask (B, T),
            which do not depend on the amount of padding.
        source: its inputs, ``padding_mask`` (B, S) among them.
    """
    lengths = (~source["padding_mask"]).sum(dim=1).cpu().numpy()
    groups = group_by_length(np.maximum(lengths, 1))
    if len(groups) == 1:
        return encode(**source)
    encoded = []
    for rows in groups:
        index = torch.from_numpy(rows).to(source["padding_mask"].device)
        n_steps = int(lengths[rows].max())
        encoded.append(encode(**{name: x[index, :n_steps] for name, x in source.items()}))
    n_frames = max(features.size(1) for features, _ in encoded)
    in_order = torch.from_numpy(np.argsort(np.concatenate(groups))).to(encoded[0][0].device)
    features = [_extend(features, n_frames, 0.0) for features, _ in encoded]
    masks = [_extend(padding_mask, n_frames, True) for _, padding_mask in encoded]
    return torch.cat(features)[in_order], torch.cat(masks)[in_order]


def _extend(batch: Tensor, n_frames: int, value: float) -> Tensor:
    """Pad (B, T, ...) to (B, n_frames, ...)."""
    rest = (0, 0) * (batch.ndim - 2)
    return pad(batch, (*rest, 0, n_frames - batch.size(1)), value=value)
