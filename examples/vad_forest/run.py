"""From a prepared corpus to the table: ``python -m examples.vad_forest.run --data data/toy_vad``.

Trains the regressor on the folds of the train split and on all of it, fits the forest on the
predictions of the folds' test sets, and compares it with the upper bound (and with zero-shot
entailment). Each command is printed before it runs. Started again, it resumes.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
PROTOCOL = "k_fold"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    args = _parser().parse_intermixed_args(arguments)
    for module, words in commands(args):
        print("$", shlex.join(["python", "-m", module, *words]), flush=True)
        done = subprocess.run([sys.executable, "-m", module, *words], check=False)
        if done.returncode:
            return done.returncode
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.vad_forest.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, default=Path("data/toy_vad"), help="default: %(default)s")
    add("--config", default="toy", help="a YAML file of config/ (default: %(default)s)")
    add("--runs", type=Path, default=Path("runs/vad_forest"), help="default: %(default)s")
    add("--split", default="test", help="that is tested (default: %(default)s)")
    add("--n-folds", type=int, default=5, help="of the train split (default: %(default)s)")
    add("--jobs", type=int, default=1, help="trainings at a time (default: %(default)s)")
    add("--nli", default="", help="hf:FOLDER or fairseq:CHECKPOINT, for the zero-shot row")
    add("--nli-labels", default="", help="names of a fairseq checkpoint's labels, in its order")
    add("overrides", nargs="*", metavar="OPTION=VALUE", help="Hydra's, for the regressor")
    return parser


def commands(args: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """Yield modules and their options, one command after the other."""
    data, runs = str(args.data), args.runs
    forest = "emo_fairseq.vad_to_emotion"
    yield (
        "data_prep.folds",
        [data, "--protocol", PROTOCOL, "--base", "train", "--n-folds", str(args.n_folds)],
    )
    sweep = ["--config-dir", str(HERE / "config"), "--config-name", args.config]
    jobs, metric = ["--jobs", str(args.jobs)], ["--metric", "ccc", "pearson"]
    options = [f"task.data={data}", *args.overrides]
    folds, whole = runs / "folds", runs / "whole"
    split = ["--split", args.split]
    for folder, more in ((folds, ["--folds", PROTOCOL]), (whole, split)):
        words = [*sweep, *more, *jobs, str(folder), *options, *metric]
        yield "emo_fairseq.experiments.sweep", words
    of_folds, (test,) = _predictions(folds, args.n_folds), _predictions(whole, 1)
    on_data, fitted = ["--data", data], str(runs / "forest.skops")
    yield forest, ["fit", *on_data, "--output", fitted, "--predictions", *of_folds]
    given = [*on_data, "--forest", fitted]
    emotions = str(runs / "emotions" / "predictions.tsv")
    yield forest, ["apply", *given, "--predictions", test, "--output", emotions]
    bound = str(runs / "upper_bound" / "predictions.upper_bound.tsv")
    yield forest, ["gold", *given, *split, "--output", bound]
    table = ["--regressor", test, "--markdown", str(runs / "table.md")]
    if args.nli:
        zero_shot = str(runs / "zero_shot" / "predictions.tsv")
        labels = ["--nli-labels", args.nli_labels] if args.nli_labels else []
        model = ["--model", args.nli, *labels, "--output", zero_shot]
        yield forest, ["zero-shot", *on_data, *split, *model]
        table += ["--zero-shot", zero_shot]
    files = ["--csv", str(runs / "table.csv"), "--json", str(runs / "table.json")]
    yield forest, ["compare", *given, *table, *files]


def _predictions(folder: Path, n: int) -> list[str]:
    """The predictions of the n runs of a sweep; ends the program if there are others."""
    files = sorted(folder.glob("*/predictions.tsv"))
    if len(files) != n:
        names = ", ".join(file.parent.name for file in files) or "none"
        raise SystemExit(
            f"error: {folder}: {n} scored runs are wanted, there are {len(files)} ({names}); "
            "remove those of other folds or options, or name another folder with --runs"
        )
    return [str(file) for file in files]


if __name__ == "__main__":
    raise SystemExit(main())
