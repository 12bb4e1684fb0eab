"""The token leaf: ids between an initial and a separator token, cut to a limit."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fairseq.data import FairseqDataset, data_utils
from torch import Tensor

from data_prep.features.stored import rows_digest
from data_prep.schema import Utterance
from data_prep.tokens.folder import TOKENIZER_FILE, SpecialIds, read_card, sequence_digest
from emo_fairseq.data.collate import pad_right
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import TEXT

logger = logging.getLogger(__name__)


def open_binarised(folder: Path, split: str, utterances: Sequence[Utterance]) -> FairseqDataset:
    """Open ``{folder}/{split}.bin/.idx`` by mmap; row i belongs to row i of the manifest.

    Raises:
        UsageError: the split is not tokenised, or was so from another manifest.
    """
    n_rows = len(utterances)
    command = f"python -m data_prep.tokenize_{folder.name} {folder.parent}"
    dataset = data_utils.load_indexed_dataset(
        str(folder / split), dictionary=None, dataset_impl="mmap"
    )
    if dataset is None:
        raise UsageError(f"{folder / split}.bin: not there; run `{command}`")
    if len(dataset) != n_rows:
        raise UsageError(
            f"{folder / split}.idx: {len(dataset)} rows, but the manifest has {n_rows}; "
            f"run `{command}` again"
        )
    if not vouches_for(folder, split, utterances):
        raise UsageError(
            f"{folder / split}.idx: ids, {'texts' if folder.name == TEXT else 'audio'} of the "
            f"manifest have changed since; run `{command}` again"
        )
    return dataset


def vouches_for(folder: Path, split: str, utterances: Sequence[Utterance]) -> bool:
    """Whether the card of a token folder, if there is one, is of these very rows."""
    if not (folder / TOKENIZER_FILE).exists():
        return True  # tokens made by other means than data_prep's
    entry = read_card(folder)["splits"].get(split, {})
    if folder.name == TEXT:
        return entry.get("digest") == sequence_digest((row.id, row.text) for row in utterances)
    return entry.get("manifest") == rows_digest(utterances)


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
