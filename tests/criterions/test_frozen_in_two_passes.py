"""R-Drop's second pass begins with the outputs of what is frozen, which runs once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from emo_fairseq.criterions.registered import (
    EmotionClassificationConfig,
    EmotionClassificationCriterion,
)


@pytest.mark.parametrize("part", ["all", "front end", "layers"])
def test_what_is_frozen_runs_once_and_the_loss_is_the_same(
    toy_corpus: Path,
    make_task: Callable[..., Any],
    make_model: Callable[..., Any],
    collate_rows: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    part: str,
) -> None:
    task = make_task(
        toy_corpus, modality="text+speech", speech_input="waveform", max_speech_seconds=0.5
    )
    task.load_dataset("train")
    batch = collate_rows(task.dataset("train"), range(4))
    model = make_model(task)
    encoder = model.encoders["speech"]
    encoder.freeze() if part == "all" else encoder.freeze_lower(1 if part == "layers" else 0)
    options: Any = EmotionClassificationConfig(r_drop_weight=2.0)
    criterion: Any = EmotionClassificationCriterion.build_criterion(options, task)
    convolutions = encoder.backbone.feature_extractor
    runs: list[int] = []
    convolutions.register_forward_hook(lambda *_: runs.append(1))

    def run() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        runs.clear()
        model.zero_grad()
        torch.manual_seed(1)
        loss, _, _ = criterion.train()(model.train(), batch)
        loss.backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        return loss.detach(), gradients

    shared, gradients = run()
    assert len(runs) == 1
    monkeypatch.setattr(type(model), "encode_frozen_once", lambda self, net_input: net_input)
    twice, expected = run()
    assert len(runs) == 2
    assert torch.equal(shared, twice)
    assert gradients.keys() == expected.keys()
    assert all(torch.equal(gradients[name], expected[name]) for name in expected)


def test_a_batch_keeps_what_is_not_frozen(
    toy_corpus: Path,
    make_task: Callable[..., Any],
    make_model: Callable[..., Any],
    collate_rows: Callable[..., Any],
) -> None:
    task = make_task(toy_corpus, modality="text+speech", speech_input="log_mel")
    task.load_dataset("valid")
    net_input = collate_rows(task.dataset("valid"), range(3))["net_input"]
    model = make_model(task)
    model.encoders["speech"].freeze()
    encoded = model.encode_frozen_once(net_input)
    assert encoded["text"] is net_input["text"]
    assert encoded["speech"].keys() == {"encoded", "padding_mask", "present"}
    assert model.encode_frozen_once(encoded)["speech"] is encoded["speech"]
    assert torch.equal(model(**encoded).logits, model(**net_input).logits)
