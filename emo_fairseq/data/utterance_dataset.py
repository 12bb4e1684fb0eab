"""The dataset of a split: audio, text and labels as nested batches."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from fairseq.data import (
    FairseqDataset,
    IdDataset,
    NestedDictionaryDataset,
    NumSamplesDataset,
    RawLabelDataset,
)
from torch import Tensor

from emo_fairseq.data.samplers import (
    BatchLimits,
    RowTraits,
    Sampler,
)
from emo_fairseq.errors import UsageError


class _TruthDataset(RawLabelDataset):
    """Rows of numbers, stacked; the base takes one number a row."""

    def collater(self, samples: list[Tensor]) -> Tensor:
        return torch.stack(samples)


class _NameDataset(RawLabelDataset):
    """Strings, collated to a list."""

    def collater(self, samples: list[str]) -> list[str]:
        return samples


class _Batches(NamedTuple):
    """How the batches of training are drawn."""

    sampler: Sampler
    traits: RowTraits
    seed: int


class UtteranceDataset(NestedDictionaryDataset):
    """Composes the modality datasets of a split; decides the order of rows.

    A batch::

        {"id": (B,), "nsentences": B, "ntokens": B, "split": "train", "utterance_id": [B names],
         "net_input": {"text": {...}, "speech": {...}},   each as its dataset collates it
         "target": (B,) int64 or (B, A) float64,
         "annotations": {"vad": (B, 3), ...},             if there are any
         "other_view": {"text": {...}, ...}}              like net_input, if it is given

    Args:
        split: its name.
        utterance_ids: N names.
        inputs: the dataset of each modality, N items each.
        truth: (N,) int64 label ids or (N, A) float64 numbers, NaN = missing.
        shuffle: new random batches of similar length every epoch (training), or from the longest
            row to the shortest (scoring).
        cases: N names of the modalities that each row has, where rows differ in that (see
            :func:`presence_cases`); a batch then holds also ``"case"`` [B names] and ``"cases"``,
            all names of the split in order.
        annotations: (N, ...) each, what criterions need of a row beyond input and truth.
        other_view: of each modality another dataset of the same rows, augmented by other random
            numbers.
    """

    def __init__(
        self,
        split: str,
        utterance_ids: Sequence[str],
        inputs: Mapping[str, FairseqDataset],
        truth: np.ndarray,
        shuffle: bool,
        cases: Sequence[str] | None = None,
        annotations: Mapping[str, np.ndarray] = MappingProxyType({}),
        other_view: Mapping[str, FairseqDataset] = MappingProxyType({}),
    ) -> None:
        # Speech costs more a row than text, and its lengths differ more: it decides the buckets.
        by_cost = sorted(inputs.values(), key=lambda dataset: -float(np.sum(dataset.sizes)))
        annotation_datasets = {
            key: _TruthDataset(torch.from_numpy(values)) for key, values in annotations.items()
        }
        super().__init__(
            {
                "id": IdDataset(),
                "utterance_id": _NameDataset(utterance_ids),
                "nsentences": NumSamplesDataset(),
                "ntokens": NumSamplesDataset(),  # fairseq's unit of speed: here utterances
                "net_input": dict(inputs),
                "target": _TruthDataset(torch.from_numpy(truth)),
                **({} if cases is None else {"case": _NameDataset(cases)}),
                **({"annotations": annotation_datasets} if annotations else {}),
                **({"other_view": dict(other_view)} if other_view else {}),
            },
            sizes=[dataset.sizes for dataset in by_cost],
        )
        self._constants = {"split": split, **({} if cases is None else {"cases": sorted({*cases})})}
        self.split = split
        self.utterance_ids = utterance_ids
        self.shuffle = shuffle
        self._buckets = length_buckets(self.sizes)
        self._batches: _Batches | None = None
        self._epoch = 1

    def draw_batches(self, sampler: Sampler, traits: RowTraits, seed: int) -> None:
        """Draw the batches of training by a sampler.

        Args:
            sampler: one of :data:`emo_fairseq.data.samplers.SAMPLERS`.
            traits: of the N rows.
            seed: of its generator, with the epoch.
        """
        self._batches = _Batches(sampler, traits, seed)

    @property
    def turns(self) -> "UtteranceDataset":
        """The dataset whose rows are single utterances: itself."""
        return self

    def truth(self, rows: np.ndarray) -> Tensor:
        """Return the truth of some rows, (B,) or (B, A)."""
        return torch.stack([self.defn["target"][int(row)] for row in rows])

    def collater(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super().collater(samples)
        # An empty batch, which a rank without a share of the last ones gets, stays empty.
        return {**batch, **self._constants} if batch else batch

    def ordered_indices(self) -> np.ndarray:
        if self.shuffle:
            return bucketed_permutation(self._buckets)
        return np.lexsort(self.sizes[::-1])[::-1].copy()

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self._epoch = epoch

    def batch_by_size(
        self,
        indices: np.ndarray,
        max_tokens: int | None = None,
        max_sentences: int | None = None,
        required_batch_size_multiple: int = 1,
    ) -> Sequence[np.ndarray]:
        if self._batches is None:
            return super().batch_by_size(
                indices, max_tokens, max_sentences, required_batch_size_multiple
            )
        # fairseq seeds numpy's generator for the order of rows, and no longer for this.
        rng = np.random.default_rng((self._batches.seed, self._epoch))
        limits = BatchLimits(max_sentences, max_tokens)
        return self._batches.sampler(indices, self._batches.traits, limits, rng)

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        """Return the lengths that ``--max-tokens`` limits: of each row's longest modality."""
        return np.max([size[indices] for size in self.sizes], axis=0)

    def largest_batch(self, max_sentences: int) -> np.ndarray:
        """Return the longest rows, as many as a batch may have."""
        order = np.argsort(self.num_tokens_vec(np.arange(len(self))), kind="stable")
        return order[::-1][:max_sentences]

    def check_max_tokens(self, max_tokens: int | None) -> None:
        """Raise a `UsageError` if a single utterance is longer than ``--max-tokens``."""
        longest = int(np.max(self.sizes))
        if max_tokens is not None and longest > max_tokens:
            raise UsageError(
                f"--max-tokens {max_tokens}: an utterance of {self.split} has {longest}; "
                "give at least so many, or --batch-size in its place",
                "max-tokens-too-small",
            )


