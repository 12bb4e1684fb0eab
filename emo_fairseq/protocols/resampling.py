"""Bootstrap of all figures of many runs at once.

The draws are those of :func:`emo_fairseq.metrics.resampling.bootstrap`, which takes a metric and
its time; here one product of matrices sums all resamples of a run.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from emo_fairseq.metrics.resampling import draws
from emo_fairseq.protocols.answers import Answers

N_RESAMPLES = 1000
_CHUNK = 50  # resamples


@functools.lru_cache(maxsize=2)
def _times(n_units: int, n_resamples: int) -> Tensor:
    """(R, U) uint8: how often each unit was drawn."""
    times = torch.empty(n_resamples, n_units, dtype=torch.uint8)
    for row, drawn in zip(times, draws(n_units, n_resamples), strict=True):
        row.copy_(drawn)
    return times


def resample(
    runs: Sequence[Answers], units: Tensor | None = None, n_resamples: int = N_RESAMPLES
) -> dict[str, Tensor]:
    """Every figure's mean over runs, in resamples of the utterances that all have scored.

    Args:
        runs: of the same rows.
        units: (N,) int64 from 0, such as speakers: drawn whole. None means each utterance alone.
        n_resamples: R.

    Returns:
        (R,) float64 by the figure's name; NaN where it is undefined in a resample.
    """
    n_units = len(runs[0]) if units is None else int(units.max()) + 1
    times = _times(n_units, n_resamples)
    totals: dict[str, Tensor] = {}
    for run in runs:
        rows = run.statistics()
        if units is not None:
            rows = rows.new_zeros(n_units, rows.shape[1]).index_add_(0, units, rows)
        for first in range(0, n_resamples, _CHUNK):
            sums = times[first : first + _CHUNK].to(rows.dtype) @ rows  # (chunk, D)
            for place, one in enumerate(sums, start=first):
                for name, figure in run.derive(one).items():
                    if name not in totals:
                        totals[name] = torch.zeros(n_resamples, dtype=torch.float64)
                    totals[name][place] += figure
    return {name: total / len(runs) for name, total in totals.items()}
