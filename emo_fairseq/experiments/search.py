"""Search options by Optuna: train trials, stop poor ones early, and print the best.

    python -m emo_fairseq.experiments.search --config-dir D --config-name N FOLDER --trials 20 \
        'optimization.lr=tag(log, interval(1e-4, 1e-2))' model.dropout=0.1,0.2,0.3 --folds k_fold

Overrides are Hydra's: `a,b` and `choice(a, b)` are categories, `range(1, 5)` whole numbers,
`interval(0.1, 0.5)` real ones, `tag(log, interval(...))` on a logarithmic scale. A trial is one
training, or one a fold, one after the other; its value is the best --best-checkpoint-metric of the
valid set, averaged over folds. No test set is scored. Trials are kept in FOLDER/study.db: run
again, the command resumes an interrupted trial from its last checkpoint, and then goes on.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from data_prep.number_types import positive_int
from emo_fairseq.compat import excepthook
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.names import ALL_OF, FOLD

_EXTRA = ("optuna", "sqlalchemy", "alembic")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 if no trial has a value."""
    excepthook.apply()
    args = make_parser().parse_intermixed_args(arguments)
    for library in ("alembic", "matplotlib"):  # Optuna's, which log how they set themselves up
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        from emo_fairseq.experiments.study import run_search
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise UsageError(
            f'search needs {error.name}, which is not installed: pip install -e ".[search]"',
            "package-missing",
        ) from error

    return run_search(args)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.experiments.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--config-dir", type=Path, required=True, help="folder of the YAML files")
    add("--config-name", required=True, help="the YAML file, without .yaml")
    add("--trials", type=positive_int, default=20, metavar="N", help="in all (default: 20)")
    folds = f"average over DATA/folds/PROTOCOL.json; the same as {FOLD}={ALL_OF}PROTOCOL"
    add("--folds", metavar="PROTOCOL", help=folds)
    prune = "stop a trial that is worse than the median of the earlier ones at the same validation"
    add("--prune", action=argparse.BooleanOptionalAction, default=True, help=prune)
    startup = "trials before the first may be stopped (default: %(default)s)"
    add("--prune-after", type=positive_int, default=5, metavar="N", help=startup)
    add("--seed", type=int, default=1, help="of the sampler (default: %(default)s)")
    add("folder", type=Path, metavar="FOLDER", help="of the study and its trials")
    add("overrides", nargs="+", metavar="OPTION=VALUE", help="Hydra's; see above")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
