"""Models of natural language inference (NLI): from Hugging Face, or a RoBERTa of fairseq."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from emo_fairseq.errors import UsageError

ENTAILMENT = "entailment"


class Pair(NamedTuple):
    """A premise and a hypothesis as one sequence.

    Attributes:
        ids: (T,) of the tokens.
        types: (T,) 0 for tokens of the premise, 1 for those of the hypothesis; empty without.
        is_truncated: whether the premise was too long for the model.
    """

    ids: list[int]
    types: list[int]
    is_truncated: bool


class EntailmentModel(Protocol):
    """A model of NLI with its tokenizer."""

    def encode(self, premise: str, hypothesis: str) -> Pair:
        """Encode both as one sequence; truncate the premise if they are too long."""

    def log_entailment(self, pairs: Sequence[Pair]) -> Tensor:
        """Return the logarithm of each pair's probability of entailment, (B,) float64."""


def open_entailment(spec: str, device: torch.device, labels: Sequence[str] = ()) -> EntailmentModel:
    """Load the model of ``hf:FOLDER`` or ``fairseq:CHECKPOINT``.

    Args:
        spec: see above.
        device: of the model.
        labels: of a fairseq checkpoint's head, in its order; empty = those of its dictionary.

    Raises:
        UsageError: another prefix, or a model that is none of NLI.
    """
    kind, _, path = spec.partition(":")
    if kind == "hf" and path:
        if labels:
            raise UsageError(
                f"--nli-labels: {spec} names its labels itself; leave it out", "nli-labels-idle"
            )
        from emo_fairseq.vad_to_emotion.hf_entailment import HuggingFaceEntailment

        return HuggingFaceEntailment(path, device)
    if kind == "fairseq" and path:
        from emo_fairseq.vad_to_emotion.fairseq_entailment import FairseqEntailment

        return FairseqEntailment(path, device, labels)
    raise UsageError(f"--model {spec}: write hf:FOLDER or fairseq:CHECKPOINT", "nli-spec-invalid")


def padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> Tensor:
    """Pad sequences of ids on the right, to (B, T) int64."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)


def entailment_index(names: Sequence[str], source: str) -> int:
    """Return the index of the label that is called entailment.

    Raises:
        UsageError: there is none, or more than one.
    """
    indices = [index for index, name in enumerate(names) if name.strip().lower() == ENTAILMENT]
    if len(indices) != 1:
        raise UsageError(
            f"{source}: its labels are {', '.join(names)}, and not one of them is {ENTAILMENT}: "
            "which one is meant is not guessed; take a model of NLI that names its labels",
            "entailment-missing",
        )
    return indices[0]
