"""Outputs of a frozen encoder, read from disk, and the digest of what they depend on.

Of inputs that are augmented they are stored several times, each with other changes.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, FairseqDataset
from torch import Tensor

from data_prep.audio.segment import waveforms_digest
from data_prep.features.frame_files import StoredFeatures
from emo_fairseq.data.audio import WaveformDataset
from emo_fairseq.data.augmentation import AugmentedDataset, unaugmented
from emo_fairseq.data.modality_dataset import collate_padded
from emo_fairseq.data.tokens import ContextDataset
from emo_fairseq.data.video import ClipDataset


class EncodedDataset(FairseqDataset):
    """Outputs of an encoder, by mmap, in place of its inputs.

    An item is ((T, K x C) float32 outputs, presence). A row without outputs is one frame of zeros
    that is not present. The sizes are those of the inputs, so that batches hold the same rows as
    they would without outputs on disk.

    Args:
        stored: (T, K x C) for each row; T = 0 where the modality is missing.
        inputs: the modality dataset that was encoded. Which tokens the fusion may attend to
            (``focus``) is read from it, which needs no encoder.
    """

    def __init__(self, stored: StoredFeatures, inputs: FairseqDataset) -> None:
        super().__init__()
        self.stored = stored
        self.inputs = inputs
        self.sizes = np.asarray(inputs.sizes)
        source = unaugmented(inputs)
        self._has_focus = isinstance(source, ContextDataset) and not source.pool_all

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        frames = self.stored[index]
        if len(frames) == 0:
            item = torch.zeros(1, self.stored.width), False
        else:
            item = torch.from_numpy(frames.astype(np.float32)), True
        return (*item, self.inputs[index]) if self._has_focus else item

    def __len__(self) -> int:
        return len(self.stored)

    def collater(self, samples: list[tuple[Any, ...]]) -> dict[str, Tensor]:
        """Return ``encoded`` (B, T, K x C), ``padding_mask`` (B, T) and ``present`` (B,).

        And ``focus`` (B, T), if the inputs have it. ``encoded`` is the bits of float32 numbers as
        int32: with ``--bf16`` and ``--fp16``, fairseq and FSDP cast every float32 tensor of a
        batch, before the model can standardize it.
        """
        batch = collate_padded(samples, "encoded")
        batch["encoded"] = batch["encoded"].view(torch.int32)
        if self._has_focus:
            focus = self.inputs.collater([sample[2] for sample in samples])["focus"]
            # A row that is not present is two tokens, but one frame.
            batch["focus"] = focus[:, : batch["encoded"].size(1)]
        return batch


class EncodedCopies(BaseWrapperDataset):
    """Outputs for copies of the same rows, of which each epoch reads one of each row.

    Every row reads its copies in turn, beginning with another one than the row before it, so that
    an epoch has rows of all copies.

    Args:
        copies: of the rows; sizes are those of the first.
        first: number of the copy that the first row begins with, such that two datasets of the same
            copies read different ones.
    """

    def __init__(self, copies: Sequence[FairseqDataset], first: int = 0) -> None:
        super().__init__(copies[0])
        self.copies = copies
        self.first = first
        # Shared with workers, which outlive the epoch that they are started in.
        self._epoch = torch.ones((), dtype=torch.long).share_memory_()

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        copy = (self.first + int(self._epoch) - 1 + int(index)) % len(self.copies)
        item: tuple[Any, ...] = self.copies[copy][index]
        return item

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self._epoch.fill_(epoch)


def content_digest(dataset: FairseqDataset, memory: Path) -> str:
    """Return the SHA-256 of the rows of a modality dataset, in their order.

    Of audio and videos the files and segments count, and how much of them is read; of an
    augmentation its settings, seed and epoch; of all else the items themselves, so that whatever
    shapes them (boundaries, truncation, context) is covered.

    Args:
        dataset: gives the same items every time, in an epoch.
        memory: the file that caches the digests of files.

    Raises:
        UsageError: an audio file cannot be read.
    """
    if isinstance(dataset, ClipDataset):
        clips = [repr(dataset.options), dataset.content(memory)]
        return hashlib.sha256(json.dumps(clips).encode()).hexdigest()
    if isinstance(dataset, WaveformDataset):
        return waveforms_digest(dataset.content(memory), dataset.max_samples)
    if isinstance(dataset, AugmentedDataset):
        identity = dataset.identity(partial(content_digest, memory=memory))
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    digest = hashlib.sha256()
    for row in range(len(dataset)):
        for part in dataset[row]:
            digest.update(_to_bytes(part))
    return digest.hexdigest()


def _to_bytes(part: Any) -> bytes:
    if isinstance(part, Tensor):
        array = part.contiguous().numpy()
        return f"{array.dtype}{array.shape}".encode() + array.tobytes()
    return json.dumps(part).encode()
