"""What a model says of one item."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emo_fairseq.criterions.scoring import SCORERS
from emo_fairseq.evaluation.predictions import (
    PREDICTION_OF,
    PROBABILITY,
)
from emo_fairseq.types import LabeledTarget


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


@dataclass(frozen=True)
class Answer:
    """What a head says of one item."""

    label: str | None
    probabilities: Mapping[str, float]
    values: Mapping[str, float]

    @property
    def numbers(self) -> Mapping[str, float]:
        """Probabilities, or values where there are none."""
        return self.probabilities or self.values


def read_answers(of: LabeledTarget, logits: Tensor) -> Iterator[Answer]:
    """From a head's (B, n) outputs to B answers, as a predictions file has them."""
    scorer = SCORERS[of.target.kind](of.target, of.labels)
    shape = (len(logits),) if of.target.has_labels else (len(logits), len(of.target.columns))
    nobody_knows = torch.zeros(shape, dtype=torch.int64)  # the truth, which is then not read
    for row in scorer.prediction_rows(nobody_knows, logits):
        yield Answer(
            str(row["prediction"]) if of.target.has_labels else None,
            _by_name(row, PROBABILITY),
            {} if of.target.has_labels else _by_name(row, PREDICTION_OF),
        )


def _by_name(row: Mapping[str, Any], prefix: str) -> dict[str, float]:
    return {
        name.removeprefix(prefix): float(value)
        for name, value in row.items()
        if name.startswith(prefix)
    }
