"""Classifiers of others, as the options and weights of a `robertaEMO` that computes the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from emo_fairseq.encoder_spec import EncoderSpec

REGRESSION, MULTI_LABEL = "regression", "multi_label_classification"


@dataclass(frozen=True)
class Classifier:
    """A classifier of others.

    Attributes:
        modality: that it reads.
        encoder: its encoder.
        options: of the `robertaEMO` that computes the same; the others have their defaults.
        weights: of what is behind the encoder, by the names of `robertaEMO`.
        labels: names of its K outputs, in order; empty where its files have none.
        problem: `REGRESSION` or `MULTI_LABEL`; else it chooses one of its labels.
        max_seconds: of a recording, of which it does not read more; None where it has no limit.
        run: its own implementation, from (B, T) ids of tokens or samples at 16 kHz, rows of the
            same length, to logits (B, K); None where no library here has one.
    """

    modality: str
    encoder: EncoderSpec
    options: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    labels: Sequence[str]
    problem: str | None = None
    max_seconds: float | None = None
    run: Callable[[Tensor], Tensor] | None = None

    @property
    def n_outputs(self) -> int:
        """K."""
        return len(self.weights["head.out_proj.bias"])
