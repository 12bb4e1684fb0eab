"""VAD from entailment: how well three sentences an axis follow from a text, by a model of NLI.

A model of natural language inference says whether a premise entails a hypothesis. With the text as
the premise, the hypotheses say that its speaker is low, in the middle or high on an axis (the
zero-shot classification of Yin et al. 2019); their probabilities of entailment, normalized over the
three, weigh the values 0, 1/2 and 1. Nothing is trained on the corpus, and nothing is kept.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from data_prep.schema import AXES
from emo_fairseq.errors import UsageError
from emo_fairseq.vad_to_emotion.rows import refuse_constant

logger = logging.getLogger(__name__)

ENTAILMENT = "entailment"
# axis: low, middle, high
HYPOTHESES: dict[str, tuple[str, str, str]] = {
    "valence": (
        "The speaker feels something unpleasant.",
        "The speaker feels neither pleasant nor unpleasant.",
        "The speaker feels something pleasant.",
    ),
    "arousal": (
        "The speaker is calm.",
        "The speaker is neither calm nor excited.",
        "The speaker is excited.",
    ),
    "dominance": (
        "The speaker feels powerless.",
        "The speaker feels neither powerless nor in control.",
        "The speaker feels in control.",
    ),
}
VALUES = (0.0, 0.5, 1.0)


class Pair(NamedTuple):
    """A premise and a hypothesis as one sequence: T ids, and of which of the two each is."""

    ids: list[int]
    types: list[int]
    is_cut: bool


class EntailmentModel(Protocol):
    """A model of NLI with its tokenizer."""

    def encode(self, premise: str, hypothesis: str) -> Pair:
        """Both as one sequence; the premise is cut where they are too long for the model."""

    def log_entailment(self, pairs: Sequence[Pair]) -> Tensor:
        """(B,) float64: the logarithm of each pair's probability of entailment."""


def predict_vad(model: EntailmentModel, texts: Sequence[str], batch_size: int = 64) -> np.ndarray:
    """VAD of texts.

    Args:
        model: in evaluation mode.
        texts: N, none empty.
        batch_size: pairs at a time; they are sorted by length, so that little is padded.

    Returns:
        (N, 3) float64 in [0, 1], axes in the order of `AXES`.

    Raises:
        UsageError: an axis comes out the same for all texts.
    """
    hypotheses = [sentence for axis in AXES for sentence in HYPOTHESES[axis]]
    pairs = [model.encode(text, sentence) for text in texts for sentence in hypotheses]
    n = len(hypotheses)
    if cut := sum(any(p.is_cut for p in pairs[k : k + n]) for k in range(0, len(pairs), n)):
        logger.warning("%d of %d texts are cut: the model reads no more", cut, len(texts))
    scores = _scores(model, pairs, batch_size).reshape(len(texts), len(AXES), len(VALUES))
    # A pair's logits are known up to a constant of its own: logarithms of probabilities are not.
    shares = torch.softmax(scores, dim=-1)  # (N, 3 axes, 3 hypotheses)
    found = (shares @ torch.tensor(VALUES, dtype=shares.dtype)).numpy()  # (N, 3)
    refuse_constant("zero-shot NLI", found)
    return found


def _scores(model: EntailmentModel, pairs: Sequence[Pair], batch_size: int) -> Tensor:
    """(P,) float64, in the order of the pairs."""
    order = sorted(range(len(pairs)), key=lambda place: len(pairs[place].ids))
    scores = torch.empty(len(pairs), dtype=torch.float64)
    with torch.inference_mode(), tqdm(total=len(pairs), unit="pair", disable=None) as progress:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            scores[batch] = model.log_entailment([pairs[place] for place in batch]).cpu()
            progress.update(len(batch))
    return scores


def padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> Tensor:
    """Sequences of ids as (B, T) int64, padded on the right."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)


def entailment_place(names: Sequence[str], source: str) -> int:
    """Which of a model's labels is entailment, by its name.

    Raises:
        UsageError: none is called so.
    """
    places = [n for n, name in enumerate(names) if name.strip().lower() == ENTAILMENT]
    if len(places) != 1:
        raise UsageError(
            f"{source}: its labels are {', '.join(names)}, and not one of them is {ENTAILMENT}: "
            "which one is meant is not guessed; take a model of NLI that names its labels"
        )
    return places[0]
