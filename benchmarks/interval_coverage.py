"""Coverage of "95 %" intervals over speakers: ``python -m benchmarks.interval_coverage``.

Draws speakers from a population whose metrics are known, and counts how often each method's
interval holds the population's metric, and how often a paired test of two equally good systems has
p < .05. Prints the tables of docs/explanation/statistics.md. The method in use is called through
:mod:`emo_fairseq.evaluation.bootstrap`; the others are here alone.

Speakers, independent of each other:

    utterances      60 exp(sigma z), within 5 and 600; sigma 0 ("equal"), .5 ("unequal") or 1.2
                    ("very unequal"); all z, here and below, are standard normal
    classes         four, shares drawn from Dirichlet(10 (.31, .30, .20, .19))
    recall          logit(.65) + .4 z_speaker + .4 z_class; errors spread by Dirichlet(2, 2, 2)
    truth           .5 + .05 z_speaker + .15 z
    prediction      .5 + (.6 + .15 z_speaker) (truth - .5) + .06 z_speaker + .1 z

UAR of single speakers then has a standard deviation of .13, CCC one of .14. "outliers" have a
typical recall of .8, but for one speaker in eight at .25, chance. Of two systems z_speaker of the
recall is shared, all else but the truth is drawn for each.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from emo_fairseq.evaluation.bootstrap import Speakers, p_value, speaker_interval, t_test

SPEAKERS = (2, 3, 4, 6, 8, 12, 24)
N_CLASSES = 4
SHARES = np.array([0.31, 0.30, 0.20, 0.19])
SPREADS = {"equal": 0.0, "unequal": 0.5, "very unequal": 1.2}
IN_USE = "jackknife, t, effective speakers"
_N_RESAMPLES = 400
_CHUNK = 100  # draws whose resamples are in memory

Array = np.ndarray


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interval_coverage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--draws", type=int, default=1000, help="a cell (default: %(default)s)")
    args = parser.parse_args()
    for name, spread in SPREADS.items():
        _print_table(f"Coverage, {name} numbers of utterances", _coverage(spread, args.draws))
    _print_table("Coverage, outliers, unequal", _coverage(0.5, args.draws, outliers=0.125))
    for name, spread in SPREADS.items():
        _print_table(f"Type-1 error at .05, {name}", _false_alarms(spread, args.draws))


# -- populations -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Population:
    """Speakers of one kind of target.

    Attributes:
        draw: generator, (D, S), sigma, number of systems -> (systems, D, S, statistics).
        metrics: statistics (..., statistics) -> (..., metrics).
        names: of the metrics, as written.
        keys: of the metrics, as the product has them.
        size: statistics of a speaker -> utterances.
    """

    draw: Callable[[np.random.Generator, tuple[int, ...], float, int], Array]
    metrics: Callable[[Array], Array]
    names: tuple[str, ...]
    keys: tuple[str, ...]
    size: Callable[[Array], Array]


def _sizes(draw: np.random.Generator, shape: tuple[int, ...], spread: float) -> Array:
    return np.clip(np.rint(60 * np.exp(spread * draw.standard_normal(shape))), 5, 600).astype(int)


def draw_labels(
    draw: np.random.Generator,
    shape: tuple[int, ...],
    spread: float,
    n_systems: int = 1,
    outliers: float = 0.0,
) -> Array:
    """Return the confusions (systems, *shape, C * C) of speakers."""
    n = _sizes(draw, shape, spread)
    shares = draw.gamma(10 * SHARES, size=(*shape, N_CLASSES))
    truth = draw.multinomial(n, shares / shares.sum(axis=-1, keepdims=True))
    of_speaker = 0.4 * draw.standard_normal(shape)[..., None]
    is_outlier = draw.random(shape)[..., None] < outliers
    confusions, diagonal = [], np.arange(N_CLASSES)
    typical = 0.8 if outliers else 0.65
    for _ in range(n_systems):
        own = 0.4 * draw.standard_normal((*shape, N_CLASSES))
        recall = np.where(is_outlier, 0.25, expit(logit(typical) + of_speaker + own))
        cells = draw.gamma(2.0, size=(*shape, N_CLASSES, N_CLASSES))
        cells[..., diagonal, diagonal] = 0.0
        cells *= ((1 - recall) / cells.sum(axis=-1))[..., None]
        cells[..., diagonal, diagonal] = recall
        confusions.append(draw.multinomial(truth, cells).reshape(*shape, -1))
    return np.stack(confusions).astype(float)


def label_metrics(sums: Array) -> Array:
    """Return UAR, WA and weighted F1 of confusions (..., C * C)."""
    counts = sums.reshape(*sums.shape[:-1], N_CLASSES, N_CLASSES)
    true, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        uar = np.nanmean(right / true, axis=-1)
        f1 = np.nan_to_num(2 * right / (true + predicted))
    total = true.sum(axis=-1)
    return np.stack([uar, right.sum(axis=-1) / total, (true * f1).sum(axis=-1) / total], axis=-1)


def draw_numbers(
    draw: np.random.Generator, shape: tuple[int, ...], spread: float, n_systems: int = 1
) -> Array:
    """Return n, Σx, Σy, Σx², Σy², Σxy of speakers, (systems, *shape, 6)."""
    if shape[0] > _CHUNK:  # which bounds the utterances in memory
        starts = range(0, shape[0], _CHUNK)
        parts = [(min(_CHUNK, shape[0] - start), *shape[1:]) for start in starts]
        return np.concatenate([draw_numbers(draw, p, spread, n_systems) for p in parts], axis=1)
    n = _sizes(draw, shape, spread)
    counted = np.arange(n.max()) < n[..., None]
    mean = 0.5 + 0.05 * draw.standard_normal((*shape, 1))
    x = mean + 0.15 * draw.standard_normal(counted.shape)
    moments = []
    for _ in range(n_systems):
        slope = 0.6 + 0.15 * draw.standard_normal((*shape, 1))
        shift = 0.06 * draw.standard_normal((*shape, 1))
        y = 0.5 + slope * (x - 0.5) + shift + 0.1 * draw.standard_normal(counted.shape)
        terms = (np.ones_like(x), x, y, x * x, y * y, x * y)
        moments.append(np.stack([(term * counted).sum(axis=-1) for term in terms], axis=-1))
    return np.stack(moments)


def number_metrics(sums: Array) -> Array:
    """Return CCC and Pearson's r of (..., 6) sums."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    bias, covariance = (x - y) / n, xy / n - x * y / n**2
    variances = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
    ccc = 2 * covariance / (sum(variances) + bias**2)
    return np.stack([ccc, covariance / np.sqrt(variances[0] * variances[1])], axis=-1)


