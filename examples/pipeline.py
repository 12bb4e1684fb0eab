"""Prepare, train, score: the project's commands in a row, as the demo and the benchmarks run them.

Each command is printed before it runs, so that it can be repeated alone; its output goes to a log.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

BIN = Path(sys.executable).parent
PLUGIN = ("--user-dir", "emo_fairseq", "--task", "emotion_prediction")
COMMON = (
    "--arch robertaEMO_tiny --cpu --optimizer adam --adam-betas (0.9,0.98) --clip-norm 1.0 "
    "--lr-scheduler polynomial_decay --warmup-updates 50 --maximize-best-checkpoint-metric "
    "--no-epoch-checkpoints --num-workers 0 --log-format json --log-interval 5"
)


@dataclass(frozen=True)
class Recipe:
    """How a corpus is prepared and what is trained on it.

    Attributes:
        prepare: commands after ``python -m data_prep.``.
        train: options of fairseq-train, the criterion among them. In these and in `prepare`
            {corpus}, {data}, {encoder} and {start} are filled in, see :class:`Paths`.
        updates: length of the training; the learning rate falls to 0 there.
        choose_by: metric of the valid split that chooses the checkpoint, larger is better.
        attends: the fusion attends to words and frames.
    """

    prepare: Sequence[str]
    train: str
    updates: int
    choose_by: str = "uar"
    attends: bool = False


@dataclass(frozen=True)
class Paths:
    """Where a recipe reads and writes.

    Attributes:
        corpus: its folder as its owners give it out.
        data: the data dir.
        run: folder of checkpoints, predictions and log.
        encoder: folder of a pretrained encoder, for recipes that have one.
        start: checkpoint of an earlier stage, for recipes that have one.
    """

    corpus: str
    data: Path
    run: Path
    encoder: str = ""
    start: str = ""

    def fill(self, options: str) -> list[str]:
        """Words of a command, each place filled in."""
        places = {name: getattr(self, name) for name in ("corpus", "data", "encoder", "start")}
        return [word.format(**places) for word in options.split()]

    @property
    def checkpoint(self) -> Path:
        """The one that the valid split chose."""
        return self.run / "checkpoints" / "checkpoint_best.pt"

    @property
    def predictions(self) -> Path:
        """Of the test split."""
        return self.run / "predictions.tsv"

    @property
    def log(self) -> Path:
        """The whole output of every command."""
        return self.run / "run.log"


def prepare(recipe: Recipe, paths: Paths) -> None:
    """Build the data dir; tokens and frames that are up to date are not made again."""
    for words in recipe.prepare:
        module, *options = paths.fill(words)
        run([sys.executable, "-m", f"data_prep.{module}", *options], paths.log)


def train(recipe: Recipe, paths: Paths, seed: int) -> None:
    """Train, with a progress line; an interrupted training goes on where it stopped."""
    updates = str(recipe.updates)
    options = [
        *COMMON.split(),
        *paths.fill(recipe.train),
        "--best-checkpoint-metric",
        recipe.choose_by,
    ]
    length = ["--max-update", updates, "--total-num-update", updates, "--seed", str(seed)]
    save_dir = ["--save-dir", str(paths.checkpoint.parent)]
    command = [
        str(BIN / "fairseq-train"),
        *PLUGIN,
        "--data",
        str(paths.data),
        *options,
        *length,
        *save_dir,
    ]
    _start_afresh_if_changed(paths, [str(Path(paths.corpus).resolve()), *command])
    run(command, paths.log, total=recipe.updates, metric=recipe.choose_by)


def _start_afresh_if_changed(paths: Paths, identity: Sequence[str]) -> None:
    """Remove a run's checkpoints if another corpus or command made them: they would be resumed."""
    stamp = paths.run / "command.txt"
    wanted = "\n".join(identity)
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(paths.checkpoint.parent, ignore_errors=True)
        paths.run.mkdir(parents=True, exist_ok=True)
        stamp.write_text(wanted)


def score(recipe: Recipe, paths: Paths, further: Sequence[str | Path] = ()) -> None:
    """Score the test split with the chosen checkpoint, and save its predictions.

    Args:
        recipe: what was trained.
        paths: where it is.
        further: options of fairseq-validate.
    """
    test = [
        "--path",
        str(paths.checkpoint),
        "--cpu",
        "--valid-subset",
        "test",
        "--batch-size",
        "32",
    ]
    save = ["--save-predictions", str(paths.predictions)]
    words = [*PLUGIN, "--data", str(paths.data), *test, *save, *further]
    run([str(BIN / "fairseq-validate"), *words], paths.log)


def run(
    command: Sequence[str | Path], log: Path, total: int | None = None, metric: str = ""
) -> None:
    """Print a command and run it, its output to the log; with a progress line if `total` is given.

    Exits with the end of the log if the command fails.
    """
    words = [str(word) for word in command]
    print("$", shlex.join([Path(words[0]).name, *words[1:]]), flush=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("a") as file,
        subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},  # or the progress line lags behind
        ) as process,
        tqdm(total=total, unit="update", disable=total is None) as progress,
    ):
        for line in process.stdout or ():
            file.write(line)
            _show(progress, line, metric)
    if process.returncode:
        tail = "\n".join(log.read_text().splitlines()[-15:])
        sys.exit(f"{tail}\nfailed with exit code {process.returncode}; the whole log: {log}")


def _show(progress: "tqdm[NoReturn]", line: str, metric: str) -> None:
    """Advance by what fairseq's JSON lines say: updates done, and the metric of the valid split."""
    _, mark, payload = line.partition('| {"')
    if not mark:
        return
    entry = json.loads('{"' + payload)
    done = entry.get("num_updates", entry.get("train_num_updates", entry.get("valid_num_updates")))
    if done is not None:
        progress.update(int(done) - progress.n)
    if f"valid_{metric}" in entry:
        best = entry.get(f"valid_best_{metric}", entry[f"valid_{metric}"])
        progress.set_postfix_str(
            f"valid {metric} {float(entry[f'valid_{metric}']):.3f}, best {best}"
        )
