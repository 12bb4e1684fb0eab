"""Train every combination of options, score each on its test set, and print the table.

    python -m emo_fairseq.experiments.sweep --config-dir D --config-name N RUNS_FOLDER \
        common.seed=1,2,3 criterion.label_smoothing=0,0.1 --folds leave_one_session_out

Overrides are Hydra's; each combination is one `fairseq-hydra-train` in a process of its own, in
RUNS_FOLDER/<its overrides>. Run again, the command resumes: finished runs are not run again,
interrupted ones continue from their last checkpoint. Relative paths start where the command is run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.number_types import positive_int
from data_prep.schema import TEST
from emo_fairseq.compat import excepthook
from emo_fairseq.experiments.names import ALL_OF, FOLD, metric_key


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 if a run failed."""
    excepthook.apply()
    args = make_parser().parse_intermixed_args(arguments)
    from emo_fairseq.experiments.sweep_runs import run_sweep

    return run_sweep(args)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.experiments.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--config-dir", type=Path, required=True, help="folder of the YAML files")
    add("--config-name", required=True, help="the YAML file, without .yaml")
    folds = f"all of DATA/folds/PROTOCOL.json; the same as {FOLD}={ALL_OF}PROTOCOL"
    add("--folds", metavar="PROTOCOL", help=folds)
    split = "of the data dir, the test set of its runs (default: %(default)s)"
    add("--split", default=TEST, help=split)
    other = "score the test split of another corpus, too; may be repeated"
    add("--also-score", type=Path, action="append", default=[], metavar="DATA", help=other)
    add("--jobs", type=positive_int, default=1, help="processes at a time (default: 1)")
    add(
        "--metric",
        nargs="+",
        type=metric_key,
        help="of the table; see emo_fairseq.experiments.collect",
    )
    keep = "start the other runs although the first one was refused (a wrong option, missing data)"
    add("--keep-going", action="store_true", help=keep)
    add("--dry-run", action="store_true", help="print the training commands, and run nothing")
    add("runs_folder", type=Path, metavar="RUNS_FOLDER")
    add("overrides", nargs="*", metavar="OPTION=VALUE", help="Hydra's; with commas for choices")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
