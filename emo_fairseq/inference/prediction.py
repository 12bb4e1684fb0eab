"""What a model predicts for one item, and what of the item it has not read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from emo_fairseq.inference.transcribing import Transcript
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO

TOKENS, SECONDS = "tokens", "seconds"  # units of a truncation

_NOUNS = {TEXT: "text", SPEECH: "recording", VIDEO: "video"}


@dataclass(frozen=True)
class Truncation:
    """An input of which the model reads the beginning alone, as in training.

    Attributes:
        modality: which input.
        used: how much is read.
        total: how much there is.
        unit: ``tokens`` or ``seconds``.
    """

    modality: str
    used: float
    total: float
    unit: str

    def describe(self) -> str:
        """Return a sentence for users.

        >>> Truncation("text", 14, 20, "tokens").describe()
        'the text is too long for the model, which reads the first 14 of its 20 tokens'
        """
        return (
            f"the {_NOUNS[self.modality]} is too long for the model, which reads the first "
            f"{self.used:.4g} of its {self.total:.4g} {self.unit}"
        )


@dataclass(frozen=True)
class Prediction:
    """The prediction for one item.

    Attributes:
        label: the most probable one; None where numbers are predicted.
        probabilities: of each label. Those of ``binary_emotion`` are of K yes/no questions, and do
            not add up to 1.
        values: of each axis: valence, arousal and dominance on the scale [0, 1], or
            ``sentiment_score`` on that of its corpus; not clipped.
        auxiliary: probabilities or values of each auxiliary target.
        embedding: (E,) float32, the vector before the head.
        modalities: that the item has.
        text: as the model reads it; None without.
        seconds: length of the recording, truncated or not; None without.
        transcript: of the recording; None where it was not transcribed.
        warnings: sentences about the item, such as that its recording is digital silence.
        truncations: what was not read of the item; empty where all was.
    """

    label: str | None
    probabilities: Mapping[str, float]
    values: Mapping[str, float]
    auxiliary: Mapping[str, Mapping[str, float]]
    embedding: np.ndarray = field(repr=False, compare=False)
    modalities: tuple[str, ...]
    text: str | None = None
    seconds: float | None = None
    transcript: Transcript | None = None
    warnings: tuple[str, ...] = ()
    truncations: tuple[Truncation, ...] = ()

    def as_dict(self, embedding: bool = False) -> dict[str, Any]:
        """Return plain values, ready for JSON.

        Args:
            embedding: whether to include the embedding, as a list of numbers.
        """
        values: dict[str, Any] = {
            "label": self.label,
            "probabilities": dict(self.probabilities),
            "values": dict(self.values),
            "auxiliary": {name: dict(scores) for name, scores in self.auxiliary.items()},
            "modalities": list(self.modalities),
            "text": self.text,
            "seconds": self.seconds,
            "transcript": None if self.transcript is None else self.transcript.text,
            "transcript_language": None if self.transcript is None else self.transcript.language,
            "warnings": list(self.warnings),
            "truncations": [asdict(truncation) for truncation in self.truncations],
        }
        return {**values, "embedding": self.embedding.tolist()} if embedding else values