# -- The order of rows: buckets of similar length --------------------------------------------------

# Neighboring buckets differ by 8% in length, so at most about that much of a batch is padding.
_BUCKET_RATIO = 1.08


def length_buckets(sizes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the length bucket of each utterance, longer ones in higher buckets.

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
    combined = keys[0]
    for key in keys[1:]:
        combined = combined * (key.max(initial=0) + 1) + key
    occurs = np.zeros(combined.max(initial=0) + 1, dtype=np.int64)
    occurs[combined] = 1
    return (np.cumsum(occurs) - 1)[combined]


def bucketed_permutation(buckets: np.ndarray) -> np.ndarray:
    """Return the row numbers bucket after bucket, in a random order within each.

    Uses numpy's global generator, which fairseq seeds by epoch before it calls `ordered_indices`.
    """
    rank = np.random.permutation(len(buckets))
    shuffled = np.empty_like(rank)
    shuffled[rank] = np.arange(len(rank))
    small = np.min_scalar_type(buckets.max(initial=0))  # 16 bits are sorted in linear time
    return shuffled[np.argsort(buckets[shuffled].astype(small), kind="stable")]


def presence_cases(present: Mapping[str, np.ndarray]) -> list[str] | None:
    """Return for each row the modalities it has, joined by ``+``; None if all rows have the same.

    >>> presence_cases({"text": np.array([True, True]), "speech": np.array([True, False])})
    ['text+speech', 'text']

    Args:
        present: for each modality which rows have it, (N,) bool.
    """
    number = np.sum(
        [is_present.astype(np.int64) << bit for bit, is_present in enumerate(present.values())], 0
    )
    if not len(number) or (number == number[0]).all():
        return None
    names = [
        "+".join(name for bit, name in enumerate(present) if case >> bit & 1)
        for case in range(1 << len(present))
    ]
    cases: list[str] = np.array(names, dtype=object)[number].tolist()
    return cases
