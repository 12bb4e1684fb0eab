"""Token dropout: tokens of a text become a mask, or are left out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset

from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.augmentation.augmented_dataset import AugmentedDataset, Item


class TokenDropout(AugmentedDataset):
    """Replaces tokens by a blank, each with the same probability.

    The boundaries, separators between turns included, and one token of the text at least, stay. Of
    a dialogue that is one of the current turn, whose span follows what is left out.

    Args:
        dataset: tokens, with or without context.
        probability: of each token.
        specials: ids that stay.
        blank: the id that replaces a token; None = tokens are left out, which shortens the text.
        seed: see :class:`AugmentedDataset`.
    """

    def __init__(
        self,
        dataset: FairseqDataset,
        probability: float,
        specials: SpecialIds,
        blank: int | None,
        seed: int,
    ) -> None:
        super().__init__(dataset, seed)
        self.probability = probability
        self.stay = torch.tensor([specials.init, specials.separator, specials.pad])
        self.blank = blank

    def settings(self, digest_of: Callable[[FairseqDataset], str]) -> list[Any]:
        return [self.probability, self.stay.tolist(), self.blank]

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        tokens, present, *focus = item
        start, end = focus[0] if focus else (0, len(tokens))
        words = ~torch.isin(tokens, self.stay)
        dropped = words & torch.from_numpy(generator.random(len(tokens)) < self.probability)
        own = start + words[start:end].nonzero().flatten()
        if len(own) and dropped[own].all():
            dropped[own[generator.integers(len(own))]] = False
        if self.blank is not None:
            return tokens.masked_fill(dropped, self.blank), present, *focus
        kept = ~dropped
        moved = [(int(kept[:start].sum()), int(kept[:end].sum()))] if focus else []
        return tokens[kept], present, *moved
