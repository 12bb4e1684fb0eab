"""The leaf of what a frozen encoder made of another leaf, read from disk."""

from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset
from torch import Tensor

from data_prep.features.frame_files import StoredFeatures
from emo_fairseq.data.collate import pad_right
from emo_fairseq.data.context import ContextDataset


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
