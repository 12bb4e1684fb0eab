"""Outputs of a frozen encoder, read from disk, and the digest of what they depend on."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset
from torch import Tensor

from data_prep.audio.segment import audio_digests
from data_prep.features.frame_files import StoredFeatures
from emo_fairseq.data.audio import WaveformDataset
from emo_fairseq.data.dialogue import ContextDataset
from emo_fairseq.data.modality_dataset import pad_right
from emo_fairseq.errors import UsageError


class EncodedDataset(FairseqDataset):
    """Outputs of an encoder, by mmap.

    Args:
        stored: (T, K x C) for each row; T = 0 where the modality is missing.
        leaf: what was encoded. If it knows the tokens that the fusion may look at, these are taken
            from there: that costs no encoder.

    A row without outputs is one frame of zeros, which no fusion looks at. The sizes are those of
    the leaf, so that batches hold the same rows as they would without outputs on disk.
    """

    def __init__(self, stored: StoredFeatures, leaf: FairseqDataset) -> None:
        super().__init__()
        self.stored = stored
        self.leaf = leaf
        self.sizes = np.asarray(leaf.sizes)
        self._has_focus = isinstance(leaf, ContextDataset) and not leaf.pool_all

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        frames = self.stored[index]
        if len(frames) == 0:
            item = torch.zeros(1, self.stored.frames.shape[1]), False
        else:
            item = torch.from_numpy(frames.astype(np.float32)), True
        return (*item, self.leaf[index]) if self._has_focus else item

    def __len__(self) -> int:
        return len(self.stored)

    def collater(self, samples: list[tuple[Any, ...]]) -> dict[str, Tensor]:
        """``encoded`` (B, T, K x C), ``padding_mask`` (B, T), ``present`` (B,).

        And ``focus`` (B, T), if the leaf collates it.
        """
        encoded, padding_mask = pad_right([sample[0] for sample in samples], 0.0)
        present = torch.tensor([sample[1] for sample in samples])
        batch = {"encoded": encoded, "padding_mask": padding_mask, "present": present}
        if self._has_focus:
            focus = self.leaf.collater([sample[2] for sample in samples])["focus"]
            # A row that is not present is two tokens, but one frame.
            batch["focus"] = focus[:, : encoded.size(1)]
        return batch


# -- What a leaf gives, as a digest: whatever is computed from it depends on this alone ------------


def content_digest(leaf: FairseqDataset, memory: Path) -> str:
    """SHA-256 of the rows of a leaf, in their order.

    Of audio the files and segments count, and the limit at which they are cut; of all else the
    items themselves, so that whatever shapes them (boundaries, truncation, context) is covered.

    Args:
        leaf: gives the same items every time.
        memory: the file that remembers the digests of files.

    Raises:
        UsageError: an audio file cannot be read.
    """
    if isinstance(leaf, WaveformDataset):
        try:
            digests = audio_digests(leaf.audio, memory)
        except ValueError as error:
            raise UsageError(str(error)) from error
        return hashlib.sha256(json.dumps([leaf.max_samples, digests]).encode()).hexdigest()
    found = hashlib.sha256()
    for row in range(len(leaf)):
        for part in leaf[row]:
            found.update(_bytes(part))
    return found.hexdigest()


def _bytes(part: Any) -> bytes:
    if isinstance(part, Tensor):
        array = part.contiguous().numpy()
        return f"{array.dtype}{array.shape}".encode() + array.tobytes()
    return json.dumps(part).encode()
