"""The thread that reads ahead ends when it is told, wherever it is."""

import itertools
import queue
import threading
import time
from collections.abc import Iterator

import pytest
from fairseq.data.iterators import BackgroundConsumer

from emo_fairseq.compat import prefetching


@pytest.fixture(autouse=True)
def _own_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetching, "_is_ending", threading.Event())


def batches(seconds: float) -> Iterator[int]:
    for number in itertools.count():
        time.sleep(seconds)
        yield number


@pytest.mark.parametrize("size", [1, 0], ids=["waits for room", "at a batch"])
def test_it_ends(size: int) -> None:
    reader = BackgroundConsumer(queue.Queue(size), batches(0.02), None, None)
    reader.daemon = True
    reader.start()
    time.sleep(0.1)
    assert reader.is_alive()
    prefetching.end_reading()
    assert not reader.is_alive()


def test_it_reads_all_where_nothing_ends_it() -> None:
    read: queue.Queue[int] = queue.Queue()
    reader = BackgroundConsumer(read, range(5), None, None)
    reader.start()
    reader.join()
    assert [read.get() for _ in range(5)] == [0, 1, 2, 3, 4]
