"""Curricula: how much, in which order, and that fairseq's iterators get just that."""

import logging
from argparse import Namespace
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codes import raises
from fairseq.data import FairseqDataset
from fairseq.tasks import FairseqTask

from emo_fairseq.data.curriculum import (
    ORDERS,
    PACINGS,
    CurriculumDataset,
    CurriculumTraits,
    read_preset,
    rows_of_share,
    share_of_epoch,
)
from emo_fairseq.data.samplers import (
    SAMPLERS,
    BatchLimits,
    RowTraits,
)
from emo_fairseq.data.utterance_dataset import (
    bucketed_permutation,
    length_buckets,
)

NAN = float("nan")

# Twelve rows: two equal difficulties, two unknown; the median of the known ones is 0.5.
DIFFICULTY = np.array([0.9, 0.1, NAN, 0.4, 0.2, 0.6, 0.2, NAN, 0.8, 0.3, 0.7, 1.0])
LABELS = np.array([0, 0, 1, 0, 0, 1, 0, 0, 0, 2, 0, 1])  # eight, three, one
CONFIDENCE = np.array([0.3, 0.9, 0.5, NAN, 0.8, 0.1, 0.7, 0.6, NAN, 0.2, 0.5, 0.4])
PRESET = np.array([3, 1, 2, 0, 11, 10, 9, 8, 4, 5, 6, 7])
TRAITS = CurriculumTraits(12, LABELS, DIFFICULTY, CONFIDENCE, PRESET)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def order_of(order: str, seed: int = 1, **changed: Any) -> list[int]:
    return ORDERS[order](TRAITS._replace(**changed), rng(seed)).tolist()


# -- pacing ----------------------------------------------------------------------------------------

# Of 15 epochs, in ten-thousandths.
SHARES = {
    "linear": [
        667,
        1333,
        2000,
        2667,
        3333,
        4000,
        4667,
        5333,
        6000,
        6667,
        7333,
        8000,
        8667,
        9333,
        10000,
    ],
    "sqrt": [
        2582,
        3651,
        4472,
        5164,
        5774,
        6325,
        6831,
        7303,
        7746,
        8165,
        8563,
        8944,
        9309,
        9661,
        10000,
    ],
    "log": [
        2500,
        3962,
        5000,
        5805,
        6462,
        7018,
        7500,
        7925,
        8305,
        8649,
        8962,
        9251,
        9518,
        9767,
        10000,
    ],
    "exponential": [
        667,
        809,
        982,
        1191,
        1445,
        1754,
        2128,
        2582,
        3133,
        3802,
        4613,
        5597,
        6792,
        8241,
        10000,
    ],
    "none": [10000] * 15,
}


@pytest.mark.parametrize("pacing", PACINGS)
def test_shares_by_hand(pacing: str) -> None:
    shares = [share_of_epoch(pacing, epoch, 15) for epoch in range(15)]
    assert [round(10_000 * share) for share in shares] == SHARES[pacing]


@pytest.mark.parametrize("pacing", PACINGS)
@pytest.mark.parametrize("n_epochs", [1, 2, 15, 100])
def test_a_share_rises_to_one_and_stays_there(pacing: str, n_epochs: int) -> None:
    shares = [share_of_epoch(pacing, epoch, n_epochs) for epoch in range(2 * n_epochs)]
    assert shares[0] > 0
    assert (np.diff(shares[:n_epochs]) > 0).all() or pacing == "none"
    assert shares[n_epochs - 1 :] == [1.0] * (n_epochs + 1)


def test_the_exponential_share_grows_by_the_same_factor() -> None:
    shares = np.array([share_of_epoch("exponential", epoch, 9) for epoch in range(9)])
    np.testing.assert_allclose(shares[1:] / shares[:-1], 9 ** (1 / 8))


@pytest.mark.parametrize(
    ("share", "n_rows", "expected"),
    [
        (0.25, 12, 3),
        (0.26, 12, 4),
        (7 / 25, 25, 7),  # 7.000000000000001 in floating point
        (0.0001, 12, 1),
        (1.0, 12, 12),
        (0.5, 1, 1),
        (0.5, 0, 0),
    ],
)
def test_rows_of_a_share_are_rounded_up(share: float, n_rows: int, expected: int) -> None:
    assert rows_of_share(share, n_rows) == expected


