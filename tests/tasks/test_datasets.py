"""The inputs of a split, and the views of pretraining."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from emo_fairseq.tasks.datasets import DatasetBuilder, PretrainingInputs
from emo_fairseq.tasks.frozen_encoders import FrozenEncoders


@pytest.fixture
def builder(
    toy_corpus: Path, make_task: Callable[..., Any], make_model: Callable[..., Any], tmp_path: Path
) -> DatasetBuilder:
    """Of a frozen encoder of texts of at most 5 tokens, with a copy of which words are dropped."""
    task = make_task(toy_corpus, modality="text", max_text_tokens=5)
    model = make_model(task)
    task.cfg.augment_token_dropout, task.cfg.augment_copies = 0.5, 1
    model.encoders["text"].freeze()
    state = task.task_state
    frozen = FrozenEncoders(model.encoders, state.encoders, tmp_path, "float32", on_cpu=True)
    inputs = PretrainingInputs(has_two_views=True)
    return DatasetBuilder(task.cfg, task.data, state, 1, frozen, inputs)


def test_two_views_of_a_frozen_encoder_are_different_copies(
    builder: DatasetBuilder, tmp_path: Path
) -> None:
    dataset, rows = builder.build(builder.data.split("train"), {}, for_training=True)
    assert len(list(tmp_path.glob("text/*/card.yaml"))) == 2  # which both views read
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        items: Any = [dataset[row] for row in range(len(rows))]
        batch: Any = dataset.collater(items)
        views = [batch[name]["text"]["encoded"] for name in ("net_input", "other_view")]
        lengths = min(view.size(1) for view in views)
        same = [torch.equal(one[:lengths], two[:lengths]) for one, two in zip(*views, strict=True)]
        assert same.count(True) < len(rows) / 2


def test_rows_are_warned_of_once_whatever_the_number_of_copies(
    builder: DatasetBuilder, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("train", "train", "valid"):
        builder.build(builder.data.split(name), {}, for_training=name == "train")
    truncated = [line for line in caplog.messages if "are truncated at" in line]
    assert [Path(line.partition(":")[0]).name for line in truncated] == ["train.tsv", "valid.tsv"]
