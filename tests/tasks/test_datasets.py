"""The inputs of a split, and the views of pretraining."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from emo_fairseq.tasks.datasets import DatasetBuilder, PretrainingInputs
from emo_fairseq.tasks.frozen_encoders import FrozenEncoders


def test_two_views_of_a_frozen_encoder_are_different_copies(
    toy_corpus: Path, make_task: Callable[..., Any], make_model: Callable[..., Any], tmp_path: Path
) -> None:
    task = make_task(toy_corpus, modality="text")
    model = make_model(task)
    task.cfg.augment_token_dropout, task.cfg.augment_copies = 0.5, 1
    model.encoders["text"].freeze()
    state = task.task_state
    frozen = FrozenEncoders(model.encoders, state.encoders, tmp_path, "float32", on_cpu=True)
    builder = DatasetBuilder(
        task.cfg, task.data, state, 1, frozen, PretrainingInputs(has_two_views=True)
    )
    dataset, rows = builder.build(task.data.split("train"), {}, for_training=True)
    assert len(list(tmp_path.glob("text/*/card.yaml"))) == 2  # which both views read
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        items: Any = [dataset[row] for row in range(len(rows))]
        batch: Any = dataset.collater(items)
        views = [batch[name]["text"]["encoded"] for name in ("net_input", "other_view")]
        lengths = min(view.size(1) for view in views)
        same = [torch.equal(one[:lengths], two[:lengths]) for one, two in zip(*views, strict=True)]
        assert same.count(True) < len(rows) / 2
