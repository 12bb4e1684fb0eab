"""Labels at the start of a training: what is refused, and what is warned of."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from codes import raises


def test_one_class_alone_is_refused(copy_toy: Callable[..., Path], make_task: Any) -> None:
    data = copy_toy(lambda _, rows: [replace(row, emotion="sad") for row in rows])
    with raises("label-single"):
        make_task(data, modality="text")
    make_task(data, modality="text", target="vad")  # of which there is something to learn


def test_a_class_that_train_lacks_is_warned_of(
    copy_toy: Callable[..., Path], make_task: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def without_sad(split: str, rows: Any) -> Any:
        if split != "train":
            return rows
        return [replace(row, emotion=None) if row.emotion == "sad" else row for row in rows]

    data = copy_toy(without_sad)
    with caplog.at_level(logging.WARNING, "emo_fairseq.data.fit"):
        make_task(data, modality="text")
    messages = [record.getMessage() for record in caplog.records]
    for split, count in (("valid", 2), ("test", 3)):
        sentence = f"emotion: in {split}, and not in train, where no model can learn it: 'sad' ("
        assert any(f"{sentence}{count} rows)" in message for message in messages), messages
