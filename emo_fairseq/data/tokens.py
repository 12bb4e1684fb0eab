"""The token leaf: ids between an initial and a separator token, cut to a limit."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fairseq.data import FairseqDataset, data_utils
from torch import Tensor

from data_prep.schema import Utterance
from data_prep.tokens.folder import SpecialIds
from data_prep.tokens.opened import check_tokens
from emo_fairseq.data.collate import pad_right
from emo_fairseq.errors import UsageError


def open_binarized(folder: Path, split: str, utterances: Sequence[Utterance]) -> FairseqDataset:
    """Open ``{folder}/{split}.bin/.idx`` by mmap; row i belongs to row i of the manifest.

    Raises:
        UsageError: the split is not tokenized, or was so from another manifest, or is damaged.
    """
    try:
        check_tokens(folder, split, utterances)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return data_utils.load_indexed_dataset(
        str(folder / split), dictionary=None, dataset_impl="mmap"
    )


class TokenDataset(FairseqDataset):
    """Tokens of one modality.

    An item begins with ``specials.init`` and ends with ``specials.separator``, whichever of the two
    its source lacks being added, and is at most ``max_tokens`` long: the cut falls before the
    separator, which always stays.

    Args:
        source: N sequences of ids with ``sizes``-like lengths; a fairseq dataset or a list.
        lengths: (N,) their lengths.
        present: (N,) bool; a row that is not present becomes the two boundary tokens, which no
            fusion looks at.
    """

    def __init__(
        self,
        source: FairseqDataset | Sequence[np.ndarray],
        lengths: np.ndarray,
        present: np.ndarray,
        specials: SpecialIds,
        max_tokens: int,
    ) -> None:
        super().__init__()
        if max_tokens < 2:
            raise UsageError(f"a limit of {max_tokens} tokens has no room for <s> and </s>")
        self.source = source
        self.present = present
        self.specials = specials
        self.boundaries = torch.tensor([specials.init]), torch.tensor([specials.separator])
        self.max_tokens = max_tokens
        # A source may hold either boundary already, so this bounds a row's length from above.
        self.sizes = np.minimum(np.where(present, np.asarray(lengths), 0) + 2, max_tokens)

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        first, last = self.boundaries
        present = bool(self.present[index])
        body = torch.as_tensor(self.source[index]).long() if present else first
        if len(body) and body[0] == first:
            body = body[1:]
        if len(body) and body[-1] == last:
            body = body[:-1]
        return torch.cat([first, body[: self.max_tokens - 2], last]), present

    def __len__(self) -> int:
        return len(self.present)

    def collater(self, samples: list[tuple[Tensor, bool]]) -> dict[str, Tensor]:
        """``tokens`` and ``padding_mask`` (B, T), ``present`` (B,)."""
        tokens, padding_mask = pad_right([sample[0] for sample in samples], self.specials.pad)
        present = torch.tensor([sample[1] for sample in samples])
        return {"tokens": tokens, "padding_mask": padding_mask, "present": present}
