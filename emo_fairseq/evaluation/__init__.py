"""Evaluation: from predictions to metrics, intervals, tests and tables.

Every metric is a function of two plain lists:

    >>> from emo_fairseq import evaluation
    >>> evaluation.uar(["sad", "sad", "happy"], ["sad", "happy", "happy"])
    0.75

From a prediction to a metric
-----------------------------
::

    logits ──decode──▶ a row of predictions.tsv          .predictions: write, read
                           │ read_predictions            .statistics
                           ▼
           {split: LabelPredictions | NumberPredictions}               arrays
                           │ .statistics()
                           ▼
           Statistics(rows (N, D), derive)               one row an utterance; rows add up
                           │ derive(rows.sum(axis=0))
                           ▼
           {"uar": 0.61, "recall_sad": 0.5, ...}         .names: key, display name, range, direction
                           │ intervals(rows, derive)     .bootstrap: over utterances or speakers
                           ▼
           Estimate(value, low, high) ──▶ Table          .tables: terminal, Markdown, LaTeX, CSV

Training derives its metrics by the same functions (:mod:`emo_fairseq.metrics`) from sums that it
accumulates over batches and ranks: chunked or whole, a metric is the same. The other files that
scoring writes are those of :mod:`.embeddings` and :mod:`.attention`. Whole recordings, whose
predicted turns are not those of the reference, are read by :mod:`.turn_files` and scored by
:mod:`.recordings`, and shifts of emotion in dialogues by :mod:`.dialogues`. All of it computes with
NumPy, and imports no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from emo_fairseq.evaluation.names import METRICS, OF_RECORDINGS

if TYPE_CHECKING:
    from emo_fairseq.evaluation.functional import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """Import the functions, and with them NumPy, when the first of them is used (PEP 562)."""
    if name not in METRICS.keys() - {*OF_RECORDINGS} and name != "accuracy":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("emo_fairseq.evaluation.functional"), name)
