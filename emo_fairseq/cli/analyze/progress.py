"""Progress through a recording: a bar for each stage, or a line a minute."""

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from data_prep.progress import show_progress


class RecordingProgress:
    """Shows how many seconds of a recording are done; called as ``progress`` of a conversation.

    Args:
        name: of the recording.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._stage = ""
        self._done = 0
        self._bar = ExitStack()
        self._update: Callable[[int], object] = lambda n: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def __call__(self, stage: str, seconds: float, total: float | None) -> None:
        """Show a stage, with `seconds` done of `total`, which may not be known."""
        if stage != self._stage:
            self._bar.close()
            self._stage, self._done = stage, 0
            bar = show_progress(f"{self._name}: {stage}", round(total or 0), "second")
            self._update = self._bar.enter_context(bar)
        if (done := int(seconds)) > self._done:
            self._update(done - self._done)
            self._done = done
