"""Masked tokens, for a masked language model (``--criterion emotion_masked_lm``)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset
from torch import Tensor

from emo_fairseq.data.augmentation import AugmentedDataset, Item
from emo_fairseq.data.modality_dataset import pad_right
from emo_fairseq.data.vocabulary import MASK_SYMBOLS, Vocabulary, find_mask_symbol
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError

MASKED = "masked_tokens"  # in a batch, the ids that were there
NOT_MASKED = -1
_MASK_SHARE, _RANDOM_SHARE = 0.8, 0.1  # of the chosen tokens; the rest stay as they are


def mask_tokens(
    tokens: np.ndarray,
    share: float,
    stay: Sequence[int],
    mask: int,
    n_symbols: int,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Mask tokens as BERT does (Devlin et al. 2019, section 3.1).

    Each token is chosen with the same probability, one of a text at least. Of the chosen ones 80 %
    become the mask, 10 % a random other symbol, and 10 % stay.

    Args:
        tokens: (T,) ids.
        share: probability of a token to be chosen.
        stay: ids that are never chosen, such as the boundaries and padding.
        mask: id of the mask.
        n_symbols: size of the vocabulary.
        generator: of random numbers.

    Returns:
        (T,) the changed ids, and (T,) the chosen ones before, -1 elsewhere.

    >>> ids = np.array([0, 5, 6, 7, 2])
    >>> masked, truth = mask_tokens(ids, 0.99, [0, 2], 9, 10, np.random.default_rng(0))
    >>> masked.tolist(), truth.tolist()  # a mask, another token, and itself
    ([0, 9, 5, 7, 2], [-1, 5, 6, 7, -1])
    """
    words = np.flatnonzero(~np.isin(tokens, stay))
    truth = np.full_like(tokens, NOT_MASKED)
    if not len(words):
        return tokens, truth
    chosen = words[generator.random(len(words)) < share]
    if not len(chosen):
        chosen = words[[generator.integers(len(words))]]
    truth[chosen] = tokens[chosen]
    kind = generator.random(len(chosen))
    masked = tokens.copy()
    masked[chosen[kind < _MASK_SHARE]] = mask
    is_random = (kind >= _MASK_SHARE) & (kind < _MASK_SHARE + _RANDOM_SHARE)
    others = np.setdiff1d(np.arange(n_symbols), [*stay, mask])
    masked[chosen[is_random]] = generator.choice(others, is_random.sum())
    return masked, truth


class MaskedTokens(AugmentedDataset):
    """Masks tokens by :func:`mask_tokens`; a batch has the ids that were there, too.

    Each token is chosen with the probability `share`; `mask` is the id of the mask.
    """

    def __init__(
        self, dataset: FairseqDataset, share: float, vocabulary: Vocabulary, mask: int, seed: int
    ) -> None:
        super().__init__(dataset, seed)
        specials = vocabulary.specials
        self.share, self.mask, self.n_symbols = share, mask, vocabulary.size
        self.stay = [specials.init, specials.separator, specials.pad]

    def __getitem__(self, index: int) -> Item:
        item: Item = self.dataset[index]
        if not item[1]:
            return *item, torch.full_like(item[0], NOT_MASKED)
        return self.change(item, self._generator(index))

    def settings(self, digest_of: Callable[[FairseqDataset], str]) -> list[Any]:
        return [self.share, self.mask, self.n_symbols, *self.stay]

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        tokens, *rest = item
        masked, truth = mask_tokens(
            tokens.numpy(), self.share, self.stay, self.mask, self.n_symbols, generator
        )
        return torch.from_numpy(masked), *rest, torch.from_numpy(truth)

    def collater(self, samples: list[Any]) -> dict[str, Tensor]:
        """Return the batch of the wrapped dataset, and ``masked_tokens`` (B, T), -1 elsewhere."""
        batch: dict[str, Tensor] = self.dataset.collater([sample[:-1] for sample in samples])
        truth, _ = pad_right([sample[-1] for sample in samples], NOT_MASKED)
        return {**batch, MASKED: truth}


def find_mask(folder: Path | None, vocabulary: Vocabulary, encoder: EncoderSpec) -> int:
    """Return the id of the mask.

    fairseq's RoBERTa has it behind the symbols of its dictionary, where its task adds it.

    Args:
        folder: of the tokens; None where no file names the symbols.
        vocabulary: of the tokens.
        encoder: that reads them.

    Raises:
        UsageError: there is none.
    """
    mask = find_mask_symbol(folder)
    if mask is None and encoder.kind == "fairseq" and encoder.vocabulary_size > vocabulary.size:
        mask = vocabulary.size
    if mask is None:
        raise UsageError(
            f"--criterion emotion_masked_lm: the tokens in {folder or vocabulary.source} have no "
            f"{' or '.join(MASK_SYMBOLS)}; tokenize with --bpe hf:FOLDER or the dictionary of a "
            "pretrained RoBERTa, and give that encoder to --text-encoder",
            "mask-missing",
        )
    return mask
