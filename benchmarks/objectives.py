"""What objectives do for new speakers: ``python -m benchmarks.objectives [--seeds 1 2 3 4 5]``.

Trains every objective of the table on the toy corpus, with few utterances and for a short time, so
that there is something left to gain; the checkpoint is chosen on the valid split. Speakers of the
splits differ. Prints the UAR of the test split: mean ± standard deviation over seeds, a bootstrap
interval of the mean over utterances, and the difference to cross-entropy with a paired
bootstrap test over the same utterances, and its p-value corrected (Holm) for all tests of the
table. Intervals do not contain the variance over seeds. Finished runs are not run again.
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emo_fairseq.evaluation.bootstrap import (
    NOT_SEEDS,
    bootstrap,
    p_value,
    percentile_interval,
)
from emo_fairseq.evaluation.significance import holm
from emo_fairseq.evaluation.statistics import Statistics, read_predictions
from examples import pipeline
from examples.pipeline import Paths, Recipe

OUTPUTS = Path("outputs/benchmarks/objectives")
BASELINE = "cross_entropy"
TEACHER = "teacher"  # of text and speech; it is no competitor of its students
_PREPARE = (
    "toy {data} --n-train 160 --n-valid 120 --n-test 480 --speakers 8 4 12",
    "tokenize_text {data}",
    "extract_features {data}",
    "fit_prototypes {data}",
)
_TRAIN = (  # five updates are an epoch here
    "--speech-input log_mel --batch-size 32 --lr 1e-3 --weight-decay 0.05 "
    "--validate-interval 5 --save-interval 5 "
)
_BOTH, _SPEECH = "--modality text+speech " + _TRAIN, "--modality speech " + _TRAIN
_SUPCON = _BOTH + "--criterion emotion_supcon --supcon-weighting "
_STUDENT = _SPEECH + "--criterion emotion_distillation --teacher-checkpoint {start} "

# table: objective: options; the first of each table is what the others are compared with
TABLES: dict[str, dict[str, str]] = {
    "contrastive": {
        BASELINE: _BOTH + "--criterion emotion_classification",
        "supcon": _SUPCON + "supervised",
        "supcon_v1": _SUPCON + "v1",
        "supcon_v2": _SUPCON + "v2",
        "supcon_v3": _SUPCON + "v3",
    },
    "distillation": {
        "student_alone": _SPEECH + "--criterion emotion_classification",
        "student_kd": _STUDENT + "--distillation kd",
        "student_dist": _STUDENT + "--distillation dist --distillation-temperature 1",
    },
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.objectives", description=__doc__)
    parser.add_argument("table", choices=sorted(TABLES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--updates", type=int, default=200)
    args = parser.parse_args()
    table = TABLES[args.table]
    results = {name: _run(name, table[name], args.seeds, args.updates) for name in table}
    baseline = next(iter(table))
    print(f"{args.table}: test UAR, {len(args.seeds)} seeds, {args.updates} updates")
    print(f"  {baseline:16s} {_summary(results[baseline])}")
    others = {name: runs for name, runs in results.items() if name != baseline}
    against = [_against(results[baseline], runs) for runs in others.values()]
    corrected = holm([difference.p for difference in against])
    for (name, runs), difference, p_holm in zip(others.items(), against, corrected, strict=True):
        ends = f"{difference.low:+.4f} to {difference.high:+.4f}"
        print(
            f"  {name:16s} {_summary(runs)}  difference {difference.value:+.4f} ({ends}), "
            f"p {difference.p:.3f}, Holm {p_holm:.3f}"
        )
    print(f"  {NOT_SEEDS}")


def _run(name: str, options: str, seeds: Sequence[int], updates: int) -> list[Statistics]:
    """Return the statistics of the test split's utterances, one a seed."""
    recipe = Recipe(prepare=_PREPARE, train=options, updates=updates)
    runs = []
    for seed in seeds:
        start = ""
        if "{start}" in options:
            teacher = replace(recipe, train=TABLES["contrastive"][BASELINE])
            start = str(_trained(TEACHER, teacher, seed, "").checkpoint)
        file = _trained(name, recipe, seed, start).predictions
        runs.append(read_predictions(file)["test"].statistics())
    return runs


def _trained(name: str, recipe: Recipe, seed: int, start: str) -> Paths:
    paths = Paths("", OUTPUTS / "data", OUTPUTS / name / f"seed{seed}", start=start)
    if not paths.predictions.exists():
        if not (paths.data / "prototypes.json").exists():
            pipeline.prepare(recipe, paths)
        pipeline.train(recipe, paths, seed)
        pipeline.score(recipe, paths)
    return paths


def _resampled(runs: Sequence[Statistics]) -> np.ndarray:
    """Return the UAR in resamples of the utterances, the mean over runs, (R,)."""
    return bootstrap([run.rows for run in runs], runs[0].derive)["uar"]


def _summary(runs: Sequence[Statistics]) -> str:
    values = [run.metrics()["uar"] for run in runs]
    spread = statistics.stdev(values) if len(values) > 1 else float("nan")
    low, high = percentile_interval(_resampled(runs))
    return f"{statistics.fmean(values):.4f} ± {spread:.4f}, 95% {low:.4f} to {high:.4f}"


class _Difference(NamedTuple):
    """To the baseline, on the same utterances."""

    value: float
    low: float
    high: float
    p: float


def _against(baseline: Sequence[Statistics], runs: Sequence[Statistics]) -> _Difference:
    drawn = _resampled(runs) - _resampled(baseline)
    means = [statistics.fmean(run.metrics()["uar"] for run in of) for of in (runs, baseline)]
    return _Difference(means[0] - means[1], *percentile_interval(drawn), p_value(drawn))


if __name__ == "__main__":
    main()
