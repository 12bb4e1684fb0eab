"""Turns joined round the current one: their order, the cut from the outside in, the focus."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from codes import raises
from token_folders import tokens_of

from data_prep.schema import Utterance, read_manifest
from data_prep.tokens.folder import SpecialIds
from data_prep.tokens.text_tokenizers import load_text_tokenizer
from emo_fairseq.data.context_rows import NO_PREFIX, name_prefixes
from emo_fairseq.data.neighbors import Neighbors
from emo_fairseq.data.tokens import ContextDataset

FIRST, LAST, PAD = 0, 2, 1
TURNS = [[11, 12, 13], [21], [31, 32], [41, 42, 43, 44]]  # one dialogue
NEIGHBORS = [
    Neighbors([], [1, 2, 3]),
    Neighbors([0], [2, 3]),
    Neighbors([1, 0], [3]),
    Neighbors([2, 1, 0], []),
]


class Source(list):  # type: ignore[type-arg]
    """Rows as a token folder gives them: no initial token, a separator at the end."""

    @property
    def sizes(self) -> np.ndarray:
        return np.array([len(row) for row in self])


def build_dataset(
    max_tokens: int = 100,
    neighbors: Sequence[Neighbors] = NEIGHBORS,
    present: Sequence[bool] = (True,) * 4,
    prefixes: Sequence[np.ndarray] = (NO_PREFIX,) * 4,
    pool_all: bool = False,
    turns: Sequence[Sequence[int]] = TURNS,
) -> ContextDataset:
    source = Source(np.array([*turn, LAST]) for turn in turns)
    specials = SpecialIds()
    return ContextDataset(
        source, np.array(present), neighbors, prefixes, specials, max_tokens, pool_all
    )


def test_turns_stand_in_their_order_with_a_separator_after_each() -> None:
    tokens, present, _ = build_dataset()[2]
    assert tokens.tolist() == [0, 11, 12, 13, 2, 21, 2, 31, 32, 2, 41, 42, 43, 44, 2]
    assert present


@pytest.mark.parametrize(
    ("max_tokens", "expected"),
    [
        (14, [0, 12, 13, 2, 21, 2, 31, 32, 2, 41, 42, 43, 44, 2]),  # the outermost loses first
        (13, [0, 13, 2, 21, 2, 31, 32, 2, 41, 42, 43, 44, 2]),
        (12, [0, 21, 2, 31, 32, 2, 41, 42, 43, 44, 2]),  # no separator without a token
        (10, [0, 21, 2, 31, 32, 2, 41, 42, 43, 2]),  # of what follows, the beginning stays
        (7, [0, 21, 2, 31, 32, 2]),
        (4, [0, 31, 32, 2]),
        (3, [0, 31, 2]),  # the current turn loses its end at last
    ],
)
def test_the_cut_comes_from_the_outside_in(max_tokens: int, expected: list[int]) -> None:
    dataset = build_dataset(max_tokens)
    assert dataset[2][0].tolist() == expected
    assert dataset.sizes[2] == len(expected)


def test_nothing_beyond_a_turn_that_was_cut_comes_in() -> None:
    """Turn 1 is short enough to fit behind the cut turn 2, but would not adjoin it."""
    tokens = build_dataset(9)[3][0].tolist()
    assert tokens == [0, 31, 32, 2, 41, 42, 43, 44, 2]
    assert build_dataset(8)[3][0].tolist() == [0, 32, 2, 41, 42, 43, 44, 2]


@pytest.mark.parametrize("max_tokens", range(3, 18))
def test_sizes_are_exact_and_no_item_is_longer_than_the_limit(max_tokens: int) -> None:
    dataset = build_dataset(max_tokens)
    lengths = [len(dataset[row][0]) for row in range(4)]
    assert dataset.sizes.tolist() == lengths
    assert max(lengths) <= max_tokens
    assert dataset.is_truncated.tolist() == [max_tokens < 15] * 4


def test_the_focus_is_the_initial_token_and_the_current_turn() -> None:
    dataset = build_dataset()
    batch = dataset.collater([dataset[2], dataset[1]])
    tokens, focus = batch["tokens"], batch["focus"]
    assert tokens[0][focus[0]].tolist() == [FIRST, 31, 32, LAST]
    assert tokens[1][focus[1]].tolist() == [FIRST, 21, LAST]
    assert not (focus & batch["padding_mask"]).any()


def test_the_focus_of_a_first_turn_and_of_a_lone_one() -> None:
    dataset = build_dataset(neighbors=[Neighbors([], [])] * 4)
    batch = dataset.collater([dataset[0], dataset[3]])
    assert torch.equal(batch["focus"], ~batch["padding_mask"])


def test_all_tokens_may_be_pooled_instead() -> None:
    dataset = build_dataset(pool_all=True)
    assert "focus" not in dataset.collater([dataset[2]])


def test_a_missing_row_is_two_boundaries_without_context() -> None:
    dataset = build_dataset(14, present=[True, False, True, True])
    tokens, present, _ = dataset[1]
    assert (tokens.tolist(), present) == ([FIRST, LAST], False)
    assert dataset.sizes[1] == 2
    assert dataset.is_truncated.tolist() == [True, False, True, True]
    assert not dataset.collater([dataset[1]])["focus"][:, 2:].any()


def test_an_empty_turn_takes_no_room_and_does_not_end_the_context() -> None:
    """Turn 1 has a text of which no token is left."""
    whole = [0, 11, 12, 13, 2, 31, 32, 2, 41, 42, 43, 44, 2]
    for max_tokens, expected in ((13, whole), (12, [0, *whole[2:]])):
        dataset = build_dataset(max_tokens, turns=[TURNS[0], [], *TURNS[2:]])
        assert dataset[2][0].tolist() == expected
        assert dataset.sizes[2] == len(expected)
        assert bool(dataset.is_truncated[2]) == (max_tokens < 13)


def test_prefixes_belong_to_their_turns() -> None:
    prefixes = [np.array([91, 92]), NO_PREFIX, np.array([93]), NO_PREFIX]
    dataset = build_dataset(prefixes=prefixes)
    tokens, _, (start, end) = dataset[2]
    assert tokens.tolist()[:9] == [0, 91, 92, 11, 12, 13, 2, 21, 2]
    assert tokens.tolist()[start:end] == [93, 31, 32, LAST]
    assert dataset.sizes[2] == len(tokens)


def test_speakers_names_are_tokenized_as_the_text_was(toy_corpus: Path) -> None:
    folder = tokens_of(toy_corpus)
    tokenizer = load_text_tokenizer(folder)
    ross, nobody, again = name_prefixes(tokenizer.encode, ["ross", None, "ross"])
    assert tokenizer.decode(ross) == "ross:"
    assert len(nobody) == 0
    assert ross.tolist() == again.tolist()


# -- through the task ------------------------------------------------------------------------------


def in_one_dialogue(split: str, rows: list[Utterance]) -> list[Utterance]:
    return [
        replace(row, dialogue=f"{split}{number // 4}", turn=number % 4)
        for number, row in enumerate(rows)
    ]


def test_the_task_joins_turns_of_a_data_dir(
    copy_toy: Callable[..., Path], make_task: Callable[..., Any]
) -> None:
    data = copy_toy(in_one_dialogue)
    task = make_task(data, modality="text", context_past=1, context_future=1)
    task.load_dataset("valid")
    rows = read_manifest(data / "valid.tsv")
    tokenizer = load_text_tokenizer(tokens_of(data))
    turns = task.dataset("valid").collater([task.dataset("valid")[n] for n in range(8)])
    for number, tokens in enumerate(turns["net_input"]["text"]["tokens"]):
        near = [n for n in (number - 1, number, number + 1) if n // 4 == number // 4 and n >= 0]
        expected = [FIRST]
        for n in near:
            expected += tokenizer.encode(rows[n].text).tolist()
        assert tokens.tolist()[: len(expected)] == expected
        assert set(tokens.tolist()[len(expected) :]) <= {PAD}


def test_the_fusion_hears_the_current_turn_alone_but_in_its_context(
    copy_toy: Callable[..., Path],
    make_task: Callable[..., Any],
    make_model: Callable[..., Any],
) -> None:
    data = copy_toy(in_one_dialogue)
    logits = {}
    for pooling in ("turn", "all"):
        task = make_task(data, modality="text", context_past=2, context_pooling=pooling)
        task.load_dataset("valid")
        torch.manual_seed(3)
        model = make_model(task, text_pooling="mean")
        dataset = task.dataset("valid")
        batch = dataset.collater([dataset[1], dataset[2]])
        logits[pooling] = model(**batch["net_input"]).logits
    assert not torch.allclose(logits["turn"], logits["all"], atol=1e-4)


def test_rows_without_a_dialogue_are_counted(
    copy_toy: Callable[..., Path],
    make_task: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = copy_toy(lambda split, rows: [replace(row, dialogue=None, turn=None) for row in rows])
    make_task(data, modality="text", context_past=1).load_dataset("valid")
    assert "valid.tsv: 8 rows have no dialogue or no turn" in caplog.text


def test_the_seeds_layout_has_no_dialogues(
    legacy_corpus: Path, make_task: Callable[..., Any]
) -> None:
    task = make_task(legacy_corpus, modality="text", context_future=1)
    with raises("context-without-dialogues"):
        task.load_dataset("train")
