"""The order in which utterances fall into batches."""

from collections.abc import Sequence

import numpy as np

# Neighboring buckets differ by 8% in length, so at most about that much of a batch is padding.
_BUCKET_RATIO = 1.08


def length_buckets(sizes: Sequence[np.ndarray]) -> np.ndarray:
    """Number of the length bucket of each utterance, longer ones in higher buckets.

    The first size decides (the modality that costs most); the others order the rows within a
    bucket coarsely, by a bucket four times as wide.

    Args:
        sizes: one array (N,) of lengths for each modality, the most expensive one first.

    Returns:
        (N,) int64, dense ranks of the combined buckets.
    """
    widths = [1] + [4] * (len(sizes) - 1)
    keys = [
        np.floor(np.log(np.maximum(size, 1)) / (width * np.log(_BUCKET_RATIO))).astype(np.int64)
        for size, width in zip(sizes, widths, strict=True)
    ]
    return np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def bucketed_permutation(buckets: np.ndarray) -> np.ndarray:
    """Row numbers, bucket after bucket, in a random order within each.

    Uses numpy's global generator, which fairseq seeds by epoch before it asks for an order.
    """
    return np.lexsort((np.random.permutation(len(buckets)), buckets))
