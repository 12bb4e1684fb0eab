"""Soft labels against majority labels: ``python -m benchmarks.soft_labels [--seeds 1 2 3]``.

Trains a small model of text on the toy corpus with simulated annotators: on the majority label, on
the majority label with label smoothing, and on the votes. The first two leave out rows without a
majority. The checkpoint of each is the one with the largest UAR on the valid split. All are scored
on the same rows of the test split: those with votes for the metrics of votes, those with a majority
label for the others. Prints mean ± standard deviation over seeds, and the difference between each
two with a paired bootstrap interval over utterances, and its p-value corrected (Holm) for all
tests; intervals do not contain the variance over seeds. Finished runs are not run again.
"""

import argparse
import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep.schema import read_corpus
from emo_fairseq.evaluation.bootstrap import (
    NOT_SEEDS,
    bootstrap,
    p_value,
    percentile_interval,
)
from emo_fairseq.evaluation.names import display_name
from emo_fairseq.evaluation.significance import holm
from emo_fairseq.evaluation.statistics import Statistics, read_predictions
from examples import pipeline
from examples.pipeline import Paths, Recipe

OUTPUTS = Path("outputs/benchmarks/soft_labels")
METRICS = ("votes_ce", "votes_jsd", "votes_ece", "ece", "nll", "uar", "macro_f1")
_PREPARE = (
    "toy {data} --annotators 5 --no-audio --n-train 800 --n-valid 200 --n-test 1200",
    "tokenize_text {data}",
)
_TRAIN = (
    "--modality text --criterion emotion_classification --batch-size 32 --lr 1e-3 "
    "--weight-decay 0.05 --validate-interval 2 --save-interval 2 "
)
SYSTEMS = {
    "majority": _TRAIN + "--target emotion",
    "smoothed": _TRAIN + "--target emotion --label-smoothing 0.2",
    "votes": _TRAIN + "--target emotion_distribution",
}
# A model of labels is scored against votes, too: both have a probability for each label.
_AGAINST_VOTES = ("--target", "emotion_distribution")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soft_labels", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--updates", type=int, default=200)
    args = parser.parse_args()
    results = {name: _run(name, args.seeds, args.updates) for name in SYSTEMS}
    first = next(iter(results.values()))[0]
    n_agreed, n_rows = int(first.metrics()["n_agreed"]), len(first.rows)
    print(f"test: {n_rows} rows with votes, {n_agreed} of them with a majority label")
    for note in read_corpus(OUTPUTS / "data").notes:
        print(f"  {note}")
    pairs = [*itertools.combinations(results, 2)]  # a system, and one that it is compared with
    differences = {pair: _difference(results[pair[1]], results[pair[0]]) for pair in pairs}
    keys = [(pair, key) for pair in pairs for key in METRICS]
    corrected = holm([p_value(differences[pair][key]) for pair, key in keys])
    p_holm = dict(zip(keys, corrected, strict=True))
    for name, runs in results.items():
        print(f"{name}, {len(runs)} seeds, {args.updates} updates")
        for key in METRICS:
            values = [run.metrics()[key] for run in runs]
            spread = statistics.stdev(values) if len(values) > 1 else float("nan")
            print(f"  {display_name(key):32s} {statistics.fmean(values):.4f} ± {spread:.4f}")
    for pair in pairs:
        other, name = pair
        print(f"{name} - {other}")
        for key in METRICS:
            value = _mean(results[name], key) - _mean(results[other], key)
            low, high = percentile_interval(differences[pair][key])
            ends = f"{value:+.4f} ({low:+.4f} to {high:+.4f})"
            print(f"  {display_name(key):32s} {ends}, Holm {p_holm[pair, key]:.3f}")
    print(f"  {NOT_SEEDS}")


def _mean(runs: Sequence[Statistics], key: str) -> float:
    return statistics.fmean(run.metrics()[key] for run in runs)


def _difference(runs: Sequence[Statistics], others: Sequence[Statistics]) -> dict[str, np.ndarray]:
    """Return the difference of each metric in the same resamples of the utterances, (R,)."""
    ours, theirs = (bootstrap([x.rows for x in of], of[0].derive) for of in (runs, others))
    return {key: ours[key] - theirs[key] for key in METRICS}


def _run(name: str, seeds: Sequence[int], updates: int) -> list[Statistics]:
    """Return the statistics of the test split's utterances, one a seed."""
    recipe = Recipe(prepare=_PREPARE, train=SYSTEMS[name], updates=updates)
    runs = []
    for seed in seeds:
        paths = Paths("", OUTPUTS / "data", OUTPUTS / name / f"seed{seed}")
        if not paths.predictions.exists():
            if not (paths.data / "text").exists():
                pipeline.prepare(recipe, paths)
            pipeline.train(recipe, paths, seed)
            pipeline.score(recipe, paths, _AGAINST_VOTES)
        runs.append(read_predictions(paths.predictions)["test"].statistics())
    return runs


if __name__ == "__main__":
    main()
