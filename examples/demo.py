"""A corpus prepared, a model trained and scored, a table printed: ``python -m examples.demo``.

Each step is an ordinary command of the project. It is printed before it runs, so that it can be
repeated alone; its full output goes to a log.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

BIN = Path(sys.executable).parent
OUTPUTS = Path("outputs/demo")


@dataclass(frozen=True)
class Recipe:
    """What a corpus needs.

    Attributes:
        prepare: words after ``python -m data_prep.``, with {corpus} and {data} to be filled in.
        train: options of fairseq-train that belong to this corpus.
        updates: length of the training.
        audio_in_corpus: audio stays where the corpus is, so fairseq needs ``--data-raw``.
    """

    prepare: Sequence[str]
    train: str
    updates: int
    audio_in_corpus: bool = False


RECIPES = {
    "toy": Recipe(
        prepare=("toy {data}", "tokenize_text {data}", "extract_features {data}"),
        train="--modality text+speech --speech-input log_mel --batch-size 32 --lr 1e-3",
        updates=450,
    ),
    "meld": Recipe(
        prepare=("meld {corpus} {data}", "tokenize_text {data} --vocab-size 4000"),
        train="--modality text --batch-size 32 --lr 5e-4 --dropout 0.3",
        updates=1500,
    ),
    "ravdess": Recipe(
        prepare=("ravdess {corpus} {data}", "extract_features {data} --data-raw {corpus}"),
        train="--modality speech --speech-input log_mel --batch-size 32 --lr 1e-3",
        updates=1500,
        audio_in_corpus=True,
    ),
}

COMMON = """--arch robertaEMO_tiny --criterion emotion_classification --cpu --seed 1
    --optimizer adam --adam-betas (0.9,0.98) --clip-norm 1.0 --weight-decay 0.05
    --lr-scheduler polynomial_decay --warmup-updates 50
    --best-checkpoint-metric uar --maximize-best-checkpoint-metric
    --no-epoch-checkpoints --num-workers 0 --log-format json --log-interval 5"""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--corpus", choices=sorted(RECIPES), default="toy")
    parser.add_argument("--data", default="", help="folder of the corpus as its owners give it out")
    args = parser.parse_args()
    if args.corpus != "toy" and not Path(args.data or "/nonexistent").is_dir():
        parser.error(f"--corpus {args.corpus} needs --data FOLDER (make demo ... DATA=FOLDER)")
    run(RECIPES[args.corpus], args.corpus, args.data)


def run(recipe: Recipe, name: str, corpus: str) -> None:
    """Prepare, train, score, report."""
    started = time.monotonic()
    out = OUTPUTS / name
    data, checkpoints, log = out / "data", out / "checkpoints", out / "demo.log"
    out.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    for words in recipe.prepare:
        module, *options = (word.format(corpus=corpus, data=data) for word in words.split())
        step([sys.executable, "-m", f"data_prep.{module}", *options], log)
    where = ["--data", str(data), *(["--data-raw", corpus] if recipe.audio_in_corpus else [])]
    plugin = ["--user-dir", "emo_fairseq", "--task", "emotion_prediction"]
    updates = ["--max-update", str(recipe.updates), "--total-num-update", str(recipe.updates)]
    train = [BIN / "fairseq-train", *plugin, *where, *COMMON.split(), *recipe.train.split()]
    step([*train, *updates, "--save-dir", checkpoints], log, total=recipe.updates)
    best, predictions = checkpoints / "checkpoint_best.pt", out / "predictions.tsv"
    validate = [BIN / "fairseq-validate", *plugin, *where, "--path", best, "--cpu"]
    scored = ["--valid-subset", "test", "--batch-size", "32", "--save-predictions", predictions]
    step([*validate, *scored], log)
    report = [sys.executable, "-m", "emo_fairseq.report", predictions, "--title", name]
    subprocess.run(report, check=True)
    print(f"checkpoint:  {best}\nlog:         {log}\npredictions: {predictions}")
    print(f"time:        {time.monotonic() - started:.0f} s")


def step(command: Sequence[str | Path], log: Path, total: int | None = None) -> None:
    """Print a command and run it, its output to the log, with a progress line if it trains."""
    words = [str(word) for word in command]
    print("$", shlex.join([Path(words[0]).name, *words[1:]]), flush=True)
    with (
        log.open("a") as file,
        subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},  # or the progress line lags behind
        ) as process,
    ):
        progress = tqdm(total=total, unit="update", disable=total is None)
        for line in process.stdout or ():
            file.write(line)
            show(progress, line)
        progress.close()
    if process.returncode:
        tail = "".join(log.read_text().splitlines(keepends=True)[-15:])
        sys.exit(f"{tail}\nfailed with exit code {process.returncode}; the whole log: {log}")


def show(progress: tqdm, line: str) -> None:
    """Advance by what fairseq's JSON lines say: updates done, and UAR of the valid split."""
    _, brace, payload = line.partition("| {")
    if not brace:
        return
    entry = json.loads("{" + payload)
    done = entry.get("num_updates", entry.get("train_num_updates", entry.get("valid_num_updates")))
    if done is not None:
        progress.update(int(done) - progress.n)
    if "valid_uar" in entry:
        progress.set_postfix(uar=entry["valid_uar"], best=entry.get("valid_best_uar"))


if __name__ == "__main__":
    main()
