"""``emotion-recognize train``: from a table, a folder or a data dir to a scored model."""

import argparse
from typing import Any

from emo_fairseq.cli.train.options import add_options
from emo_fairseq.requirements import require_training_stack


def add(subcommands: Any, about: str) -> None:
    """Add the parser."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "train", help=about, description=about, add_help=False
    )
    parser.set_defaults(run=run, takes_further=True, loads_models=False)
    add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Prepare the data, train, score and report; return the exit code of what failed, else 0.

    Raises:
        UsageError: data without the inputs or the target, or options that do not fit.
        CodedError: a source that cannot be prepared.
    """
    require_training_stack("emotion-recognize train")
    from emo_fairseq.cli.train.folds import is_all_folds, train_folds
    from emo_fairseq.cli.train.training import train

    return train_folds(options) if is_all_folds(options) else train(options).code
