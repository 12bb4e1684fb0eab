"""--normalize-by: frames normalized by the train split, or by corpus, speaker or utterance."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from codes import raises

from data_prep.features.frame_files import StoredFeatures
from data_prep.schema import Utterance, read_manifest
from emo_fairseq.data.frame_statistics import FrameStatistics, Normalization
from emo_fairseq.data.frames import NormalizedFrames, StoredFrames
from emo_fairseq.data.normalization import RowGroups
from emo_fairseq.option_values import NORMALIZATIONS
from emo_fairseq.tasks import resume

LENGTHS = (6, 9, 5, 12, 3, 20)
SPEAKERS = ("ann", "ann", "bob", "bob", None, "eve")
OF_TRAIN = FrameStatistics([1.0, 2.0], [2.0, 4.0])
PRESENT = np.ones(len(LENGTHS), dtype=bool)


@pytest.fixture
def frames() -> StoredFrames:
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int64)
    values = np.random.default_rng(1).normal(3.0, 2.0, size=(int(offsets[-1]), 2))
    values[offsets[3] :, 1] = 5.0  # constant in bob's second row, and in those after it
    return StoredFrames(StoredFeatures(values.astype(np.float32), offsets), None)


def normalized(frames: StoredFrames, groups: RowGroups) -> list[torch.Tensor]:
    items = NormalizedFrames(frames, groups.fit(frames, PRESENT, OF_TRAIN))
    return [items[row][0] for row in range(len(frames))]


def test_a_speaker_has_mean_0_and_deviation_1(frames: StoredFrames) -> None:
    rows = normalized(frames, RowGroups("speaker", SPEAKERS))
    for pair in (rows[:2], rows[2:4]):
        of_speaker = torch.cat(pair)
        torch.testing.assert_close(of_speaker.mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(
            of_speaker.std(dim=0, correction=0), torch.ones(2), atol=1e-4, rtol=0
        )
    assert (rows[5][:, 1] == 0.0).all()  # eve's is constant


def test_a_dimension_that_is_constant_in_training_is_0_in_other_rows(frames: StoredFrames) -> None:
    statistics = FrameStatistics.fit(frames, 6, 0, np.array([3, 4, 5]))
    assert np.isfinite(statistics.std).all()
    rows = NormalizedFrames(frames, Normalization.of_train(statistics, len(frames)))
    assert frames[0][0][:, 1].std() > 1.0
    assert (rows[0][0][:, 1].abs() < 1e-6).all()
    assert rows[0][0][:, 0].std() > 0.1


def test_a_row_without_speaker_is_normalized_alone_and_a_short_one_as_the_train_split(
    frames: StoredFrames,
) -> None:
    groups = RowGroups("speaker", [None, *SPEAKERS[1:]])
    normalization = groups.fit(frames, PRESENT, OF_TRAIN)
    rows = normalized(frames, groups)
    by_train = [
        (frames[row][0] - torch.tensor([1.0, 2.0])) / torch.tensor([2.0, 4.0]) for row in (0, 4)
    ]
    torch.testing.assert_close(rows[0], by_train[0])  # 6 frames
    torch.testing.assert_close(rows[4], by_train[1])  # 3 frames
    assert groups.describe_exceptions(normalization, PRESENT) == (
        "2 rows by the statistics of the train split, since the speaker has fewer than 8 frames "
        "(itself)"
    )
    alone = RowGroups("speaker", [*SPEAKERS[:5], None])
    text = alone.describe_exceptions(alone.fit(frames, PRESENT, OF_TRAIN), PRESENT)
    assert text.endswith("1 rows without a speaker by their own frames alone")


def test_an_utterance_is_normalized_by_itself(frames: StoredFrames) -> None:
    groups = RowGroups("utterance", [None] * len(frames))
    rows = normalized(frames, groups)
    torch.testing.assert_close(rows[1].mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows[1].std(dim=0, correction=0), torch.ones(2))
    assert "4 rows" not in groups.describe_exceptions(
        groups.fit(frames, PRESENT, OF_TRAIN), PRESENT
    )


def test_corpora_are_apart_and_so_are_their_speakers() -> None:
    rows = [Utterance("a", speaker="1"), Utterance("b", speaker="1", corpus="other")]
    assert RowGroups.of("speaker", rows, "own").names == ["own/1", "other/1"]
    assert RowGroups.of("corpus", rows, "own").names == ["own", "other"]
    assert RowGroups.of("utterance", rows, "own").names == [None, None]


OPTIONS = {"modality": "speech", "speech_input": "log_mel", "normalize_by": "speaker"}


def test_labels_have_no_influence(
    toy_corpus: Path, copy_toy: Callable[..., Path], make_task: Callable[..., Any]
) -> None:
    def relabeled(split: str, rows: list[Utterance]) -> Sequence[Utterance]:
        return rows if split == "train" else [replace(row, emotion="sad") for row in rows]

    def load(data: Path) -> list[torch.Tensor]:
        task = make_task(data, **OPTIONS)
        task.load_dataset("test")
        inputs = task.dataset("test").defn["net_input.speech"]
        return [inputs[row][0] for row in range(len(inputs))]

    for mine, other in zip(load(toy_corpus), load(copy_toy(relabeled)), strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("by", NORMALIZATIONS)
def test_the_state_holds_it_and_a_scored_split_is_marked(
    by: str, toy_corpus: Path, make_task: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    task = make_task(toy_corpus, **{**OPTIONS, "normalize_by": by})
    assert task.state.state_dict["normalize_by"] == by
    with caplog.at_level(logging.WARNING):
        task.load_dataset("valid")
    is_transductive = by in ("speaker", "corpus")
    note = f"speech frames are normalized by {by}, from unlabeled rows of the scored split"
    assert (f"figures are transductive: {note}" in caplog.text) is is_transductive
    record = task._record_of_predictions()
    assert record.transductive == ((note,) if is_transductive else ())
    speakers = [row.speaker for row in read_manifest(toy_corpus / "valid.tsv")]
    inputs = task.dataset("valid").defn["net_input.speech"]
    rows = [inputs[row][0] for row in range(len(speakers)) if speakers[row] == speakers[0]]
    centered = torch.cat(rows).mean(dim=0).abs().max() < 1e-4
    assert bool(centered) is (by in ("speaker", "utterance"))


def test_a_training_is_resumed_with_the_same_one(toy_corpus: Path, make_task: Any) -> None:
    states = [
        make_task(toy_corpus, **{**OPTIONS, "normalize_by": by}).state.state_dict
        for by in ("speaker", "train")
    ]
    with raises("resumed-normalization-other"):
        resume.check_same_data(states[0], states[1], toy_corpus)
    older = {name: value for name, value in states[1].items() if name != "normalize_by"}
    resume.check_same_data(older, states[1], toy_corpus)
