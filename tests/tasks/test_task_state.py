"""The state of a task: loaded from a checkpoint, it builds the model without a task."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from codes import raises
from fairseq import checkpoint_utils

from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.models.build import build_for_inference
from emo_fairseq.task_state import TaskOptions, TaskState
from emo_fairseq.tasks.config import EmotionPredictionConfig


def test_a_checkpoint_gives_state_and_model_without_a_task(trained_models: Any) -> None:
    checkpoint = trained_models.checkpoint("--auxiliary-targets vad --max-speech-seconds 1.5")
    saved = checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint), {"task": TASK_NAME})
    state = TaskState.from_checkpoint(saved)
    assert state.modalities == ("text", "speech")
    assert state.labels == ["neutral", "happy", "sad", "angry"]
    assert state.n_outputs == 4
    assert state.auxiliary["vad"].n_outputs == 3
    assert state.limits.max_samples() == 24_000
    model = build_for_inference(saved["cfg"].model, state)
    model.load_state_dict(saved["model"])
    tokens = torch.full((1, 3), state.vocabularies["text"].specials.pad + 2)
    text = {"tokens": tokens, "padding_mask": torch.zeros(1, 3, dtype=torch.bool)}
    text["present"] = torch.ones(1, dtype=torch.bool)
    output = model(text=text, speech={"present": torch.zeros(1, dtype=torch.bool)})
    assert output.logits.shape == (1, 4)


def test_what_is_saved_is_what_is_loaded(toy_corpus: Path, make_task: Any) -> None:
    options = {"speech_input": "log_mel", "auxiliary_targets": "vad", "context_pooling": "all"}
    task = make_task(toy_corpus, context_past=1, **options)
    state = task.task_state
    assert state.options.context_pooling == "all"
    saved = state.to_state()
    assert saved == {name: task.state_dict()[name] for name in saved}
    assert TaskState.from_state(task.cfg, saved) == state


def test_options_have_the_defaults_of_the_task() -> None:
    defaults = {field.name: field.default for field in fields(EmotionPredictionConfig)}
    for name, value in TaskOptions().model_dump().items():
        assert defaults[name] == value, name


@pytest.mark.parametrize(
    ("options", "state", "code"),
    [
        ({}, {}, "task-other"),
        ({"num_classes": 3}, {"labels": ["a", "b"], "encoders": {}}, "num-classes-mismatch"),
        ({"max_frames": "x"}, {"labels": ["a"], "encoders": {}}, "task-option-invalid"),
    ],
)
def test_what_does_not_fit_is_refused(options: Any, state: Any, code: str) -> None:
    with raises(code):
        TaskState.from_state(options, state)
