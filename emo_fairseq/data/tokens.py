"""The modality dataset of tokens: each row alone, or a turn among its neighbors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fairseq.data import ConcatDataset, FairseqDataset, data_utils
from torch import Tensor

from data_prep.manifest.table import values
from data_prep.schema import Utterance
from data_prep.tokens.checking import check_tokens
from data_prep.tokens.folder import SpecialIds
from data_prep.tokens.text_tokenizers import load_text_tokenizer
from emo_fairseq.data.context_rows import NO_PREFIX, ContextRows, focus_of, name_prefixes
from emo_fairseq.data.input_limits import InputLimits
from emo_fairseq.data.manifest import Split, report_rows
from emo_fairseq.data.modality_dataset import collate_padded
from emo_fairseq.data.neighbors import Neighbors, has_context
from emo_fairseq.data.token_rows import BOUNDARIES, check_max_tokens, with_boundaries
from emo_fairseq.data.turn_order import find_hidden, find_neighbors, have_turns
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import TEXT


def open_binarized(folder: Path, split: str, utterances: Sequence[Utterance]) -> FairseqDataset:
    """Open ``{folder}/{split}.bin/.idx`` by mmap; row i belongs to row i of the manifest.

    Raises:
        UsageError: the split is not tokenized, or was so from another manifest, or is damaged.
    """
    check_tokens(folder, split, utterances)
    return data_utils.load_indexed_dataset(
        str(folder / split), dictionary=None, dataset_impl="mmap"
    )


class TokenDataset(FairseqDataset):
    """Tokens of one modality.

    An item is ((T,) ids, presence). It begins with ``specials.init`` and ends with
    ``specials.separator``, either of which is added where the source lacks it, and is truncated to
    ``max_tokens`` before the separator, which always stays.

    >>> texts = [np.array([5, 6, 7, 2]), np.array([8, 2])]
    >>> present = np.array([True, True])
    >>> dataset = TokenDataset(texts, np.array([4, 2]), present, SpecialIds(), max_tokens=4)
    >>> [dataset[row][0].tolist() for row in range(2)]
    [[0, 5, 6, 2], [0, 8, 2]]

    Args:
        source: N sequences of ids; a fairseq dataset or a list.
        lengths: (N,) their lengths.
        present: (N,) bool; a row that is not present becomes the two boundary tokens, to which no
            fusion attends.
        specials: ids of the boundary tokens and of padding.
        max_tokens: length of the longest item, 2 or more.
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
        check_max_tokens(max_tokens)
        self.source = source
        self.present = present
        self.specials = specials
        self.max_tokens = max_tokens
        # A source may hold either boundary already, so this bounds a row's length from above.
        self.sizes = np.minimum(np.where(present, np.asarray(lengths), 0) + BOUNDARIES, max_tokens)

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        present = bool(self.present[index])
        ids = self.source[index] if present else ()
        return torch.from_numpy(with_boundaries(ids, self.specials, self.max_tokens)), present

    def __len__(self) -> int:
        return len(self.present)

    def collater(self, samples: list[tuple[Tensor, bool]]) -> dict[str, Tensor]:
        """Return ``tokens`` and ``padding_mask`` (B, T), ``present`` (B,)."""
        return collate_padded(samples, "tokens", self.specials.pad)


