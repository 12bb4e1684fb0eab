"""Names that the command lines of experiments share with the work behind them."""

import argparse

from emo_fairseq.evaluation.names import METRICS, split_key

SEED, FOLD, DATA = "common.seed", "task.fold", "task.data"  # overrides
ALL_OF = "all-of:"  # before a protocol: all of its folds
BY = ("system", "fold", "seed")  # what a row of a table is of


def metric_key(word: str) -> str:
    """Return the key of a metric; the type of ``--metric``, which takes all words that follow.

    >>> metric_key("recall_happy")
    'recall_happy'

    Raises:
        argparse.ArgumentTypeError: no metric, such as a folder or an override after ``--metric``.
    """
    if split_key(word)[0].key not in METRICS:
        raise argparse.ArgumentTypeError(
            f"{word} is no metric; choose from {', '.join(METRICS)}, and give all other words "
            "before --metric"
        )
    return word
