"""Words that are left out of a text."""

import numpy as np
import torch
from fairseq.data import FairseqDataset

from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.augmentation.drawn import DrawnDataset, Item


class TokenDropout(DrawnDataset):
    """Puts a blank in the place of tokens, each with the same chance.

    The boundaries, separators between turns included, and one token of the text at least, stay. Of
    a dialogue that is one of the current turn, whose place is kept track of.

    Args:
        dataset: tokens, with or without context.
        chance: of each token.
        specials: ids that stay.
        blank: the id that takes the place; None = nothing does, and the text becomes shorter.
        seed: see the base.
    """

    def __init__(
        self,
        dataset: FairseqDataset,
        chance: float,
        specials: SpecialIds,
        blank: int | None,
        seed: int,
    ) -> None:
        super().__init__(dataset, seed)
        self.chance = chance
        self.stay = torch.tensor([specials.init, specials.separator, specials.pad])
        self.blank = blank

    def changed(self, item: Item, generator: np.random.Generator) -> Item:
        tokens, present, *focus = item
        start, end = focus[0] if focus else (0, len(tokens))
        words = ~torch.isin(tokens, self.stay)
        dropped = words & torch.from_numpy(generator.random(len(tokens)) < self.chance)
        own = start + words[start:end].nonzero().flatten()
        if len(own) and dropped[own].all():
            dropped[own[generator.integers(len(own))]] = False
        if self.blank is not None:
            return tokens.masked_fill(dropped, self.blank), present, *focus
        kept = ~dropped
        moved = [(int(kept[:start].sum()), int(kept[:end].sum()))] if focus else []
        return tokens[kept], present, *moved