class ContextDataset(FairseqDataset):
    """Tokens of each row with those of its neighbors; see :class:`ContextRows`.

    An item is ((T,) ids, presence, span of the current turn).

    Args:
        source: N sequences of ids, without the initial token, ending with the separator.
        present: (N,) bool; a row that is not present becomes the two boundary tokens.
        neighbors: for each row those around it.
        prefixes: for each row tokens that come before its own, such as the speaker's name.
        specials: ids of the boundary tokens and of padding.
        max_tokens: length of the longest item.
        pool_all: let the fusion attend to the neighbors' tokens too, and not only to the current
            turn's and the initial one's.
    """

    def __init__(
        self,
        source: FairseqDataset,
        present: np.ndarray,
        neighbors: Sequence[Neighbors],
        prefixes: Sequence[np.ndarray],
        specials: SpecialIds,
        max_tokens: int,
        pool_all: bool,
    ) -> None:
        super().__init__()
        lengths = np.asarray(source.sizes)
        rows = ContextRows(source, lengths, present, neighbors, prefixes, specials, max_tokens)
        self.rows = rows
        self.present = present
        self.specials = specials
        self.pool_all = pool_all
        self.sizes = rows.sizes
        self.is_truncated = rows.is_truncated

    def __getitem__(self, index: int) -> tuple[Tensor, bool, tuple[int, int]]:
        tokens, present, span = self.rows[index]
        return torch.from_numpy(tokens), present, span

    def __len__(self) -> int:
        return len(self.rows)

    def collater(self, samples: list[tuple[Tensor, bool, tuple[int, int]]]) -> dict[str, Tensor]:
        """Return ``tokens``, ``padding_mask`` and ``focus`` (B, T), ``present`` (B,).

        ``focus`` is True where the fusion may attend; it is left out where that is everywhere.
        """
        batch = collate_padded(samples, "tokens", self.specials.pad)
        if not self.pool_all:
            spans = [sample[2] for sample in samples]
            batch["focus"] = torch.from_numpy(focus_of(spans, batch["tokens"].size(1)))
        return batch


def build_token_dataset(
    folder: Path, limits: InputLimits, modality: str, split: Split, specials: SpecialIds
) -> FairseqDataset:
    """Build the dataset of one modality's tokens, an item a row of the split on disk.

    Args:
        folder: of the tokens.
        limits: of the input: how long an item may be, and which turns of context it has.
        modality: which one; text alone has context.
        split: the whole split on disk, or a set of a fold, from whose own rows context is taken.
        specials: ids of the boundary tokens and of padding.

    Raises:
        UsageError: context is required, and the rows have no dialogues, or contradictory ones.
    """
    stored = split.stored
    if stored.tokens:
        source = stored.tokens[modality]
        lengths = np.array([len(ids) for ids in source])
    else:
        sources = [
            open_binarized(folder, part.name, part.utterances) for part in split.stored_parts
        ]
        source = sources[0] if len(sources) == 1 else ConcatDataset(sources)
        lengths = np.asarray(source.sizes)
    if modality == TEXT and has_context(limits.cfg):
        return _build_context_dataset(folder, limits, split, source, specials)
    limit = limits.max_tokens(modality)
    n_tokens = (lengths if stored.tokens else lengths + 1)[split.stored_rows]  # no <s> is stored
    report_rows(split, n_tokens > limit, f"are truncated at --max-{modality}-tokens {limit}")
    return TokenDataset(source, lengths, stored.present(modality), specials, limit)


def _build_context_dataset(
    folder: Path, limits: InputLimits, split: Split, source: FairseqDataset, specials: SpecialIds
) -> ContextDataset:
    """Build the dataset of texts under ``--context-past`` and ``--context-future``."""
    if split.stored.tokens:
        raise UsageError(
            "--context-past / --context-future: the legacy layout names no dialogues; leave "
            "the options out, or prepare the corpus as a data dir",
            "context-without-dialogues",
        )
    cfg = limits.cfg
    rows, has_text, own = split.stored.utterances, split.stored.present(TEXT), split.stored_rows
    is_own = np.isin(np.arange(len(rows)), own)
    present = has_text & is_own
    is_single = ~have_turns(rows)
    message = "have no dialogue or no turn, and so no context"
    report_rows(split, (present & is_single)[own], message)
    try:
        neighbors = find_neighbors(rows, present, cfg.context_past, cfg.context_future)
        hidden = find_hidden(rows, has_text, is_own, cfg.context_past, cfg.context_future)
    except ValueError as error:
        code = getattr(error, "code", "")
        raise UsageError(f"{split.file}: {error}", code) from error
    message = "have neighboring turns in another set of the fold, which are left out"
    report_rows(split, hidden[own], f"of {split.name} {message}")
    prefixes = [NO_PREFIX] * len(rows)
    if cfg.context_speakers:
        encode = load_text_tokenizer(folder).encode  # as the texts were tokenized
        prefixes = name_prefixes(encode, values(rows, "speaker"))
    limit, pool_all = limits.max_tokens(TEXT), cfg.context_pooling == "all"
    dataset = ContextDataset(source, present, neighbors, prefixes, specials, limit, pool_all)
    report_rows(
        split, dataset.is_truncated[own], f"have context truncated at --max-text-tokens {limit}"
    )
    return dataset
