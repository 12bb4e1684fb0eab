"""The utterances that a system was most wrong about."""

from collections.abc import Sequence

import torch
from torch import Tensor

from emo_fairseq.evaluation.statistics import LabelPredictions, Predictions
from emo_fairseq.report.data_dir import Facts

N_WORST = 20


def worst_table(system: Predictions, facts: Facts) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table, the worst first; ties in the order of the predictions file."""
    header, rows = (
        _of_labels(system) if isinstance(system, LabelPredictions) else _of_numbers(system)
    )
    extra = [name for name in ("speaker", "text") if facts.is_given and any(facts.column(name))]
    columns = {name: facts.column(name) for name in extra}
    return (
        ["id", *header, *extra],
        [
            [system.ids[place], *cells, *(columns[name][place] or "" for name in extra)]
            for place, cells in rows
        ],
    )


Found = tuple[list[str], list[tuple[int, list[str]]]]


def _of_labels(system: LabelPredictions) -> Found:
    """Of the wrong ones those whose truth was given the least probability."""
    everywhere = torch.arange(len(system.ids))
    assert system.probability is not None  # a predictions file has them
    of_truth = system.probability[everywhere, system.truth]
    of_given = system.probability[everywhere, system.prediction]
    is_wrong = (system.prediction != system.truth) & ~of_truth.isnan()
    rows = [
        (
            place,
            [
                system.names[system.truth[place]],
                system.names[system.prediction[place]],
                _probability(of_given[place]),
                _probability(of_truth[place]),
            ],
        )
        for place in _first(of_truth, is_wrong)
    ]
    return ["truth", "predicted", "p of predicted", "p of truth"], rows


def _of_numbers(system: Predictions) -> Found:
    """Those with the largest Euclidean distance over the axes that were measured."""
    difference = system.prediction - system.truth
    distance = difference.square().nansum(dim=1).sqrt()
    is_known = ~difference.isnan().all(dim=1)
    header = ["error", *(axis.replace("_", " ") for axis in system.names)]
    rows = []
    for place in _first(-distance, is_known):
        pairs = zip(system.truth[place].tolist(), system.prediction[place].tolist(), strict=True)
        rows.append((place, [f"{distance[place]:.3f}", *(f"{t:.2f} → {p:.2f}" for t, p in pairs)]))
    return header, rows


def _first(values: Tensor, counted: Tensor) -> Sequence[int]:
    order = torch.where(counted, values, torch.inf).argsort(stable=True)
    return order[: min(N_WORST, int(counted.sum()))].tolist()


def _probability(value: Tensor) -> str:
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"
