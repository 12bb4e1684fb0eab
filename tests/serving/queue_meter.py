"""How many requests wait for the model, and how many it has begun: what a test waits for."""

import threading

from emo_fairseq.serving.meter import Meter

PATIENCE = 60.0  # seconds, on a machine that does other things too


class QueueMeter(Meter):
    """Counts the requests in the queue and those in batches."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._n_begun = self._n_waiting = 0

    def batch_began(self, size: int) -> None:
        with self._changed:
            self._n_begun += size
            self._changed.notify_all()

    def queue_changed(self, n: int) -> None:
        with self._changed:
            self._n_waiting += n
            self._changed.notify_all()

    def wait_for(self, begun: int, waiting: int = 0) -> None:
        """Wait until so many requests have been in a batch, and so many are in the queue."""
        with self._changed:
            numbers = (begun, waiting)
            if not self._changed.wait_for(lambda: self._numbers() == numbers, PATIENCE):
                raise AssertionError(f"(begun, waiting) is {self._numbers()}, not {numbers}")

    def _numbers(self) -> tuple[int, int]:
        return self._n_begun, self._n_waiting
