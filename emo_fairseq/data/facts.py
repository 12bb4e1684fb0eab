"""What the training data settle once and a checkpoint carries ever after, as plain values."""

import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np

from emo_fairseq.data import legacy
from emo_fairseq.data.log_mel import LogMelStatistics
from emo_fairseq.data.manifest import Split, read_corpus_file, truth_array
from emo_fairseq.data.rows import RowsDataset
from emo_fairseq.data.source import TRAIN, DataSource
from emo_fairseq.data.vocabulary import (
    Vocabulary,
    assume_vocabulary,
    check_fits,
    read_vocabulary,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH
from emo_fairseq.targets import Target

logger = logging.getLogger(__name__)

_STATISTICS_SAMPLE = 1000  # utterances that the log-mel statistics are fitted on
_STATISTICS_SEED = 0


def read_labels(source: DataSource, target: Target) -> list[str]:
    """Label names in the order of the class ids, or the names of a continuous target's axes."""
    if not target.has_labels:
        return list(target.columns)
    if source.is_legacy:
        return list(legacy.EMOTION_LABELS)
    (column,) = target.columns
    corpus = read_corpus_file(source.folder)
    labels = corpus.labels.get(column) if corpus is not None else None
    if not labels:
        raise UsageError(
            f"{source.folder}/corpus.yaml names no {column} labels, which --target "
            f"{target.name} needs; list them there in order, under labels"
        )
    return list(labels)


def count_classes(source: DataSource, target: Target, labels: list[str]) -> list[int]:
    """How often each label occurs among the rows that are trained on."""
    train = source.split(TRAIN)
    heard = np.any([train.present(modality) for modality in source.modalities], axis=0)
    truth = truth_array(train, target, labels)
    return np.bincount(truth[heard & (truth >= 0)], minlength=len(labels)).tolist()


def read_vocabularies(source: DataSource) -> dict[str, dict[str, object]]:
    """The vocabulary of each modality that is read as tokens."""
    found = {}
    for name in filter(source.is_tokens, source.modalities):
        file = _dictionary_file(source, name)
        if file.exists():
            found[name] = read_vocabulary(file).to_state()
        elif source.is_legacy:
            tokens = [
                ids for split in source.split_names() for ids in source.split(split).tokens[name]
            ]
            found[name] = assume_vocabulary(name, tokens).to_state()
        else:
            raise UsageError(
                f"{file}: not there; run `python -m data_prep.tokenize_{name} {source.folder}`"
            )
    return found


def check_vocabularies(source: DataSource, split: Split, known: dict[str, Vocabulary]) -> None:
    """Raise a `UsageError` if a split's tokens are not of the vocabularies that are known."""
    for name, vocabulary in known.items():
        vocabulary.check_boundaries(source.cfg.init_token, source.cfg.separator_token)
        file = _dictionary_file(source, name)
        if file.exists():
            read_vocabulary(file).check_same(vocabulary)
        elif split.tokens:
            check_fits(vocabulary, name, split.tokens[name])


def fit_log_mel_statistics(source: DataSource) -> dict[str, list[float]]:
    """Mean and deviation of each mel band over the train split."""
    logger.info("fitting log-mel statistics on at most %d utterances", _STATISTICS_SAMPLE)
    train = source.split(TRAIN)
    frames = RowsDataset(source.frames(train), np.flatnonzero(train.present(SPEECH)))
    return asdict(LogMelStatistics.fit(frames, _STATISTICS_SAMPLE, _STATISTICS_SEED))


def _dictionary_file(source: DataSource, modality: str) -> Path:
    return source.folder / modality / "dict.txt"
