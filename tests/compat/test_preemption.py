"""Signals during a training, between two epochs and after the last."""

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from emo_fairseq.compat import preemption

CFG = SimpleNamespace(optimization=SimpleNamespace(max_epoch=2))


def train(epoch: int, is_over: bool = False) -> Any:
    """Train an epoch of :data:`CFG`, which does nothing."""
    epoch_itr = SimpleNamespace(next_epoch_idx=epoch + 1)
    noting = preemption._while_noting(lambda *_: ([], is_over))
    return noting(CFG, None, None, epoch_itr)


@pytest.fixture
def handled() -> Any:
    """The signals that were received by another handler than a training's."""
    received: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: received.append(number))
    yield received
    signal.signal(signal.SIGUSR2, before)
    preemption._request.take()


def test_a_signal_between_epochs_is_noted(handled: list[int]) -> None:
    train(1)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert handled == []
    assert preemption._request.is_made(SimpleNamespace(data_parallel_world_size=1))
    train(2)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert handled == [signal.SIGUSR2]


def test_the_handler_before_is_called(handled: list[int]) -> None:
    train(1)
    os.kill(os.getpid(), signal.SIGUSR2)
    preemption._request.act(preemption._request.take())
    assert handled == [signal.SIGUSR2]
    train(2, is_over=True)


def test_without_a_handler_the_process_ends(handled: list[int]) -> None:
    train(1)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"):
        preemption._request.act(preemption._request.take())
    train(2)
