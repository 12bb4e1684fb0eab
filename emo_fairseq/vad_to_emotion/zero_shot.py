"""Zero-shot VAD: how well three sentences an axis follow from a text, by a model of NLI.

A model of natural language inference predicts whether a premise entails a hypothesis. With the text
as the premise, the hypotheses state that its speaker is low, in the middle or high on an axis (the
zero-shot classification of Yin et al. 2019); their probabilities of entailment, normalized over the
three, weigh the values 0, 1/2 and 1. Nothing is trained on the corpus.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_prep.manifest.provenance import Provenance, write_beside
from data_prep.messages import first_few
from data_prep.progress import show_progress
from data_prep.schema import AXES, read_corpus
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.predictions import PREDICTION_OF, TRUTH_OF
from emo_fairseq.vad_to_emotion.entailment import EntailmentModel, Pair
from emo_fairseq.vad_to_emotion.out_of_fold import MADE_BY_ZERO_SHOT
from emo_fairseq.vad_to_emotion.rows import Notes, gold_vad, read_rows, refuse_constant, write_facts

logger = logging.getLogger(__name__)

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


def predict_vad(model: EntailmentModel, texts: Sequence[str], batch_size: int = 64) -> np.ndarray:
    """Predict the VAD of texts.

    Args:
        model: in evaluation mode.
        texts: N, none empty.
        batch_size: pairs at a time; they are sorted by length, so that little is padded.

    Returns:
        (N, 3) float64 in [0, 1], axes in the order of `AXES`.

    Raises:
        UsageError: an axis is predicted the same for all texts.
    """
    hypotheses = [sentence for axis in AXES for sentence in HYPOTHESES[axis]]
    pairs = [model.encode(text, sentence) for text in texts for sentence in hypotheses]
    truncated = {row // len(hypotheses) for row, pair in enumerate(pairs) if pair.is_truncated}
    if truncated:
        logger.warning("%d of %d texts are truncated to fit the model", len(truncated), len(texts))
    scores = _scores(model, pairs, batch_size).reshape(len(texts), len(AXES), len(VALUES))
    # A pair's logits are known up to a constant of its own: logarithms of probabilities are not.
    shares = torch.softmax(scores, dim=-1)  # (N, 3 axes, 3 hypotheses)
    vad = (shares @ torch.tensor(VALUES, dtype=shares.dtype)).numpy()  # (N, 3)
    refuse_constant("zero-shot NLI", vad)
    return vad


def _scores(model: EntailmentModel, pairs: Sequence[Pair], batch_size: int) -> Tensor:
    """Log probabilities of entailment (P,) float64, in the order of the pairs."""
    order = sorted(range(len(pairs)), key=lambda index: len(pairs[index].ids))
    scores = torch.empty(len(pairs), dtype=torch.float64)
    with torch.inference_mode(), show_progress("entailment", len(pairs), "pair") as update:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            scores[batch] = model.log_entailment([pairs[index] for index in batch]).cpu()
            update(len(batch))
    return scores


def write_zero_shot(
    model: EntailmentModel, spec: str, data: Path, split: str, file: Path, batch_size: int
) -> Notes:
    """Predict the VAD of a split's texts, and write a predictions file.

    Returns:
        A note on rows without a text, which are left out.

    Raises:
        UsageError: no row has a text, or the model predicts the same for all.
    """
    rows = read_rows(data, split)
    texts = {name: row.text for name, row in rows.items() if row.text}
    if not texts:
        raise UsageError(
            f"{data / split}.tsv: no row has a text, which zero-shot VAD is predicted from; name "
            "another split",
            "text-missing",
        )
    predicted = predict_vad(model, list(texts.values()), batch_size)
    predictions.write(
        file,
        [
            {
                "id": name,
                "split": split,
                **dict(zip((TRUTH_OF + a for a in AXES), gold_vad(rows[name]), strict=True)),
                **dict(zip((PREDICTION_OF + a for a in AXES), map(float, vad), strict=True)),
            }
            for name, vad in zip(texts, predicted, strict=True)
        ],
    )
    write_beside(file, Provenance())  # nothing was trained
    write_facts(file, _facts(spec, data, split))
    left = [name for name in rows if name not in texts]
    note = f"{len(left)} rows of {split} have no text, and are left out: {first_few(left)}"
    return [note] if left else []


def _facts(spec: str, data: Path, split: str) -> dict[str, Any]:
    name = read_corpus(data).name
    options = {
        "task.data": str(data),
        "task.target": "vad",
        "model._name": "zero_shot_nli",
        "model.entailment": spec,
        "dataset.disable_validation": True,  # no set has selected anything
    }
    return {
        "set": {"split": split, "data": None, "labels": None},
        "corpus": name,
        "trained_on": name,
        MADE_BY_ZERO_SHOT: {
            "model": spec,
            "hypotheses": {axis: list(x) for axis, x in HYPOTHESES.items()},
        },
        "options": options,
    }
