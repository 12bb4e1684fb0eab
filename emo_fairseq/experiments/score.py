"""Score runs by their selected checkpoints, on their own test set or on another corpus.

    python -m emo_fairseq.experiments.score RUNS…
    python -m emo_fairseq.experiments.score RUNS… --data data/meld --label-map meld_to_iemocap.yaml

writes predictions.tsv, or predictions.NAME.tsv, in each run's folder, and beside it as JSON what it
was made from. Files that are up to date are left alone. The label map is a YAML table from the
corpus's labels to the model's; rows of a label that it does not name, or names null, are left out
and counted.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.number_types import positive_int
from data_prep.schema import TEST
from emo_fairseq.compat import excepthook


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 if a run cannot be scored."""
    excepthook.apply()
    args = make_parser().parse_args(arguments)
    from emo_fairseq.experiments.scoring import score_runs

    return score_runs(args)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.experiments.score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUNS", help="runs, or folders of runs")
    add("--data", type=Path, help="another data dir (default: each run's own)")
    add("--data-raw", type=Path, help="folder of its audio (default: that of corpus.yaml)")
    add("--split", default=TEST, help="of the data dir (default: %(default)s)")
    add("--name", help="in the file's name (default: the corpus, and the split unless test)")
    add("--label-map", type=Path, help="YAML: the corpus's label: the model's label")
    add("--jobs", type=positive_int, default=1, help="processes at a time (default: 1)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
