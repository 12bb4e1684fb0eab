"""The modality dataset of tokens: each row alone, or a turn among its neighbors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fairseq.data import FairseqDataset, data_utils
from torch import Tensor

from data_prep.schema import Utterance
from data_prep.tokens.folder import SpecialIds
from data_prep.tokens.opened import check_tokens
from emo_fairseq.data.dialogue import (
    NO_PREFIX,
    ContextDataset,
    find_hidden,
    find_neighbors,
    has_context,
    has_place,
    speaker_prefixes,
)
from emo_fairseq.data.inputs import InputLimits
from emo_fairseq.data.manifest import (
    Split,
    report_rows,
)
from emo_fairseq.data.modality_dataset import pad_right
from emo_fairseq.errors import UsageError
from emo_fairseq.types import TEXT


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


# -- The leaf of a modality that is read as tokens: each row alone, or a turn among its neighbors


def build_token_dataset(
    folder: Path, limits: InputLimits, modality: str, split: Split, specials: SpecialIds
) -> FairseqDataset:
    """The dataset of one modality's tokens, an item a row of the stored split.

    Args:
        folder: the data dir.
        limits: with the task's options, which say how long an item may be, and what surrounds it.
        modality: which one; text alone has context.
        split: whose own rows are the ones that context is taken from.
        specials: ids of the boundary tokens and of padding.

    Raises:
        UsageError: context is asked for, and the rows have no dialogues, or contradictory ones.
    """
    stored = split.stored
    if stored.tokens:
        source = stored.tokens[modality]
        lengths = np.array([len(ids) for ids in source])
    else:
        source = open_binarized(folder / modality, stored.name, stored.utterances)
        lengths = np.asarray(source.sizes)
    if modality == TEXT and has_context(limits.cfg):
        return _in_context(folder, limits, split, source, specials)
    limit = limits.max_tokens(modality)
    whole = (lengths if stored.tokens else lengths + 1)[split.stored_rows]  # no <s> is stored
    report_rows(split, whole > limit, f"are cut at --max-{modality}-tokens {limit}")
    return TokenDataset(source, lengths, stored.present(modality), specials, limit)


def _in_context(
    folder: Path, limits: InputLimits, split: Split, source: FairseqDataset, specials: SpecialIds
) -> ContextDataset:
    """The text leaf under ``--context-past`` and ``--context-future``."""
    if split.stored.tokens:
        raise UsageError(
            "--context-past / --context-future: the seed's layout names no dialogues; leave "
            "the options out, or prepare the corpus as a data dir"
        )
    cfg = limits.cfg
    rows, has_text, own = split.stored.utterances, split.stored.present(TEXT), split.stored_rows
    within = np.isin(np.arange(len(rows)), own)
    present = has_text & within
    nowhere = np.array([not has_place(row) for row in rows])
    what = "stand alone, they have no dialogue or no turn"
    report_rows(split, (present & nowhere)[own], what)
    try:
        neighbors = find_neighbors(rows, present, cfg.context_past, cfg.context_future)
        hidden = find_hidden(rows, has_text, within, cfg.context_past, cfg.context_future)
    except ValueError as error:
        raise UsageError(f"{split.file}: {error}") from error
    what = "have neighboring turns in another set of the fold, which they do not see"
    report_rows(split, hidden[own], f"of {split.name} {what}")
    prefixes = [NO_PREFIX] * len(rows)
    if cfg.context_speakers:
        prefixes = speaker_prefixes(folder / TEXT, [row.speaker for row in rows])
    limit, pool_all = limits.max_tokens(TEXT), cfg.context_pooling == "all"
    leaf = ContextDataset(source, present, neighbors, prefixes, specials, limit, pool_all)
    report_rows(split, leaf.is_cut[own], f"have context cut at --max-text-tokens {limit}")
    return leaf