LABELS = Population(
    draw_labels,
    label_metrics,
    ("UAR", "WA", "weighted F1"),
    ("uar", "wa", "weighted_f1"),
    lambda sums: sums.sum(axis=-1),
)
NUMBERS = Population(
    draw_numbers, number_metrics, ("CCC", "Pearson"), ("ccc", "pearson"), lambda sums: sums[..., 0]
)


def _with_outliers(share: float) -> Population:
    def draw(
        draw: np.random.Generator, shape: tuple[int, ...], spread: float, n_systems: int = 1
    ) -> Array:
        return draw_labels(draw, shape, spread, n_systems, share)

    return replace(LABELS, draw=draw)


def true_metrics(population: Population, spread: float) -> Array:
    """Return the metrics of 80,000 speakers."""
    draw = np.random.default_rng(99)
    sums = [population.draw(draw, (4000,), spread, 1)[0].sum(axis=0) for _ in range(20)]
    return population.metrics(np.sum(sums, axis=0))


# -- methods ---------------------------------------------------------------------------------------


def left_out_metrics(population: Population, rows: Array) -> Array:
    """(D, S, statistics) -> (D, S, metrics), without each speaker."""
    return population.metrics(rows.sum(axis=1, keepdims=True) - rows)


def resampled_metrics(population: Population, rows: Array, draw: np.random.Generator) -> Array:
    """(D, S, statistics) -> (D, R, metrics), of speakers drawn with replacement."""
    n = rows.shape[1]
    metrics = []
    for first in range(0, len(rows), _CHUNK):
        part = rows[first : first + _CHUNK]
        weights = draw.multinomial(n, np.full(n, 1 / n), size=(len(part), _N_RESAMPLES))
        metrics.append(population.metrics(weights.astype(float) @ part))
    return np.concatenate(metrics)


def in_use(name: str, metric: Array, left_out: Array, sizes: Array) -> Array:
    """Return (D, 2) ends by the method in use; NaN where it refuses.

    Args:
        name: of the metric.
        metric: (D,).
        left_out: (D, S), without each speaker.
        sizes: (D, S), utterances.
    """
    ends = np.full((len(metric), 2), np.nan)
    for row, speakers in enumerate(_speakers(sizes)):
        if not speakers.refusal:
            without = left_out[row]
            ends[row] = speaker_interval(name, float(metric[row]), without, speakers.effective)
    return ends


def _speakers(sizes: Array) -> Iterator[Speakers]:
    for of_draw in sizes.astype(int):
        yield Speakers(np.repeat(np.arange(len(of_draw)), of_draw))


