"""What is drawn depends on seed, epoch and row alone, whoever asks; absent rows stay."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fairseq.data import BaseWrapperDataset, IdDataset, NestedDictionaryDataset
from fairseq.tasks import FairseqTask
from input_examples import N_ROWS, make_frames, make_texts, make_tones

from data_prep.tokens.folder import UNK, SpecialIds
from emo_fairseq.data.audio import ComputedFrames
from emo_fairseq.data.augmentation import (
    AddedNoise,
    AugmentedDataset,
    FeatureMasks,
    Gain,
    Speed,
    TimeMasks,
    TokenDropout,
)
from emo_fairseq.data.modality_dataset import RowsDataset

Change = Callable[[Any, int], AugmentedDataset]

# How the input of each one is made, in a folder, and what changes it.
INPUTS: dict[str, Callable[[Path], Any]] = {
    "tones": make_tones,
    "frames": lambda folder: make_frames(),
    "texts": lambda folder: make_texts(),
}
CHANGES: dict[str, tuple[str, Change]] = {
    "white": ("tones", lambda inputs, seed: AddedNoise(inputs, (0, 20), "white", seed)),
    "pink": ("tones", lambda inputs, seed: AddedNoise(inputs, (0, 20), "pink", seed)),
    "gain": ("tones", lambda inputs, seed: Gain(inputs, 10, seed)),
    "speed": (
        "tones",
        lambda inputs, seed: Speed(inputs, np.linspace(0.9, 1.1, 5001), 10**6, seed),
    ),
    "time": ("frames", lambda inputs, seed: TimeMasks(inputs, 2, 20, seed)),
    "features": ("frames", lambda inputs, seed: FeatureMasks(inputs, 2, 9, seed)),
    "tokens": ("texts", lambda inputs, seed: TokenDropout(inputs, 0.3, SpecialIds(), UNK, seed)),
}


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., AugmentedDataset]:
    """Build one of the augmentations anew, over an input that is made anew."""
    kind, build = CHANGES[request.param]
    return lambda seed=1: build(INPUTS[kind](tmp_path), seed)


def values(dataset: Any, epoch: int, rows: Any = range(N_ROWS)) -> list[torch.Tensor]:
    dataset.set_epoch(epoch)
    return [dataset[row][0] for row in rows]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> list[bool]:
    return [torch.equal(a, b) for a, b in zip(first, second, strict=True)]


def test_an_item_is_the_same_whoever_asks_and_in_whatever_order(change: Any) -> None:
    there = change()
    once = values(there, 3)
    assert all(same(once, values(change(), 3)))
    backwards = values(there, 3, np.arange(N_ROWS)[::-1])[::-1]
    assert all(same(once, backwards))


@pytest.mark.parametrize(("seed", "epoch"), [(1, 2), (2, 1)])
def test_another_epoch_and_another_seed_draw_anew(change: Any, seed: int, epoch: int) -> None:
    before, after = values(change(1), 1), values(change(seed), epoch)
    assert not any(same(before, after)[: N_ROWS - 1])


def test_rows_draw_on_their_own(tmp_path: Path) -> None:
    inputs = Gain(make_tones(tmp_path), 10, seed=1)
    gains = [float(inputs[row][0].abs().max()) for row in range(N_ROWS - 1)]
    assert len(set(gains)) == len(gains)


def test_changes_draw_on_their_own() -> None:
    drawn = [
        kind(make_frames(), 1, 15, seed=1)._generator(0).random() for kind in (TimeMasks, Gain2)
    ]
    assert drawn[0] != drawn[1]


class Gain2(AugmentedDataset):
    """Another kind of change."""

    def __init__(self, dataset: Any, *_: int, seed: int) -> None:
        super().__init__(dataset, seed)


def test_an_absent_row_stays(change: Any) -> None:
    changed = change()
    item, before = changed[N_ROWS - 1], changed.dataset[N_ROWS - 1]
    assert not item[1]
    assert torch.equal(item[0], before[0])


def test_an_item_is_like_the_inputs(change: Any) -> None:
    changed = change()
    for row in range(N_ROWS):
        item, before = changed[row], changed.dataset[row]
        assert len(item) == len(before)
        assert item[1] is before[1]
        assert item[0].dtype == before[0].dtype
        assert item[0].shape[1:] == before[0].shape[1:]
        assert item[0].is_contiguous()
    assert changed.sizes.tolist() == changed.dataset.sizes.tolist() if has_sizes(changed) else True


def has_sizes(changed: Any) -> bool:
    return hasattr(changed.dataset, "sizes")


def test_a_batch_is_like_the_inputs(change: Any) -> None:
    changed = change()
    items = [changed[row] for row in range(N_ROWS)]
    batch = changed.collater(items)
    before = changed.dataset.collater([changed.dataset[row] for row in range(N_ROWS)])
    assert batch.keys() == before.keys()
    assert batch["present"].tolist() == before["present"].tolist()
    lengths = [len(item[0]) for item in items]
    assert (~batch["padding_mask"]).sum(dim=1).tolist() == lengths
    (name,) = batch.keys() - {"padding_mask", "present"}
    padding = batch[name][batch["padding_mask"]]
    assert (padding == before[name][before["padding_mask"]].flatten()[0]).all()


class Kept(BaseWrapperDataset):
    """Gives the very tensors that it holds, as an input may."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset)
        self.items = [dataset[row] for row in range(N_ROWS)]

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


