"""Batches of windows of dialogues: what they hold, how large they are, their order."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from codes import raises
from fairseq.data import data_utils

from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.curriculum import CurriculumDataset, CurriculumTraits
from emo_fairseq.data.dialogue_dataset import DialogueDataset
from emo_fairseq.data.dialogue_windows import plan_windows
from emo_fairseq.data.tokens import TokenDataset
from emo_fairseq.data.utterance_dataset import UtteranceDataset

# Turn 4 has no truth; of rows 0 to 9 each has as many tokens of its own number.
DIALOGUES = [[0, 2, 3, 4, 5, 7, 8], [1], [9, 6]]
N_TURNS = 10
UNLABELED = 4


def build(
    size: int = 4,
    causal: bool = False,
    shuffle: bool = False,
    unlabeled: Sequence[int] = (UNLABELED,),
    cases: bool = False,
) -> DialogueDataset:
    source = [np.array([10 + row] * (row + 1) + [2]) for row in range(N_TURNS)]
    lengths = np.array([len(ids) - 1 for ids in source])
    texts = TokenDataset(source, lengths, np.full(N_TURNS, True), SpecialIds(), 100)
    truth = np.arange(N_TURNS)
    truth[list(unlabeled)] = -1
    turns = UtteranceDataset(
        "train",
        [f"u{row}" for row in range(N_TURNS)],
        {"text": texts},
        truth,
        shuffle,
        annotations={"vad": np.tile(np.arange(N_TURNS, dtype=float)[:, None], 3)},
    )
    windows = [
        window._replace(scored=window.scored & (truth[window.rows] >= 0))
        for window in plan_windows(DIALOGUES, size, causal)
    ]
    windows = [window for window in windows if window.scored.any()]
    n_rows = N_TURNS - len(unlabeled)
    names = ["text" if row % 2 else "text+speech" for row in range(n_rows)]
    speakers = [f"s{row % 2}" for row in range(N_TURNS)]
    return DialogueDataset(turns, windows, speakers, names if cases else None)


def read(dataset: DialogueDataset, rows: Sequence[int]) -> dict:
    return dataset.collater([dataset[row] for row in rows])


def turns_read(batch: dict) -> list[int]:
    """Numbers of the turns of a batch, which are the values of their tokens."""
    return [int(tokens[1]) - 10 for tokens in batch["net_input"]["text"]["tokens"]]


def test_rows_are_the_turns_that_are_scored():
    dataset = build()
    assert dataset.utterance_ids == [f"u{row}" for row in range(N_TURNS) if row != UNLABELED]
    assert dataset.truth(np.array([0, 4, 8])).tolist() == [0, 5, 9]


@pytest.mark.parametrize("rows", [[0], [8, 5], [3, 2, 1], [4, 5, 6, 0], range(9)])
def test_a_batch_has_all_turns_of_the_windows_and_scores_the_rows_alone(rows):
    dataset = build(cases=True)
    rows = list(rows)
    batch = read(dataset, rows)
    names = [dataset.utterance_ids[row] for row in rows]
    truth = dataset.truth(np.array(rows)).tolist()
    assert batch["utterance_id"] == names == [f"u{label}" for label in truth]
    assert batch["target"].tolist() == truth
    assert batch["id"].tolist() == rows
    assert batch["nsentences"] == batch["ntokens"] == len(rows)
    assert batch["annotations"]["vad"][:, 0].tolist() == truth
    assert batch["case"] == ["text" if row % 2 else "text+speech" for row in rows]
    assert batch["cases"] == ["text", "text+speech"]
    dialogue = batch["net_input"]["dialogue"]
    turns = turns_read(batch)
    assert [turns[number] for number in dialogue["scored"]] == truth
    windows = {
        tuple(window.rows.tolist())
        for window in dataset.windows
        if set(window.rows[window.scored]) & set(truth)
    }
    read_windows = [
        tuple(turns[number] for number in places[~padding].tolist())
        for places, padding in zip(dialogue["turns"], dialogue["padding_mask"], strict=True)
    ]
    assert set(read_windows) == windows
    assert len(turns) == sum(map(len, read_windows))
    # A turn is scored in its own window, and not where it is context of others.
    own = {
        int(turn): window.rows.tolist()
        for window in dataset.windows
        for turn in window.rows[window.scored]
    }
    starts = np.cumsum([0, *map(len, read_windows)])
    for number, label in zip(dialogue["scored"].tolist(), truth, strict=True):
        window = int(np.searchsorted(starts, number, side="right")) - 1
        assert list(read_windows[window]) == own[label]


def test_an_empty_batch_stays_empty():
    assert build().collater([]) == {}


def test_cases_are_left_out_where_all_rows_have_the_same():
    assert {"case", "cases"}.isdisjoint(read(build(), [0, 1]))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("limits", [(None, 5), (None, 100), (60, None), (60, 5), (None, None)])
def test_batches_have_whole_windows_within_the_limits(shuffle, limits):
    max_tokens, max_sentences = limits
    dataset = build(shuffle=shuffle)
    batches = dataset.batch_by_size(dataset.ordered_indices(), max_tokens, max_sentences)
    scored = Counter(row for batch in batches for row in batch.tolist())
    assert scored == Counter(range(len(dataset)))
    window_of = {
        f"u{turn}": number
        for number, window in enumerate(dataset.windows)
        for turn in window.rows[window.scored]
    }
    seen: set[int] = set()
    for rows in batches:
        batch = read(dataset, rows.tolist())
        windows = {window_of[name] for name in batch["utterance_id"]}
        assert not windows & seen
        seen |= windows
        tokens = batch["net_input"]["text"]["tokens"]
        assert max_sentences is None or len(tokens) <= max_sentences
        assert max_tokens is None or tokens.numel() <= max_tokens


def test_a_batch_is_as_full_as_its_windows_allow():
    dataset = build(size=100)  # windows of 7, 1 and 2 turns
    sizes = [
        len(turns_read(read(dataset, batch.tolist())))
        for batch in dataset.batch_by_size(dataset.ordered_indices(), max_sentences=8)
    ]
    assert sizes == [7, 3]


def test_a_window_that_is_larger_than_a_batch_is_one():
    dataset = build(size=100)
    batches = dataset.batch_by_size(dataset.ordered_indices(), max_sentences=1)
    assert sorted(map(len, batches)) == [1, 2, 6]


def test_scoring_reads_the_most_expensive_windows_first():
    dataset = build(size=100)
    first = ["u0", "u2", "u3", "u5", "u7", "u8"]  # 7 x 11 tokens, without u4
    ids = [dataset.utterance_ids[row] for row in dataset.ordered_indices()]
    assert ids == [*first, "u6", "u9", "u1"]
    assert dataset.largest_batch(8).tolist() == dataset.ordered_indices()[:6].tolist()


def test_epochs_have_different_orders_that_a_seed_repeats():
    dataset = build(size=2, shuffle=True)
    orders = []
    for seed in (1, 2, 1):
        with data_utils.numpy_seed(seed):
            orders.append(dataset.ordered_indices().tolist())
    assert orders[0] == orders[2] != orders[1]


def test_a_curriculum_leaves_rows_out_and_keeps_their_context():
    dataset = build(size=100)
    preset = np.array([5, 3, *(row for row in range(9) if row not in (3, 5))])
    traits = CurriculumTraits(len(dataset), preset=preset)
    curriculum = CurriculumDataset(dataset, "preset", "linear", 5, traits, seed=1)
    curriculum.set_epoch(1)  # a fifth of 9 rows: 2
    (rows,) = curriculum.batch_by_size(curriculum.ordered_indices(), max_sentences=9)
    batch = curriculum.collater([curriculum[row] for row in rows])
    names = [dataset.utterance_ids[row] for row in (3, 5)]
    assert sorted(batch["utterance_id"]) == sorted(names) == ["u3", "u6"]
    assert sorted(turns_read(batch)) == [0, 2, 3, 4, 5, 6, 7, 8, 9]


def test_max_tokens_that_a_window_exceeds_are_refused():
    dataset = build(size=100)
    dataset.check_max_tokens(77)
    dataset.check_max_tokens(None)
    with raises("max-tokens-too-small") as error:
        dataset.check_max_tokens(76)
    assert "7 turns of up to 11, 77 in all" in str(error.value)