def _others(metric: Array, left_out: Array, drawn: Array) -> Iterator[tuple[str, Array]]:
    """The ends of the methods that are not in use, (D, 2) each.

    Args:
        metric: (D,).
        left_out: (D, S), without each speaker.
        drawn: (D, R), in resamples of the speakers.
    """
    n = left_out.shape[1]
    yield "percentile bootstrap", np.nanquantile(drawn, [0.025, 0.975], axis=1).T
    # BCa: Efron 1987, acceleration by the jackknife.
    below = (drawn < metric[:, None]).mean(axis=1) + (drawn == metric[:, None]).mean(axis=1) / 2
    bias = stats.norm.ppf(below.clip(1e-4, 1 - 1e-4))
    apart = left_out.mean(axis=1, keepdims=True) - left_out
    with np.errstate(invalid="ignore", divide="ignore"):
        skew = np.nan_to_num((apart**3).sum(axis=1) / (6 * (apart**2).sum(axis=1) ** 1.5))
    quantiles = [
        stats.norm.cdf(bias + (bias + z) / (1 - skew * (bias + z)))
        for z in stats.norm.ppf([0.025, 0.975])
    ]
    cuts = np.clip(np.stack(quantiles, axis=1), 0, 1)
    pairs = zip(drawn, cuts, strict=True)
    yield "BCa bootstrap", np.array([np.nanquantile(x, ends) for x, ends in pairs])
    error = np.sqrt((n - 1) / n * (apart**2).sum(axis=1))
    half = stats.t.ppf(0.975, n - 1) * error
    pseudo = n * metric - (n - 1) * left_out.mean(axis=1)
    yield "pseudo-values, t, S - 1", np.stack([pseudo - half, pseudo + half], axis=1)
    yield "jackknife, t, S - 1", np.stack([metric - half, metric + half], axis=1)


# -- tables ----------------------------------------------------------------------------------------

Cells = dict[tuple[str, str], dict[int, str]]  # metric, method -> speakers -> cell


def _coverage(spread: float, n_draws: int, outliers: float = 0.0) -> Cells:
    cells: Cells = {}
    for population in (_with_outliers(outliers),) if outliers else (LABELS, NUMBERS):
        truth = true_metrics(population, spread)
        for n in SPEAKERS:
            draw = np.random.default_rng(n)
            (rows,) = population.draw(draw, (n_draws, n), spread, 1)
            metrics = population.metrics(rows.sum(axis=1))
            left_out = left_out_metrics(population, rows)
            drawn = resampled_metrics(population, rows, draw)
            for k, name in enumerate(population.names):
                ends = dict(_others(metrics[:, k], left_out[..., k], drawn[..., k]))
                ends[IN_USE] = in_use(
                    population.keys[k], metrics[:, k], left_out[..., k], population.size(rows)
                )
                for method, (low, high) in ((m, x.T) for m, x in ends.items()):
                    given = ~np.isnan(low)
                    holds = (low <= truth[k]) & (truth[k] <= high)
                    cells.setdefault((name, method), {})[n] = _cell(holds[given], given)
                widths = np.diff(ends[IN_USE], axis=1)[given]
                cells.setdefault((name, "its mean width"), {})[n] = _cell(widths, given)
    return cells


def _false_alarms(spread: float, n_draws: int) -> Cells:
    cells: Cells = {}
    for population in (LABELS, NUMBERS):
        for n in SPEAKERS:
            draw = np.random.default_rng(n)
            pair = population.draw(draw, (n_draws, n), spread, 2)
            one, two = (population.metrics(rows.sum(axis=1)) for rows in pair)
            left_out = np.subtract(*(left_out_metrics(population, rows) for rows in pair))
            state = draw.bit_generator.state
            drawn = []
            for rows in pair:  # in the same resamples
                draw.bit_generator.state = state
                drawn.append(resampled_metrics(population, rows, draw))
            resampled = np.subtract(*drawn)
            for k, name in enumerate(population.names):
                boot = [p_value(x) for x in resampled[..., k]]
                cells.setdefault((name, "bootstrap over speakers"), {})[n] = _alarms(boot)
                difference = one[:, k] - two[:, k]
                tests = [
                    math.nan if speakers.refusal else t_test(float(x), without, speakers.effective)
                    for x, without, speakers in zip(
                        difference,
                        left_out[..., k],
                        _speakers(population.size(pair[0])),
                        strict=True,
                    )
                ]
                cells.setdefault((name, IN_USE), {})[n] = _alarms(tests)
    return cells


def _alarms(p_values: list[float]) -> str:
    p = np.array(p_values)
    given = ~np.isnan(p)
    return _cell(p[given] < 0.05, given)


def _cell(values: Array, given: Array) -> str:
    """The mean over the draws in which there was an interval, and in how many there was none."""
    if not given.any():
        return "–"
    value, refused = float(values.mean()), 1 - given.mean()
    return f"{value:.3f}"[1 if value < 1 else 0 :] + (f" ({refused:.0%} –)" if refused else "")


def _print_table(title: str, cells: Cells) -> None:
    print(f"**{title}**\n")
    print(f"| metric | method | {' | '.join(map(str, SPEAKERS))} |")
    print(f"|{'---|' * (len(SPEAKERS) + 2)}")
    for (metric, method), row in cells.items():
        print(f"| {metric} | {method} | {' | '.join(row[n] for n in SPEAKERS)} |")
    print(flush=True)


if __name__ == "__main__":
    main()
