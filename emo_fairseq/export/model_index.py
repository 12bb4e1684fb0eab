"""Metrics of a model as the hub's `model-index`, which its pages and leaderboards read.

Fields: https://huggingface.co/docs/hub/model-cards#evaluation-results. Metrics that the hub's
library `evaluate` has get its names, all others their own.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from emo_fairseq.evaluation.bootstrap import OVER_UTTERANCES, Estimate
from emo_fairseq.evaluation.names import display_name

_DIGITS = 4
_SEPARATOR = "_"  # between the key of a metric and the axis that it is of


class HubMetric(NamedTuple):
    """A metric of the hub, and the average over classes that makes it ours."""

    name: str
    average: str = ""


HUB_METRICS: Mapping[str, HubMetric] = {
    "uar": HubMetric("recall", "macro"),
    "wa": HubMetric("accuracy"),
    "weighted_f1": HubMetric("f1", "weighted"),
    "macro_f1": HubMetric("f1", "macro"),
    "pearson": HubMetric("pearsonr"),
    "mae": HubMetric("mae"),
    "mse": HubMetric("mse"),
}


def hub_results(
    scored: Iterable[tuple[str, Mapping[str, Estimate]]],
    corpus: str,
    task: str,
    protocol: str | None,
) -> Iterator[dict[str, Any]]:
    """Yield the results of each split, in the form of `huggingface_hub.EvalResult`.

    Args:
        scored: splits, each with its metrics by their keys.
        corpus: the name of the data set.
        task: of the hub, such as ``audio-classification``.
        protocol: PROTOCOL/FOLD that divided the corpus; None for the splits on disk.
    """
    for split, estimates in scored:
        dataset: dict[str, Any] = {"name": corpus, "type": corpus, "split": split}
        dataset |= {"args": {"fold": protocol}} if protocol else {}
        metrics = [
            _metric(key, estimate)
            for key, estimate in estimates.items()
            if math.isfinite(estimate.value)
        ]
        yield {"task": {"type": task}, "dataset": dataset, "metrics": metrics}


def _metric(key: str, estimate: Estimate) -> dict[str, Any]:
    own, _, _axis = key.partition(_SEPARATOR)
    hub = HUB_METRICS.get(key) or HUB_METRICS.get(own) or HubMetric(key)
    arguments: dict[str, Any] = {"average": hub.average} if hub.average else {}
    interval = [round(estimate.low, _DIGITS), round(estimate.high, _DIGITS)]
    if all(map(math.isfinite, interval)):
        arguments |= {"interval_95": interval, "resampled": OVER_UTTERANCES}
    return {
        "type": hub.name,
        "value": round(estimate.value, _DIGITS),
        "name": display_name(key),
        **({"args": arguments} if arguments else {}),
    }
