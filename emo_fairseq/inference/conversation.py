"""A recording as a conversation: its turns, the emotion of each, and where emotions change.

:mod:`emo_fairseq.inference.predict_conversation` makes one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from data_prep.errors import CodedError
from data_prep.messages import sentence_with_code
from data_prep.segmentation.turn import Turn
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.targets import predicts_numbers

if TYPE_CHECKING:
    from emo_fairseq.inference.predictor import EmotionPredictor


@dataclass(frozen=True)
class PredictedTurn:
    """A turn of a conversation with its prediction, or why it has none.

    Attributes:
        turn: times, speaker and text.
        prediction: None for an error.
        error: None for a prediction.
        shift: whether the label differs from that of the speaker's previous turn; None where
            either is not known.
    """

    turn: Turn
    prediction: Prediction | None = None
    error: CodedError | None = None
    shift: bool | None = None

    @property
    def label(self) -> str | None:
        """The most probable label; None for an error, or where numbers are predicted."""
        return None if self.prediction is None else self.prediction.label

    @property
    def confidence(self) -> float | None:
        """The probability of the label; None without one."""
        return None if self.prediction is None else confidence_of(self.prediction)

    @property
    def values(self) -> Mapping[str, float]:
        """Valence, arousal and so on, where the model predicts them; see :func:`values_of`."""
        return {} if self.prediction is None else values_of(self.prediction)

    @property
    def text(self) -> str | None:
        """The text of the turn, or else its transcript; None where neither is known."""
        if self.turn.text is not None or self.prediction is None:
            return self.turn.text
        return self.prediction.text or None

    def to_document(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; see :meth:`Conversation.to_document`."""
        document = turn_document(
            float(self.turn.start), float(self.turn.end), self.prediction, self.turn.speaker, None
        )
        error = None if self.error is None else sentence_with_code(self.error)
        known = {"channel": self.turn.channel, "text": self.text}
        return {**document, **known, "shift": self.shift, "error": error}


@dataclass(frozen=True)
class Conversation:
    """The predicted turns of one recording.

    Attributes:
        recording: file name.
        seconds: its length; None where the model reads no audio, and the file cannot be decoded.
        labels: of the model, in the order of the probabilities; empty for a model of numbers.
        axes: names of the values of each turn; empty where the model predicts none.
        turns: in order of time.
        skipped: what is in no turn or was not read, with counts.
        notes: what was chosen in finding or reading the turns.
    """

    recording: str
    seconds: float | None
    labels: Sequence[str]
    axes: Sequence[str]
    turns: Sequence[PredictedTurn]
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def to_document(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, which the page and the API use.

        Returns:
            ``recording``, ``seconds``, ``labels``, ``axes``, ``skipped``, ``notes``, and ``turns``:
            of each ``start`` and ``end`` in seconds, ``speaker``, ``channel`` counted from 1,
            ``text``, ``label``, ``probabilities`` {label: probability}, ``values`` {axis: value},
            ``confidence``, ``shift``, ``truncations`` and ``warnings`` as sentences, and
            ``error``. What is not known is None.
        """
        return {
            "recording": self.recording,
            "seconds": self.seconds,
            "labels": list(self.labels),
            "axes": list(self.axes),
            "skipped": dict(self.skipped),
            "notes": list(self.notes),
            "turns": [turn.to_document() for turn in self.turns],
        }


def turn_document(
    start: float,
    end: float,
    prediction: Prediction | None,
    speaker: str | None,
    previous: str | None,
) -> dict[str, Any]:
    """Return a turn as plain values; see :meth:`Conversation.to_document`."""
    values: dict[str, Any] = {"start": start, "end": end, "speaker": speaker, "error": None}
    if prediction is None:
        nothing = dict.fromkeys(("text", "label", "confidence", "shift"))
        lists: dict[str, Any] = {"probabilities": {}, "values": {}}
        return {**values, **nothing, **lists, "truncations": [], "warnings": []}
    return {
        **values,
        "text": prediction.text or None,
        "label": prediction.label,
        "probabilities": dict(prediction.probabilities),
        "values": dict(values_of(prediction)),
        "confidence": confidence_of(prediction),
        "shift": _is_shift(prediction.label, previous),
        "truncations": [truncation.describe() for truncation in prediction.truncations],
        "warnings": list(prediction.warnings),
    }


def confidence_of(prediction: Prediction) -> float | None:
    """Return the probability of the label; None for numbers."""
    return max(prediction.probabilities.values(), default=None)


def values_of(prediction: Prediction) -> dict[str, float]:
    """Return the numbers of a prediction: of the target, and of auxiliary targets of numbers."""
    values = dict(prediction.values)
    for name, outputs in prediction.auxiliary.items():
        if predicts_numbers(name):
            values |= outputs
    return values


def axes_of(predictor: "EmotionPredictor") -> tuple[str, ...]:
    """Return the names of :func:`values_of` the predictions of a model."""
    others = predictor.auxiliary.items()
    of_auxiliary = [axis for name, axes in others if predicts_numbers(name) for axis in axes]
    return (*predictor.axes, *of_auxiliary)


def _is_shift(label: str | None, previous: str | None) -> bool | None:
    return None if label is None or previous is None else label != previous


def mark_shifts(turns: Sequence[PredictedTurn]) -> list[PredictedTurn]:
    """Return turns with ``shift``, each compared with the previous turn of its speaker.

    Turns without a label are passed over. Where no turn has a speaker, all are taken for one
    speaker's; where some have, a turn without one is compared with none.
    """
    has_speakers = any(turn.turn.speaker is not None for turn in turns)
    last: dict[str | None, str] = {}
    marked = []
    for turn in turns:
        speaker, label = turn.turn.speaker, turn.label
        is_known = speaker is not None or not has_speakers
        shift = _is_shift(label, last.get(speaker)) if is_known else None
        marked.append(replace(turn, shift=shift))
        if label is not None:
            last[speaker] = label
    return marked
