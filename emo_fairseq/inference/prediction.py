"""What a model says of one item."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """One item's answer.

    Attributes:
        label: the most probable one; None where numbers are predicted.
        probabilities: by label; of ``binary_emotion`` each its own yes, which do not add up to 1.
        values: by axis: valence, arousal and dominance on the scale [0, 1], or
            ``sentiment_score`` on that of its corpus. As the model says them: nothing is clipped.
        auxiliary: by auxiliary target its probabilities or values.
        embedding: (E,) float32, the vector before the head.
        modalities: those that the item had.
        text: that the model read; None without.
        seconds: length of the recording, uncut; None without.
        warnings: what is odd about the item, such as a recording of digital silence.
    """

    label: str | None
    probabilities: Mapping[str, float]
    values: Mapping[str, float]
    auxiliary: Mapping[str, Mapping[str, float]]
    embedding: np.ndarray = field(repr=False, compare=False)
    modalities: tuple[str, ...]
    text: str | None = None
    seconds: float | None = None
    warnings: tuple[str, ...] = ()

    def as_dict(self, embedding: bool = False) -> dict[str, Any]:
        """Plain values, ready for JSON; with the embedding as a list of numbers if asked."""
        found: dict[str, Any] = {
            "label": self.label,
            "probabilities": dict(self.probabilities),
            "values": dict(self.values),
            "auxiliary": {name: dict(answer) for name, answer in self.auxiliary.items()},
            "modalities": list(self.modalities),
            "text": self.text,
            "seconds": self.seconds,
            "warnings": list(self.warnings),
        }
        return {**found, "embedding": self.embedding.tolist()} if embedding else found
