"""A corpus prepared, a model trained and scored, a report written: ``python -m examples.demo``."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from data_prep.schema import read_manifest
from examples import pipeline
from examples.pipeline import Paths, Recipe

OUTPUTS = Path("outputs/demo")
N_ATTENDED = 2  # utterances whose attention the report shows
RECIPES = {
    "toy": Recipe(
        prepare=(
            "toy {data}",
            "tokenize_text {data}",
            "extract_features {data}",
            "fit_prototypes {data}",
        ),
        train="--modality text+speech --speech-input log_mel --criterion emotion_classification "
        "--batch-size 32 --lr 1e-3 --weight-decay 0.05",
        updates=450,
        attends=True,
    ),
    "meld": Recipe(
        prepare=("meld {corpus} {data}", "tokenize_text {data} --vocab-size 4000"),
        train="--modality text --criterion emotion_classification "
        "--batch-size 32 --lr 5e-4 --dropout 0.3 --weight-decay 0.05",
        updates=1250,
        choose_by="weighted_f1",
    ),
    "ravdess": Recipe(
        prepare=("ravdess {corpus} {data}", "extract_features {data}"),
        train="--modality speech --speech-input log_mel --criterion emotion_classification "
        "--batch-size 32 --lr 1e-3 --dropout 0.2 --weight-decay 0.05",
        updates=1500,
    ),
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--corpus", choices=sorted(RECIPES), default="toy")
    parser.add_argument("--data", default="", help="folder of the corpus as its owners give it out")
    args = parser.parse_args()
    if args.corpus != "toy" and not (args.data and Path(args.data).is_dir()):
        parser.error(f"{args.corpus} needs its folder: make demo CORPUS={args.corpus} DATA=FOLDER")
    started = time.monotonic()
    recipe, run = RECIPES[args.corpus], OUTPUTS / args.corpus
    paths = Paths(corpus=args.data, data=run / "data", run=run)
    pipeline.prepare(recipe, paths)
    pipeline.train(recipe, paths, seed=1)
    embeddings, attention = run / "embeddings.npz", run / "attention.npz"
    save = ["--save-embeddings", embeddings]
    known = ["--data", paths.data, "--log", paths.log, "--embeddings", embeddings]
    if recipe.attends:
        ids = ",".join(row.id for row in read_manifest(paths.data / "test.tsv")[:N_ATTENDED])
        save += ["--save-attention", attention, "--attention-ids", ids]
        known += ["--attention", attention]
    pipeline.score(recipe, paths, save)
    report = [sys.executable, "-m", "emo_fairseq.report", paths.predictions, "--title", args.corpus]
    subprocess.run([*report, *known, "--output", run / "report"], check=True)
    print(f"checkpoint:  {paths.checkpoint}")
    print(f"log:         {paths.log}")
    print(f"predictions: {paths.predictions}")
    print(f"time:        {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
