"""Blanks in the place of words: how many, never of boundaries, never of a whole text."""

from typing import Any

import numpy as np
import pytest
import torch
from input_examples import make_texts

from data_prep.tokens.folder import BOS, EOS, PAD, UNK, SpecialIds
from emo_fairseq.data.augmentation import TokenDropout
from emo_fairseq.data.context_rows import NO_PREFIX
from emo_fairseq.data.neighbors import Neighbors
from emo_fairseq.data.tokens import ContextDataset, TokenDataset

MASK = 99


def dropout(dataset: Any, chance: float, blank: int | None = MASK) -> TokenDropout:
    return TokenDropout(dataset, chance, SpecialIds(), blank, seed=1)


class ListDataset(list[np.ndarray]):
    """Rows and their sizes, as the mmap dataset has them."""

    @property
    def sizes(self) -> np.ndarray:
        return np.array([len(row) for row in self])


def dialogue(pool_all: bool = False) -> ContextDataset:
    """Three turns of 5, 4 and 3 words; the middle one with a past and a future, the last alone."""
    rows = [[10, 11, 12, 13, 14, EOS], [20, 21, 22, 23, EOS], [30, 31, 32, EOS]]
    source = ListDataset(np.array(row, dtype=np.int64) for row in rows)
    neighbors = [Neighbors([], [1]), Neighbors([0], [2]), Neighbors([], [])]
    prefixes = [NO_PREFIX] * 3
    present = np.ones(3, dtype=bool)
    return ContextDataset(source, present, neighbors, prefixes, SpecialIds(), 100, pool_all)


@pytest.mark.parametrize("chance", [0.02, 0.15, 0.5])
def test_the_share_of_blanks_is_the_chance(chance: float) -> None:
    dataset = dropout(make_texts(*[list(range(100, 300))] * 100), chance)
    blanks = sum(int(dataset[row][0].eq(MASK).sum()) for row in range(100))
    deviation = np.sqrt(20_000 * chance * (1 - chance))
    assert abs(blanks - 20_000 * chance) < 4 * deviation


def test_other_words_and_the_length_stay() -> None:
    dataset = dropout(make_texts(list(range(100, 160))), 0.3)
    tokens, before = dataset[0][0], dataset.dataset[0][0]
    assert len(tokens) == len(before)
    assert torch.equal(tokens[tokens != MASK], before[tokens != MASK])
    assert 0 < tokens.eq(MASK).sum() < 60


def test_special_symbols_stay_wherever_they_are() -> None:
    dataset = dropout(make_texts([10, EOS, 11, BOS, PAD, EOS, UNK, 12, 13]), 0.95)
    specials = torch.isin(dataset.dataset[0][0], torch.tensor([BOS, EOS, PAD]))
    seen = torch.zeros(len(specials), dtype=torch.bool)
    for epoch in range(1, 50):
        dataset.set_epoch(epoch)
        blanks = dataset[0][0] == MASK
        assert not (blanks & specials).any()
        seen |= blanks
    assert torch.equal(seen, ~specials)


def test_other_specials_are_honored() -> None:
    specials = SpecialIds(init=5, separator=6, pad=7)
    source = [np.array([0, 1, 2, 3, 6, 7])]
    dataset = TokenDataset(source, np.array([6]), np.array([True]), specials, 10)
    found = TokenDropout(dataset, 0.99, specials, MASK, seed=1)[0][0].tolist()
    assert (found[0], found[5:]) == (5, [6, 7, 6])
    assert found[1:5].count(MASK) == 3


@pytest.mark.parametrize("blank", [MASK, None])
def test_one_word_is_left_of_every_text(blank: int | None) -> None:
    dataset = dropout(make_texts([10, 11, 12], [10], []), 0.99, blank)
    left = set()
    for epoch in range(1, 100):
        dataset.set_epoch(epoch)
        words = [token for token in dataset[0][0].tolist() if token in (10, 11, 12)]
        assert len(words) >= 1
        left.update(words if len(words) == 1 else ())
        assert dataset[1][0].tolist() == [BOS, 10, EOS]
        assert dataset[2][0].tolist() == [BOS, EOS]
    assert left == {10, 11, 12}


def test_without_a_blank_the_text_becomes_shorter() -> None:
    dataset = dropout(make_texts(list(range(100, 160)), [7]), 0.3, None)
    tokens = dataset[0][0].tolist()
    assert (tokens[0], tokens[-1]) == (BOS, EOS)
    words = tokens[1:-1]
    assert words == sorted(words)
    assert 20 < len(words) < 60
    batch = dataset.collater([dataset[0], dataset[1]])
    assert (~batch["padding_mask"]).sum(dim=1).tolist() == [len(tokens), 3]


@pytest.mark.parametrize("blank", [MASK, None])
def test_the_place_of_the_current_turn_is_kept_track_of(blank: int | None) -> None:
    dataset = dropout(dialogue(), 0.6, blank)
    lost = 0
    for epoch in range(1, 100):
        dataset.set_epoch(epoch)
        tokens, present, (start, end) = dataset[1]
        assert present
        turn = tokens[start:end].tolist()
        assert turn[-1] == EOS
        assert set(turn[:-1]) <= {20, 21, 22, 23, MASK}
        assert set(turn) & {20, 21, 22, 23}
        assert set(tokens[:start].tolist()) <= {BOS, EOS, MASK, *range(10, 15)}
        assert set(tokens[end:].tolist()) <= {EOS, MASK, *range(30, 33)}
        assert tokens.eq(EOS).sum() == 3
        lost += int(not set(tokens.tolist()) & set(range(10, 15)))
        focus = dataset.collater([dataset[1]])["focus"][0]
        assert tokens[focus].tolist() == [BOS, *turn]
    assert lost  # of a neighbor, everything may go


def test_a_context_batch_has_its_keys() -> None:
    for pool_all in (False, True):
        dataset = dropout(dialogue(pool_all), 0.5)
        rows = range(3)
        batch = dataset.collater([dataset[row] for row in rows])
        before = dataset.dataset.collater([dataset.dataset[row] for row in rows])
        assert batch.keys() == before.keys()
        for name in batch.keys() - {"tokens"}:
            assert torch.equal(batch[name], before[name])
