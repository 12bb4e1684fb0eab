"""The figures of a predictions file."""

from collections.abc import Mapping, Sequence

import torch

from emo_fairseq import metrics
from emo_fairseq.predictions import PREDICTION_OF, PROBABILITY, TRUTH_OF

Rows = Sequence[Mapping[str, str]]


def figures_of(rows: Rows) -> dict[str, float]:
    """All figures of a system, by name; those of the majority baseline end in ``_majority``.

    Args:
        rows: what :func:`emo_fairseq.predictions.read` returns, at least one.

    Returns:
        For labels UAR, WA, weighted and macro F1, the recall of each class, and the same of always
        giving the most frequent class; for numbers CCC, Pearson, MAE and RMSE of each axis.
    """
    if "truth" in rows[0]:
        return _label_figures(rows)
    return _number_figures(rows)


def _label_figures(rows: Rows) -> dict[str, float]:
    labels = [name.removeprefix(PROBABILITY) for name in rows[0] if name.startswith(PROBABILITY)]
    ids = {label: number for number, label in enumerate(labels)}
    truth = torch.tensor([ids[row["truth"]] for row in rows])
    prediction = torch.tensor([ids[row["prediction"]] for row in rows])
    counts = metrics.confusion(truth, prediction, len(labels))
    recalls = zip(labels, metrics.recall_per_class(counts), strict=True)
    return {
        **{name: metric(counts) for name, metric in metrics.CONFUSION_METRICS.items()},
        **{f"{name}_majority": x for name, x in metrics.majority_baseline(counts).items()},
        **{f"recall_{label}": recall for label, recall in recalls},
    }


def _number_figures(rows: Rows) -> dict[str, float]:
    axes = [name.removeprefix(TRUTH_OF) for name in rows[0] if name.startswith(TRUTH_OF)]
    figures: dict[str, float] = {}
    for axis in axes:
        truth = torch.tensor([_number(row[TRUTH_OF + axis]) for row in rows])
        prediction = torch.tensor([_number(row[PREDICTION_OF + axis]) for row in rows])
        sums = metrics.moments(truth, prediction)
        figures |= {f"{name}_{axis}": m(sums) for name, m in metrics.MOMENT_METRICS.items()}
    return figures


def _number(cell: str) -> float:
    return float(cell) if cell else float("nan")
