"""Collect runs into a table: means, pooled folds, intervals, tests against the first system.

    python -m emo_fairseq.experiments.collect RUNS… [--by system|fold|seed] [--metric uar …]
        [--csv F] [--markdown F] [--latex F] [--matrix METRIC] [--baseline NAME]

Systems are runs that differ in anything but seed, fold and paths. `mean ± std` is over the n runs
of a system, folds and seeds; `pooled` takes the predictions of all folds of a seed together and is
the mean over seeds; its intervals are a bootstrap over utterances, and Student's t over speakers
where the data dir still names enough of them. `p` is a paired bootstrap over utterances, `p,
speakers` a paired t test over speakers; `Holm` is each corrected for all tests of the table. None
of them contains the variance over seeds. Systems that lack a fold or a seed have a *. The first
system is that of the first run on the sweep's command line, and of runs without a sweep that of the
first folder.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.number_types import positive_int
from emo_fairseq.compat import excepthook
from emo_fairseq.evaluation.names import N_RESAMPLES
from emo_fairseq.experiments.names import BY, metric_key


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 if there is nothing to collect."""
    excepthook.apply()
    args = make_parser().parse_args(arguments)
    from emo_fairseq.experiments.result_tables import show, show_matrix
    from emo_fairseq.experiments.runs import find_runs

    files = {name: getattr(args, name) for name in ("csv", "markdown", "latex")}
    runs = find_runs(args.runs)
    if args.matrix:
        return show_matrix(runs, args.matrix, files)
    return show(runs, args.metric, args.by, args.baseline, args.resamples, files)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.experiments.collect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUNS", help="runs, or folders of runs")
    add("--by", choices=BY, default="system", help="what a row is of (default: %(default)s)")
    add(
        "--metric",
        nargs="+",
        type=metric_key,
        help="which, by name (default: the usual ones of the target)",
    )
    add("--baseline", default="", help="take the system whose name holds this as the first")
    add("--matrix", metavar="METRIC", help="rows trained on, columns tested on, instead of tables")
    add(
        "--resamples", type=positive_int, default=N_RESAMPLES, help="of the bootstrap (%(default)s)"
    )
    for name in ("csv", "markdown", "latex"):
        add(f"--{name}", type=Path, metavar="FILE", help="write the table there, too")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
