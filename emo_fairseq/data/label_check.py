"""Labels that a training cannot, or should not, be begun with."""

import logging
from collections.abc import Mapping, Sequence

from data_prep.manifest.labels import (
    check_counts,
    count_labels,
)
from emo_fairseq.data.fold import FOLD_SETS
from emo_fairseq.data.manifest import read_corpus_file
from emo_fairseq.data.source import TRAIN, DataDir
from emo_fairseq.errors import UsageError
from emo_fairseq.types import Target

logger = logging.getLogger(__name__)


def check_training_labels(
    source: DataDir, target: Target, labels: Sequence[str], class_counts: Sequence[int]
) -> None:
    """Warn of labels that are not what they seem, and of classes that some splits lack.

    Args:
        source: the data dir; splits that are not trained on are counted by its corpus.yaml, those
            of a fold by their rows.
        target: what is predicted: labels.
        labels: the label set, in order.
        class_counts: of the rows that are trained on, a number a label.

    Raises:
        UsageError: all rows have the same label.
    """
    train = {label: n for label, n in zip(labels, class_counts, strict=True) if n}
    (column,) = target.columns
    file = source.split(TRAIN).file
    if len(train) == 1:
        (label,) = train
        raise UsageError(
            f"{file}: all {train[label]} rows that can be trained on have the {column} {label!r}: "
            "there is nothing to classify; train on rows of two classes or more"
        )
    for warning in check_counts(column, {TRAIN: train, **_other_splits(source, column)}, labels):
        logger.warning("%s: %s", source.folder, warning)


def _other_splits(source: DataDir, column: str) -> Mapping[str, Mapping[str, int]]:
    if source.cfg.fold is not None:
        sets = {name: source.split(name) for name in FOLD_SETS if name != TRAIN}
        return {name: count_labels(part.utterances, column) for name, part in sets.items()}
    corpus = None if source.is_legacy else read_corpus_file(source.folder)
    counts = {} if corpus is None else corpus.splits
    return {name: kept.get(column) or {} for name, kept in counts.items() if name != TRAIN}
