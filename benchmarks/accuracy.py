"""The tables of docs/results.md: ``python -m benchmarks.accuracy EXPERIMENT [--data FOLDER]``.

Experiments whose name ends in `_pretrained` need ``--encoder``, a folder of a Hugging Face model;
those that end in `_staged` also ``--start``, a folder of finished runs (``seed1`` and so on) whose
checkpoints they start from, each from that of its own seed.

Runs an experiment with several seeds, each seed's training chosen on the valid split alone, and
prints mean ± standard deviation of the test metrics. Finished seeds are not run again.
"""

import argparse
import json
import logging
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from emo_fairseq.models.fusions import FUSIONS
from examples import demo, pipeline
from examples.pipeline import Paths, Recipe

OUTPUTS = Path("outputs/benchmarks")
_TOY, _MELD = demo.RECIPES["toy"], demo.RECIPES["meld"]
_FINE_TUNED = (
    "--modality text --arch robertaEMO --text-encoder hf:{encoder} --text-pooling mean "
    "--optimizer emotion_adamw --adam-betas (0.9,0.999) --batch-size 32 --weight-decay 0.01 "
)
_MELD_FINE_TUNED = Recipe(
    prepare=("meld {corpus} {data}", "tokenize_text {data} --bpe hf:{encoder}"),
    train=_FINE_TUNED + "--criterion emotion_classification --lr 5e-5 --warmup-updates 94",
    updates=939,  # three epochs
    choose_by="weighted_f1",
)
_LABEL_METRICS = ("weighted_f1", "weighted_f1_majority", "uar", "wa")
_VAD_METRICS = tuple(
    f"{name}_{axis}" for name in ("pearson", "ccc") for axis in ("valence", "arousal", "dominance")
)

# name: (recipe, metrics to be printed)
EXPERIMENTS: dict[str, tuple[Recipe, Sequence[str]]] = {
    "toy_both": (_TOY, ("uar",)),
    "toy_text": (
        replace(_TOY, train=_TOY.train.replace("text+speech --speech-input log_mel", "text")),
        ("uar",),
    ),
    "toy_speech": (replace(_TOY, train=_TOY.train.replace("text+speech", "speech")), ("uar",)),
    **{
        f"toy_{fusion}": (replace(_TOY, train=f"{_TOY.train} --fusion {fusion}"), ("uar",))
        for fusion in FUSIONS
    },
    "meld_emotion": (_MELD, _LABEL_METRICS),
    "meld_sentiment": (
        replace(_MELD, train=f"{_MELD.train} --target sentiment"),
        _LABEL_METRICS,
    ),
    "meld_emotion_pretrained": (_MELD_FINE_TUNED, _LABEL_METRICS),
    "meld_sentiment_pretrained": (
        replace(_MELD_FINE_TUNED, train=f"{_MELD_FINE_TUNED.train} --target sentiment"),
        _LABEL_METRICS,
    ),
    "meld_emotion_context_pretrained_staged": (
        replace(
            _MELD_FINE_TUNED,
            train=f"{_MELD_FINE_TUNED.train} --lr 2e-5 --init-from {{start}} --bf16 "
            "--fp16-no-flatten-grads --context-past 8 --context-future 8 --context-speakers "
            "--max-text-tokens 64",
            updates=626,
        ),
        _LABEL_METRICS,
    ),
    **{
        f"ravdess{fold}_features_pretrained": (
            Recipe(
                prepare=(
                    f"ravdess {{corpus}} {{data}} --fold {fold}",
                    "extract_features {data} --encoder hf:{encoder} --layer 3 --name encoder",
                ),
                train="--modality speech --speech-encoder features:encoder "
                "--speech-pooling attention --speech-embed-dim 384 --dropout 0.5 "
                "--pooler-dropout 0.5 --criterion emotion_classification --label-smoothing 0.1 "
                "--optimizer emotion_adamw --adam-betas (0.9,0.999) --batch-size 32 --lr 5e-4 "
                "--weight-decay 0.05 --warmup-updates 30",
                updates=300,
            ),
            ("uar", "wa"),
        )
        for fold in range(5)
    },
    "emobank_vad_pretrained": (
        Recipe(
            prepare=("emobank {corpus} {data}", "tokenize_text {data} --bpe hf:{encoder}"),
            train=_FINE_TUNED + "--target vad --criterion emotion_regression "
            "--regression-loss mse+ccc --lr 5e-5 --warmup-updates 94",
            updates=939,
            choose_by="ccc",
        ),
        _VAD_METRICS,
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
        _VAD_METRICS,
    ),
}


def main() -> None:
    """Run the command line."""
    logging.getLogger().setLevel(logging.WARNING)  # fairseq sets DEBUG on import
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("experiment", choices=sorted(EXPERIMENTS))
    parser.add_argument("--data", default="", help="folder of the corpus as its owners give it out")
    parser.add_argument("--encoder", default="", help="folder of a Hugging Face model")
    parser.add_argument("--start", default="", help="folder of the runs of an earlier stage")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    recipe, metrics = EXPERIMENTS[args.experiment]
    words = Path(args.encoder).name  # data dirs of other tokenizers, and runs of other encoders
    data = OUTPUTS / args.experiment.split("_")[0] / words / "data"
    runs = [OUTPUTS / args.experiment / words / f"seed{seed}" for seed in args.seeds]
    for seed, run in zip(args.seeds, runs, strict=True):
        start = Paths("", data, Path(args.start) / run.name).checkpoint
        paths = Paths(args.data, data, run, args.encoder, str(start))
        if not (run / "metrics.json").exists():
            pipeline.prepare(recipe, paths)
            pipeline.train(recipe, paths, seed)
            pipeline.score(recipe, paths)
            subprocess.run(
                [sys.executable, "-m", "emo_fairseq.report", paths.predictions], check=True
            )
    measured = [json.loads((run / "metrics.json").read_text())["test"] for run in runs]
    print(f"{args.experiment}, {len(runs)} seeds: mean ± standard deviation")
    for name in metrics:
        values = [float("nan") if seed[name] is None else seed[name] for seed in measured]
        spread = statistics.stdev(values) if len(values) > 1 else float("nan")
        print(f"  {name:24s} {statistics.mean(values):.4f} ± {spread:.4f}")


if __name__ == "__main__":
    main()