@pytest.mark.parametrize("name", CHANGES)
def test_the_inputs_own_items_are_not_written_to(name: str, tmp_path: Path) -> None:
    kind, build = CHANGES[name]
    kept = Kept(INPUTS[kind](tmp_path))
    before = [item[0].clone() for item in kept.items]
    changed = build(kept, 1)
    assert not any(same(before, values(changed, 1))[: N_ROWS - 1])
    assert all(same(before, [item[0] for item in kept.items]))


# -- under fairseq's own loader --------------------------------------------------------------------


def split_of(inputs: Any) -> NestedDictionaryDataset:
    rows = RowsDataset(inputs, np.arange(N_ROWS)[::-1].copy())
    return NestedDictionaryDataset(
        {"id": IdDataset(), "net_input": {"speech": rows}}, sizes=[rows.sizes]
    )


def iterate(task: FairseqTask, dataset: Any, epoch: int, n_workers: int) -> Any:
    """The iterator as fairseq's trainer asks for it before every epoch."""
    return task.get_batch_iterator(
        dataset,
        max_sentences=2,
        epoch=epoch,
        num_workers=n_workers,
        required_batch_size_multiple=1,
        data_buffer_size=2,
    )


@pytest.fixture
def task() -> FairseqTask:
    """With the one switch of ``emotion_prediction`` that the loader looks at."""
    return FairseqTask(SimpleNamespace(rebuild_batches=True))


def heard(batches: Any) -> dict[int, torch.Tensor]:
    found = {}
    for batch in batches:
        for row, waveform in zip(
            batch["id"], batch["net_input"]["speech"]["waveform"], strict=True
        ):
            found[int(row)] = waveform
    return found


@pytest.mark.parametrize("n_workers", [0, 2])
def test_workers_draw_anew_in_every_epoch(
    tmp_path: Path, task: FairseqTask, n_workers: int
) -> None:
    dataset = split_of(Gain(make_tones(tmp_path), 10, seed=1))
    loaders = set()
    inputs = Gain(make_tones(tmp_path), 10, seed=1)
    for epoch in (1, 2, 3):
        iterator = iterate(task, dataset, epoch, n_workers)
        found = heard(iterator.next_epoch_itr())
        loaders.add(iterator.dataloader)
        inputs.set_epoch(epoch)
        assert found.keys() == set(range(N_ROWS))
        for row, waveform in found.items():
            expected = inputs[N_ROWS - 1 - row][0]
            assert torch.equal(waveform[: len(expected)], expected), (epoch, row)
    (loader,) = loaders  # whose workers are those of the first epoch
    if loader._iterator is not None:
        loader._iterator._shutdown_workers()  # else the garbage collector waits ten seconds for it


def test_a_resumed_epoch_goes_on_as_it_would_have(tmp_path: Path, task: FairseqTask) -> None:
    first = iterate(task, split_of(Gain(make_tones(tmp_path), 10, seed=1)), 2, 0)
    batches = first.next_epoch_itr()
    next(batches)
    state = first.state_dict()
    rest = heard(batches)
    again = FairseqTask(SimpleNamespace(rebuild_batches=True))
    second = iterate(again, split_of(Gain(make_tones(tmp_path), 10, seed=1)), state["epoch"], 0)
    second.load_state_dict(state)
    resumed = heard(second.next_epoch_itr())
    assert rest.keys() == resumed.keys()
    assert all(torch.equal(rest[row], resumed[row]) for row in rest)


def test_the_epoch_reaches_what_frames_are_computed_from(tmp_path: Path) -> None:
    frames = ComputedFrames(Gain(make_tones(tmp_path), 10, seed=1))
    before, after = values(frames, 1), values(frames, 2)
    assert not any(same(before, after)[: N_ROWS - 1])
