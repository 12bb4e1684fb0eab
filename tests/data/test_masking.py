"""Masked tokens: which are chosen, what they become, and the same again in every worker."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from codes import raises

from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.masking import MaskedTokens, find_mask, mask_tokens
from emo_fairseq.data.tokens import TokenDataset
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_spec import EncoderSpec

MASK, N_SYMBOLS = 9, 50
VOCABULARY = Vocabulary(N_SYMBOLS, "", "here", SpecialIds())
STAY = [0, 1, 2]


def dataset(share: float = 0.5, seed: int = 3) -> MaskedTokens:
    texts = [np.array([10, 11, 12, 13, 2]), np.array([20, 2]), np.array([2])]
    tokens = TokenDataset(
        texts, np.array([5, 2, 1]), np.array([True, True, False]), SpecialIds(), 9
    )
    return MaskedTokens(tokens, share, VOCABULARY, MASK, seed)


def test_shares() -> None:
    tokens = np.array([0, *([10] * 20_000), 2])
    generator = np.random.default_rng(0)
    masked, truth = mask_tokens(tokens, 0.15, STAY, MASK, N_SYMBOLS, generator)
    chosen = truth >= 0
    assert chosen.mean() == pytest.approx(0.15, abs=0.01)
    assert (truth[chosen] == 10).all()
    assert (masked[~chosen] == tokens[~chosen]).all()
    of_chosen = masked[chosen]
    assert (of_chosen == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (of_chosen == 10).mean() == pytest.approx(0.1, abs=0.02)  # a few of them at random
    others = of_chosen[(of_chosen != MASK) & (of_chosen != 10)]
    assert not np.isin(others, [*STAY, MASK]).any()
    assert len({*others.tolist()}) == N_SYMBOLS - len(STAY) - 2


def test_one_token_at_least_and_no_boundary() -> None:
    for seed in range(20):
        generator = np.random.default_rng(seed)
        _, truth = mask_tokens(np.array([0, 10, 11, 2]), 0.01, STAY, MASK, N_SYMBOLS, generator)
        assert (truth >= 0).sum() == 1
        assert truth[0] == truth[3] == -1
    masked, truth = mask_tokens(np.array([0, 2]), 0.5, STAY, MASK, N_SYMBOLS, generator)
    assert masked.tolist() == [0, 2]
    assert (truth == -1).all()


def test_batches() -> None:
    masked = dataset()
    items = [masked[row] for row in range(3)]
    batch = masked.collater(items)
    truth = batch["masked_tokens"]
    assert batch["tokens"].shape == truth.shape == (3, 6)
    assert (truth[batch["padding_mask"]] == -1).all()
    assert (truth[2] == -1).all()  # the row has no text
    plain = masked.dataset.collater([masked.dataset[row] for row in range(3)])["tokens"]
    torch.testing.assert_close(truth[truth >= 0], plain[truth >= 0])
    assert (batch["tokens"] != plain).any()


def test_the_same_masks_by_seed_epoch_and_row() -> None:
    one, same, later, other = dataset(), dataset(), dataset(), dataset(seed=4)
    later.set_epoch(2)
    drawn = [masked[0][-1].tolist() for masked in (one, same, later, other)]
    assert drawn[0] == drawn[1]
    assert torch.equal(one[0][0], same[0][0])
    assert len({*map(tuple, drawn)}) > 1


def test_the_mask_of_a_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "dict.txt").write_text("a 1\nb 1\n")
    plain = dataclasses.replace(VOCABULARY, size=6)
    with raises("mask-missing"):
        find_mask(tmp_path, plain, EncoderSpec("scratch:", "tokens"))
    with raises("mask-missing"):
        find_mask(None, plain, EncoderSpec("scratch:", "tokens"))
    roberta = EncoderSpec("fairseq:model.pt", "tokens", vocabulary_size=7)
    assert find_mask(tmp_path, plain, roberta) == 6
    (tmp_path / "dict.txt").write_text("a 1\n<mask> 1\n")
    assert find_mask(tmp_path, plain, roberta) == 5
