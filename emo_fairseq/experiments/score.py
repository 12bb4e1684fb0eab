"""Score runs by their chosen checkpoints, on their own test set or on another corpus.

    python -m emo_fairseq.experiments.score RUNS…
    python -m emo_fairseq.experiments.score RUNS… --data data/meld --label-map meld_to_iemocap.yaml

writes predictions.tsv, or predictions.NAME.tsv, in each run's folder, and beside it as JSON what it
was made from. Files that are up to date are left alone. The label map is a YAML table from the
corpus's labels to the model's; rows of a label that it does not name, or names null, are left out
and counted.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep.commands.number_types import positive_int
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.jobs import (
    Outcome,
    run_all,
)
from emo_fairseq.experiments.label_map import read_label_map
from emo_fairseq.experiments.run_folder import find_runs
from emo_fairseq.experiments.scoring import (
    ScoringSet,
    corpus_name,
    score_steps,
)
from emo_fairseq.experiments.selection import TEST


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the exit code is 1 if a run cannot be scored."""
    args = make_parser().parse_args(arguments)
    test_set = _test_set(args)
    runs = find_runs(args.runs)
    try:
        work = {str(run.path): score_steps(run, test_set) for run in runs}
        outcomes = run_all(work, args.jobs, _tell)
    finally:
        test_set.mapped.close()
    return 0 if all(outcome.ok for outcome in outcomes.values()) else 1


def make_parser() -> argparse.ArgumentParser:
    """The command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.experiments.score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUNS", help="runs, or folders of runs")
    add("--data", type=Path, help="another data dir (default: each run's own)")
    add("--data-raw", type=Path, help="folder that its audio paths start from (default: --data)")
    add("--split", default=TEST, help="of the data dir (default: %(default)s)")
    add("--name", help="in the file's name (default: the corpus, and the split unless test)")
    add("--label-map", type=Path, help="YAML: the corpus's label: the model's label")
    add("--jobs", type=positive_int, default=1, help="processes at a time (default: 1)")
    return parser


def _test_set(args: argparse.Namespace) -> ScoringSet:
    if args.data is None:
        if args.label_map or args.data_raw:
            raise UsageError("--label-map and --data-raw belong to --data, another corpus")
        return ScoringSet(args.split, args.name or ("" if args.split == TEST else args.split))
    if not args.data.is_dir():
        raise UsageError(f"--data {args.data}: there is no such folder")
    default = corpus_name(args.data) + ("" if args.split == TEST else f"-{args.split}")
    name = re.sub(r"[^\w-]+", "-", args.name or default)
    labels = None if args.label_map is None else read_label_map(args.label_map)
    return ScoringSet(args.split, name, args.data, args.data_raw, labels)


def _tell(name: str, outcome: Outcome) -> None:
    sys.stdout.write(f"{name}: {outcome.message}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