def test_linear_pacing_has_the_rows_of_exact_arithmetic() -> None:
    for n_rows in (12, 25, 5531, 99_999):
        for n_epochs in (7, 15, 25, 49):
            for epoch in range(n_epochs):
                share = share_of_epoch("linear", epoch, n_epochs)
                assert rows_of_share(share, n_rows) == -(-(epoch + 1) * n_rows // n_epochs)


# -- orders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_has_each_row_once_and_a_seed_fixes_it(order: str) -> None:
    assert sorted(order_of(order)) == list(range(12))
    assert order_of(order) == order_of(order)


def test_easy_first() -> None:
    order = order_of("difficulty")
    assert order[0] == 1
    assert {*order[1:3]} == {4, 6}  # both 0.2
    assert order[3:5] == [9, 3]
    assert {*order[5:7]} == {2, 7}, "unknown, as if of the median 0.5"
    assert order[7:] == [5, 10, 8, 0, 11]


def test_hard_first() -> None:
    order = order_of("inverse_difficulty")
    assert order[:5] == [11, 0, 8, 10, 5]
    assert {*order[5:7]} == {2, 7}
    assert order[7:9] == [3, 9]
    assert {*order[9:11]} == {4, 6}
    assert order[11] == 1


def test_the_median_is_that_of_the_known() -> None:
    order = order_of("difficulty", n_rows=4, difficulty=np.array([NAN, 5.0, 1.0, 2.0]))
    assert order[0] == 2
    assert {*order[1:3]} == {0, 3}
    assert order[3] == 1


@pytest.mark.parametrize("order", ["difficulty", "inverse_difficulty"])
def test_rows_of_unknown_difficulty_are_counted(
    order: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        order_of(order)
    assert "2 rows of unknown difficulty are placed as if of the median" in caplog.text


@pytest.mark.parametrize("order", ["difficulty", "inverse_difficulty"])
def test_a_split_of_unknown_difficulty_is_refused(order: str) -> None:
    with raises("difficulty-unknown"):
        order_of(order, difficulty=np.full(12, NAN))


def test_classes_come_in_turn() -> None:
    for seed in range(10):
        order = order_of("class_balance", seed)
        classes = LABELS[order].tolist()
        assert sorted(classes[:3]) == [0, 1, 2]
        assert sorted(classes[3:5]) == sorted(classes[5:7]) == [0, 1]  # the only row of 2 is gone
        assert classes[7:] == [0] * 5


def test_any_prefix_is_as_balanced_as_can_be() -> None:
    labels = rng().choice(4, 200, p=[0.4, 0.3, 0.2, 0.1])
    order = order_of("class_balance", n_rows=200, labels=labels)
    total = np.bincount(labels)
    for n in range(1, 201):
        counts = np.bincount(labels[order[:n]], minlength=4)
        left = counts < total
        assert np.ptp(counts[left]) <= 1 if left.any() else n == 200
        assert (counts[~left] <= counts.max()).all()


def test_classes_and_the_rows_of_a_class_are_at_random() -> None:
    firsts = {tuple(order_of("class_balance", seed)[:3]) for seed in range(100)}
    assert len({LABELS[list(first)].tobytes() for first in firsts}) == 6, "orders of three classes"
    assert len({row for first in firsts for row in first if LABELS[row] == 0}) == 8


def test_confident_first_and_unknown_last(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        order = order_of("model_confidence")
    assert order[:4] == [1, 4, 6, 7]
    assert {*order[4:6]} == {2, 10}  # both 0.5
    assert order[6:10] == [11, 0, 9, 5]
    assert {*order[10:]} == {3, 8}
    assert "2 rows of unknown confidence come last" in caplog.text


@pytest.mark.parametrize(
    ("order", "equal"),
    [
        ("difficulty", {"difficulty": np.ones(12)}),
        ("inverse_difficulty", {"difficulty": np.ones(12)}),
        ("model_confidence", {"confidence": np.ones(12)}),
        ("class_balance", {"labels": np.zeros(12, dtype=np.int64)}),
        ("random", {}),
    ],
)
def test_ties_are_broken_at_random_not_by_the_file(order: str, equal: dict[str, Any]) -> None:
    orders = {tuple(order_of(order, seed, **equal)) for seed in range(20)}
    assert len(orders) == 20
    assert tuple(range(12)) not in orders


def test_orders_that_leave_nothing_to_chance() -> None:
    assert order_of("preset") == PRESET.tolist()
    assert order_of("none") == list(range(12))


# -- a preset --------------------------------------------------------------------------------------

IDS = ["one", "two", "three"]


def test_a_preset_is_read_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "order.txt"
    path.write_bytes(b"three\r\n\none \ntwo")
    assert read_preset(path, IDS).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("content", "code", "names"),
    [
        ("three\none\nfour\ntwo\n", "id-unknown", "line 3: 'four'"),
        ("three\none\n\nthree\ntwo\n", "id-duplicate", "line 4: 'three' is in line 1"),
        ("three\n", "id-missing", "2 of 3 utterances are missing, the first is 'one'"),
        ("", "id-missing", "3 of 3 utterances are missing, the first is 'one'"),
        (b"\xff\xfe", "order-unreadable", "utf-8"),
        (None, "order-unreadable", "No such file"),
    ],
)
def test_faults_of_a_preset(
    tmp_path: Path, content: str | bytes | None, code: str, names: str
) -> None:
    path = tmp_path / "order.txt"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with raises(code) as error:
        read_preset(path, IDS)
    assert str(path) in str(error.value)
    assert names in str(error.value)


# -- the dataset -----------------------------------------------------------------------------------

N_ROWS, N_EPOCHS, BATCH = 90, 5, 4


class SampledRows(FairseqDataset):
    """Rows that have a length, a class and a speaker; a sampler cuts them, as in training."""

    split, shuffle, utterance_ids = "train", True, [f"utterance {row}" for row in range(N_ROWS)]

    def __init__(self, sampler: str = "length") -> None:
        super().__init__()
        self.sizes = rng(3).integers(5, 100, N_ROWS)
        self.traits = RowTraits(self.sizes, rng(4).integers(0, 3, N_ROWS), np.arange(N_ROWS) % 7)
        self.sampler = SAMPLERS[sampler]
        self.epochs: list[int] = []
        self.checked: list[int | None] = []

    def __getitem__(self, index: int) -> int:
        return int(index)

    def __len__(self) -> int:
        return N_ROWS

    def collater(self, samples: list[int]) -> tuple[int, ...]:
        return tuple(samples)

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def ordered_indices(self) -> np.ndarray:
        self.drawn = np.random.randint(2**31)
        return bucketed_permutation(length_buckets([self.sizes]))

    def batch_by_size(
        self, indices: Any, max_tokens: Any, max_sentences: Any, required_batch_size_multiple: Any
    ) -> list[np.ndarray]:
        limits = BatchLimits(max_sentences, max_tokens)
        return self.sampler(indices, self.traits, limits, rng(self.drawn))

    def num_tokens(self, index: int) -> int:
        return int(self.sizes[index])

    def size(self, index: int) -> int:
        return int(self.sizes[index])

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        return self.sizes[indices]

    def check_max_tokens(self, max_tokens: int | None) -> None:
        self.checked.append(max_tokens)


def curriculum(
    order: str = "difficulty", pacing: str = "linear", sampler: str = "length", **changed: Any
) -> CurriculumDataset:
    dataset = SampledRows(sampler)
    traits = CurriculumTraits(
        N_ROWS,
        labels=dataset.traits.labels,
        difficulty=rng(5).permutation(N_ROWS).astype(float),
        preset=rng(6).permutation(N_ROWS),
    )
    options = {"n_epochs": N_EPOCHS, "traits": traits, "seed": 1, **changed}
    if order == "model_confidence":
        options.setdefault("confidence", confidence_of_epoch)
    return CurriculumDataset(dataset, order, pacing, **options)


def confidence_of_epoch(epoch: int) -> np.ndarray | None:
    return None if epoch == 1 else rng(epoch).random(N_ROWS)


def rows_seen(dataset: CurriculumDataset, epoch: int) -> list[int]:
    dataset.set_epoch(epoch)
    return sorted(dataset.ordered_indices().tolist())


def iterator_of(dataset: Any, epoch: int = 1, **options: Any) -> Any:
    """fairseq's own, as its trainer asks for it at the start and before each epoch."""
    task = FairseqTask(Namespace(rebuild_batches=True))
    options = {"max_sentences": BATCH, "seed": 1, **options}
    return task.get_batch_iterator(dataset, epoch=epoch, **options)


def batches_of(dataset: Any, epoch: int = 1, **options: Any) -> list[tuple[int, ...]]:
    return list(iterator_of(dataset, epoch, **options).next_epoch_itr(shuffle=True))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("limits", [{}, {"max_sentences": None, "max_tokens": 200}])
def test_an_epoch_has_each_row_of_its_share_once(
    sampler: str, order: str, limits: dict[str, Any]
) -> None:
    dataset = curriculum(order, "linear", sampler)
    for epoch in range(1, N_EPOCHS + 2):
        rows = sorted(row for batch in batches_of(dataset, epoch, **limits) for row in batch)
        assert rows == rows_seen(curriculum(order, "linear", sampler), epoch)
        share = 1.0 if order == "none" else min(1.0, epoch / N_EPOCHS)
        assert len({*rows}) == len(rows) == share * N_ROWS


def test_an_epoch_sees_the_first_rows_of_the_order() -> None:
    dataset = curriculum("difficulty")
    difficulty = dataset.traits.difficulty
    assert difficulty is not None
    for epoch in range(1, N_EPOCHS + 1):
        assert sorted(difficulty[rows_seen(dataset, epoch)]) == list(range(18 * epoch))
    hard_first = rows_seen(curriculum("inverse_difficulty"), 1)
    assert sorted(difficulty[hard_first]) == list(range(72, 90))


@pytest.mark.parametrize("order", [name for name in ORDERS if name != "model_confidence"])
def test_what_was_seen_stays(order: str) -> None:
    dataset = curriculum(order)
    seen = [{*rows_seen(dataset, epoch)} for epoch in range(1, N_EPOCHS + 1)]
    assert all(one <= other for one, other in pairwise(seen))


def test_the_order_none_has_all_rows_whatever_the_pacing() -> None:
    assert rows_seen(curriculum("none", "exponential"), 1) == list(range(N_ROWS))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("names", [("none", "linear"), ("difficulty", "none")])
def test_a_curriculum_of_all_rows_changes_no_batch(sampler: str, names: tuple[str, str]) -> None:
    for epoch in (1, 2):
        assert batches_of(curriculum(*names, sampler), epoch) == batches_of(
            SampledRows(sampler), epoch
        )


def test_the_model_is_asked_once_an_epoch_and_only_for_batches() -> None:
    asked: list[int] = []

    def confidence(epoch: int) -> np.ndarray | None:
        asked.append(epoch)
        return confidence_of_epoch(epoch)

    dataset = curriculum("model_confidence", confidence=confidence)
    dataset.set_epoch(2)
    assert asked == []
    for _ in range(2):
        most_confident = np.argsort(-rng(2).random(N_ROWS))[:36]
        assert rows_seen(dataset, 2) == sorted(most_confident.tolist())
    assert asked == [2]
    assert len(rows_seen(dataset, 3)) == 54
    assert asked == [2, 3]
    for epoch in (N_EPOCHS, N_EPOCHS + 1):
        assert len(rows_seen(dataset, epoch)) == N_ROWS
    assert asked == [2, 3], "all rows are in: no need to ask"


def test_without_a_model_the_order_is_random_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        one, other = (rows_seen(curriculum("model_confidence", seed=seed), 1) for seed in (1, 2))
    assert "there is no model yet, epoch 1 is at random" in caplog.text
    assert len(one) == len(other) == 18
    assert one != other


def test_the_log_has_a_line_an_epoch(caplog: pytest.LogCaptureFixture) -> None:
    dataset = curriculum("class_balance", class_names=["joy", "anger", "fear", "disgust"])
    with caplog.at_level(logging.INFO, logger="emo_fairseq"):
        for epoch in (1, 1, 2):
            rows_seen(dataset, epoch)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert lines[0] == (
        "curriculum: epoch 1, order class_balance, pacing linear, share 0.200, 18 of 90 rows, "
        "{'joy': 6, 'anger': 6, 'fear': 6, 'disgust': 0}"
    )
    assert "epoch 2" in lines[1]


@pytest.mark.parametrize("order", [name for name in ORDERS if name not in ("none", "preset")])
def test_a_seed_fixes_the_rows(order: str) -> None:
    one, again = (rows_seen(curriculum(order), 2) for _ in range(2))
    assert one == again


def test_batches_are_composed_anew_every_epoch() -> None:
    dataset = curriculum("none")
    first, second = ({frozenset(b) for b in batches_of(dataset, epoch)} for epoch in (1, 2))
    assert first != second


def test_all_else_is_passed_on() -> None:
    dataset = curriculum()
    wrapped = dataset.dataset
    assert len(dataset) == N_ROWS
    assert (dataset.split, dataset.shuffle) == ("train", True)
    assert dataset.utterance_ids is wrapped.utterance_ids
    assert dataset.sizes is wrapped.sizes
    assert dataset[7] == 7
    assert dataset.collater([1, 2]) == (1, 2)
    assert dataset.num_tokens(3) == dataset.size(3) == wrapped.sizes[3]
    assert dataset.num_tokens_vec(np.array([3])).tolist() == [wrapped.sizes[3]]
    assert dataset.get_batch_shapes() is None
    assert not dataset.supports_prefetch
    assert wrapped.can_reuse_epoch_itr_across_epochs
    assert dataset.can_reuse_epoch_itr_across_epochs
    dataset.check_max_tokens(5)
    dataset.set_epoch(4)
    assert (wrapped.checked, wrapped.epochs) == ([5], [4])


# -- fairseq's iterators ---------------------------------------------------------------------------

BUILDERS: list[Callable[[], CurriculumDataset]] = [
    lambda: curriculum("difficulty", sampler="class_balanced"),
    lambda: curriculum("random", "exponential", sampler="speaker_grouped"),
    lambda: curriculum("model_confidence", "sqrt", sampler="speaker_aware"),
]


@pytest.mark.parametrize("build", BUILDERS)
def test_two_ranks_together_see_each_row_once(build: Callable[[], CurriculumDataset]) -> None:
    for epoch in (1, 2, 3):
        rows: list[int] = []
        for rank in range(2):
            for batch in batches_of(build(), epoch, num_shards=2, shard_id=rank):
                rows += batch
        assert sorted(rows) == rows_seen(build(), epoch)


@pytest.mark.parametrize("build", BUILDERS)
def test_an_epoch_resumed_amid_has_the_batches_that_were_left(
    build: Callable[[], CurriculumDataset],
) -> None:
    uninterrupted = iterator_of(build(), epoch=2)
    batches = uninterrupted.next_epoch_itr(shuffle=True)
    done = [next(batches) for _ in range(3)]
    state = uninterrupted.state_dict()
    left = list(batches)
    assert (state["epoch"], state["iterations_in_epoch"]) == (2, 3)
    assert left

    resumed = iterator_of(build(), epoch=state["epoch"])
    resumed.load_state_dict(state)
    assert list(resumed.next_epoch_itr(shuffle=True)) == left
    assert sorted(row for batch in done + left for row in batch) == rows_seen(build(), 2)
    assert list(resumed.next_epoch_itr(shuffle=True)) == batches_of(build(), 3)


def test_one_iterator_may_serve_all_epochs() -> None:
    """fairseq-train asks anew for each, but who keeps one gets the same."""
    iterator = iterator_of(curriculum("difficulty"))
    for epoch in range(1, N_EPOCHS + 1):
        assert list(iterator.next_epoch_itr(shuffle=True)) == batches_of(
            curriculum("difficulty"), epoch
        )


def test_over_the_dataset_of_the_task(toy_corpus: Path, make_task: Any) -> None:
    task = make_task(toy_corpus, speech_input="tokens")
    task.load_dataset("train")
    dataset = task.dataset("train")
    difficulty = rng().permutation(len(dataset)).astype(float)
    traits = CurriculumTraits(len(dataset), difficulty=difficulty)
    dataset = CurriculumDataset(dataset, "difficulty", "linear", 4, traits, seed=1)
    for epoch in (1, 2, 3, 4, 5):
        iterator = task.get_batch_iterator(dataset, max_sentences=5, seed=1, epoch=epoch)
        rows = [row for batch in iterator.next_epoch_itr(shuffle=True) for row in batch["id"]]
        n_seen = min(8 * epoch, 32)
        assert sorted(difficulty[rows]) == list(range(n_seen))
