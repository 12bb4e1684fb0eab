"""What the training data determine once and a checkpoint carries from then on, as plain values."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from data_prep.manifest.labels import (
    check_counts,
    count_labels,
)
from emo_fairseq.data import legacy
from emo_fairseq.data.annotations import truth_array
from emo_fairseq.data.data_dir import (
    TRAIN,
    DataDir,
)
from emo_fairseq.data.frames import FrameStatistics
from emo_fairseq.data.leaks import tokenizer_provenance
from emo_fairseq.data.manifest import (
    FOLD_SETS,
    Split,
    read_corpus_file,
)
from emo_fairseq.data.modality_dataset import RowsDataset
from emo_fairseq.data.vocabulary import (
    Vocabulary,
    assume_vocabulary,
    check_fits,
    read_vocabulary,
)
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    FRAMES,
    LOG_MEL,
    TEXT,
    TOKENS,
    WAVEFORM,
    Target,
)

logger = logging.getLogger(__name__)

_STATISTICS_SAMPLE = 1000  # utterances that the statistics of frames are fitted on
_STATISTICS_SEED = 0


def scratch_spec(source: DataDir, modality: str) -> EncoderSpec:
    """The card of an encoder to be trained from scratch; ``--speech-input`` says what it reads."""
    spec = getattr(source.cfg, f"{modality}_encoder") or "scratch:"
    if modality == TEXT:
        return EncoderSpec(spec, TOKENS)
    read = source.cfg.speech_input or (TOKENS if source.is_legacy else WAVEFORM)
    return EncoderSpec(spec, str(read))


def fit_labels(source: DataDir, target: Target) -> list[str]:
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


def fit_class_counts(source: DataDir, target: Target, labels: list[str]) -> list[int]:
    """How often each label occurs among the rows that are trained on."""
    train = source.split(TRAIN)
    heard = np.any([source.present(modality, train) for modality in source.modalities], axis=0)
    truth = truth_array(train, target, labels)
    return np.bincount(truth[heard & (truth >= 0)], minlength=len(labels)).tolist()


def fit_vocabularies(source: DataDir) -> dict[str, dict[str, object]]:
    """The vocabulary of each modality that is read as tokens."""
    found = {}
    for name in source.modalities_of(TOKENS):
        vocabulary = read_vocabulary(source.folder / name)
        if vocabulary is None and source.is_legacy:
            tokens = [
                ids for split in source.split_names() for ids in source.split(split).tokens[name]
            ]
            vocabulary = assume_vocabulary(name, tokens)
        if vocabulary is None:
            raise UsageError(
                f"{source.folder / name}/dict.txt: not there; "
                f"run `python -m data_prep.tokenize_{name} {source.folder}`"
            )
        if source.cfg.fold is not None:  # without, the train split is all that it can have seen
            folder = source.folder / name
            seen = tokenizer_provenance(folder, source.folder)
            source.guard.check(f"the tokenizer of {name}", folder, seen)
        boundaries = source.cfg.init_token, source.cfg.separator_token
        found[name] = vocabulary.with_boundaries(*boundaries).to_state()
    return found


def check_vocabularies(source: DataDir, split: Split, known: dict[str, Vocabulary]) -> None:
    """Raise a `UsageError` if a split's tokens are not of the vocabularies that are known."""
    for name, vocabulary in known.items():
        there = read_vocabulary(source.folder / name)
        if there is not None:
            there.check_same(vocabulary)
        elif split.tokens:
            check_fits(vocabulary, name, split.tokens[name])


def fit_frame_statistics(source: DataDir) -> dict[str, dict[str, list[float]]]:
    """Mean and deviation of each dimension over the train split, for modalities read as frames."""
    fitted = {}
    for name in (*source.modalities_of(LOG_MEL), *source.modalities_of(FRAMES)):
        logger.info("%s: fitting statistics on at most %d utterances", name, _STATISTICS_SAMPLE)
        train = source.split(TRAIN)
        rows = np.flatnonzero(source.present(name, train))
        frames = RowsDataset(source.raw_frames(name, train), rows)
        fitted[name] = asdict(FrameStatistics.fit(frames, _STATISTICS_SAMPLE, _STATISTICS_SEED))
    return fitted


# -- Labels that a training cannot, or should not, be begun with -----------------------------------


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
