"""Turns of one recording with their emotions, in the formats of annotation tools and subtitles."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from data_prep.segmentation.formats import FORMATS, write_turns
from data_prep.segmentation.turn import Turn
from emo_fairseq.cli.predict.rows import Layout, Row, Writer
from emo_fairseq.evaluation.value_labels import values_text

if TYPE_CHECKING:
    from emo_fairseq.inference.prediction import Prediction


class TurnRows:
    """Collects turns, and writes them at the end: their tiers are by speaker.

    Args:
        out: takes the text.
        layout: names the recording.
        kind: a name of :data:`data_prep.segmentation.formats.FORMATS`.
    """

    def __init__(self, out: TextIO, layout: Layout, kind: str) -> None:
        self.names: dict[str, str] = {}
        self.n_left_out = 0
        self._out = out
        self._recording = layout.recording
        self._kind = kind
        self._turns: list[Turn] = []
        self._labels: list[str | None] = []

    def write(self, row: Row) -> None:
        """Take a turn; one without a prediction has no label."""
        assert row.item.turn is not None  # all rows of --segments have one
        turn = row.item.turn
        if turn.text is None and row.prediction is not None:
            turn = replace(turn, text=row.prediction.text or None)  # of the transcript
        self._turns.append(turn)
        self._labels.append(None if row.prediction is None else emotion_of(row.prediction))

    def finish(self) -> None:
        """Write the turns."""
        text = write_turns(self._turns, self._kind, recording=self._recording, labels=self._labels)
        self._out.write(text)
        self._out.flush()


def emotion_of(prediction: "Prediction") -> str:
    """Return the label of a prediction, or its numbers."""
    return prediction.label or values_text(prediction.values)


TURN_FORMATS: Mapping[str, Callable[[TextIO, Layout], Writer]] = {
    name: functools.partial(TurnRows, kind=name)
    for name, known in FORMATS.items()
    if known.holds_turns and known.write is not None
}
