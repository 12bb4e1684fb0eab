"""The results table of the README: ``python -m benchmarks.accuracy EXPERIMENT [--data FOLDER]``.

Runs an experiment with several seeds, each seed's training chosen on the valid split alone, and
prints mean ± standard deviation of the test figures. Finished seeds are not run again.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from examples import demo, pipeline
from examples.pipeline import Paths, Recipe

OUTPUTS = Path("outputs/benchmarks")
_TOY, _MELD = demo.RECIPES["toy"], demo.RECIPES["meld"]

# name: (recipe, figures to be printed)
EXPERIMENTS: dict[str, tuple[Recipe, Sequence[str]]] = {
    "toy_both": (_TOY, ("uar",)),
    "toy_text": (replace(_TOY, train=_TOY.train.replace("text+speech", "text")), ("uar",)),
    "toy_speech": (replace(_TOY, train=_TOY.train.replace("text+speech", "speech")), ("uar",)),
    "meld_emotion": (_MELD, ("weighted_f1", "weighted_f1_majority", "uar", "wa")),
    "meld_sentiment": (
        replace(_MELD, train=f"{_MELD.train} --target sentiment"),
        ("weighted_f1", "weighted_f1_majority", "uar", "wa"),
    ),
    "ravdess_speech": (demo.RECIPES["ravdess"], ("uar", "wa", "weighted_f1")),
    "emobank_vad": (
        Recipe(
            prepare=("emobank {corpus} {data}", "tokenize_text {data} --vocab-size 4000"),
            train="--modality text --target vad --criterion emotion_regression "
            "--regression-loss mse+ccc --batch-size 32 --lr 5e-4 --dropout 0.3 "
            "--weight-decay 0.05",
            updates=1250,
            choose_by="ccc",
        ),
        [
            f"{name}_{axis}"
            for name in ("pearson", "ccc")
            for axis in ("valence", "arousal", "dominance")
        ],
    ),
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("experiment", choices=sorted(EXPERIMENTS))
    parser.add_argument("--data", default="", help="folder of the corpus as its owners give it out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    recipe, figures = EXPERIMENTS[args.experiment]
    data = OUTPUTS / args.experiment.split("_")[0] / "data"
    runs = [OUTPUTS / args.experiment / f"seed{seed}" for seed in args.seeds]
    for seed, run in zip(args.seeds, runs, strict=True):
        paths = Paths(corpus=args.data, data=data, run=run)
        if not (run / "metrics.json").exists():
            pipeline.prepare(recipe, paths)
            pipeline.train(recipe, paths, seed)
            pipeline.score(recipe, paths)
            subprocess.run(
                [sys.executable, "-m", "emo_fairseq.report", paths.predictions], check=True
            )
    measured = [json.loads((run / "metrics.json").read_text())["test"] for run in runs]
    print(f"{args.experiment}, {len(runs)} seeds: mean ± standard deviation")
    for name in figures:
        values = [float("nan") if seed[name] is None else seed[name] for seed in measured]
        spread = statistics.stdev(values) if len(values) > 1 else float("nan")
        print(f"  {name:24s} {statistics.mean(values):.4f} ± {spread:.4f}")


if __name__ == "__main__":
    main()
