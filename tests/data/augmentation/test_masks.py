"""SpecAugment's masks: as wide as allowed, zero inside, untouched outside, half at most."""

import numpy as np
import pytest
import torch
from input_examples import make_frames

from emo_fairseq.data.augmentation import (
    FeatureMasks,
    TimeMasks,
    draw_spans,
)

N_EPOCHS = 200


def widest_run(masked: torch.Tensor) -> int:
    runs = "".join("x" if hit else " " for hit in masked.tolist()).split()
    return max(map(len, runs), default=0)


def test_spans_are_anywhere_and_of_any_width() -> None:
    generator = np.random.default_rng(0)
    spans = [span for _ in range(500) for span in draw_spans(generator, 10, 2, 3)]
    assert len(spans) == 1000
    widths = np.array([span.stop - span.start for span in spans])
    assert np.bincount(widths).tolist() == pytest.approx([250] * 4, abs=4 * 13.7)
    for width in range(4):
        starts = {span.start for span in spans if span.stop - span.start == width}
        assert starts == set(range(10 - width + 1))


def test_spans_may_fill_the_length() -> None:
    spans = draw_spans(np.random.default_rng(0), 3, 50, 3)
    assert {span.stop - span.start for span in spans} == {0, 1, 2, 3}
    assert max(span.stop for span in spans) == 3


def test_time_masks_are_zero_and_the_rest_is_untouched() -> None:
    dataset = TimeMasks(make_frames(100), 1, 7, seed=1)
    clean = dataset.dataset[0][0]
    found, ever = set(), torch.zeros(100, dtype=torch.bool)
    for epoch in range(1, N_EPOCHS + 1):
        dataset.set_epoch(epoch)
        item = dataset[0][0]
        masked = (item == 0).all(dim=1)
        assert torch.equal(item, clean * ~masked[:, None])
        assert widest_run(masked) == int(masked.sum())  # one stretch
        found.add(int(masked.sum()))
        ever |= masked
    assert found == set(range(8))
    assert ever.all()


def test_feature_masks_are_zero_and_the_rest_is_untouched() -> None:
    dataset = FeatureMasks(make_frames(30, n_features=20), 1, 5, seed=1)
    clean = dataset.dataset[0][0]
    found, ever = set(), torch.zeros(20, dtype=torch.bool)
    for epoch in range(1, N_EPOCHS + 1):
        dataset.set_epoch(epoch)
        item = dataset[0][0]
        masked = (item == 0).all(dim=0)
        assert torch.equal(item, clean * ~masked)
        assert widest_run(masked) == int(masked.sum())
        found.add(int(masked.sum()))
        ever |= masked
    assert found == set(range(6))
    assert ever.all()


def test_there_are_as_many_masks_as_asked_for() -> None:
    dataset = TimeMasks(make_frames(1000), 3, 10, seed=1)
    counts = []
    for epoch in range(1, N_EPOCHS + 1):
        dataset.set_epoch(epoch)
        masked = (dataset[0][0] == 0).all(dim=1)
        counts.append(len("".join("x" if hit else " " for hit in masked.tolist()).split()))
    # Each is of width 0 in one case of eleven; a few meet.
    assert max(counts) == 3
    assert np.mean(counts) == pytest.approx(3 * 10 / 11, abs=0.25)


@pytest.mark.parametrize("n_masks", [1, 2, 5])
@pytest.mark.parametrize("length", [1, 2, 7, 40])
def test_half_of_an_utterance_is_left(n_masks: int, length: int) -> None:
    dataset = TimeMasks(make_frames(length), n_masks, 1000, seed=1)
    most = 0
    for epoch in range(1, N_EPOCHS + 1):
        dataset.set_epoch(epoch)
        most = max(most, int((dataset[0][0] == 0).all(dim=1).sum()))
    assert most <= length / 2
    assert most >= length // 2 // n_masks  # and the limit is reached by a mask alone
