"""What the training data determine once and a checkpoint carries from then on, as plain values."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from data_prep.folds.file import train_set
from data_prep.manifest.digests import texts_digest
from data_prep.manifest.labels import (
    check_counts,
    count_labels,
)
from data_prep.manifest.provenance import Provenance, seen_rows
from data_prep.schema import CORPUS_FILE, SPLITS, TRAIN, read_corpus, read_manifest
from data_prep.tokens.checking import is_card_of
from data_prep.tokens.folder import TOKENIZER_FILE, read_card
from data_prep.tokens.token_sets import FITTED_ELSEWHERE, FITTED_ON, FOLD, TokenSet
from emo_fairseq.data import legacy
from emo_fairseq.data.annotations import group_names, truth_array
from emo_fairseq.data.data_dir import DataDir
from emo_fairseq.data.frame_statistics import FrameStatistics
from emo_fairseq.data.manifest import (
    Split,
    read_corpus_file,
)
from emo_fairseq.data.modality_dataset import RowsDataset
from emo_fairseq.data.token_choice import tokenize_command
from emo_fairseq.data.vocabulary import (
    Vocabulary,
    assume_vocabulary,
    check_fits,
    read_vocabulary,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import FRAMES, LOG_MEL, TOKENS
from emo_fairseq.targets import TARGETS, Target, TargetKind

logger = logging.getLogger(__name__)

_STATISTICS_SAMPLE = 1000  # utterances that the statistics of frames are fitted on
_STATISTICS_SEED = 0
_ROUNDING = 1e-9  # of a sum of shares


def fit_labels(source: DataDir, target: Target) -> list[str]:
    """Return the labels in the order of their ids, or the names of a continuous target's axes.

    Raises:
        UsageError: corpus.yaml, or a label file of the legacy layout, has no labels for the target.
    """
    if not target.has_labels:
        return list(target.columns) or [target.name]
    column = target.label_column or ""
    if source.is_legacy:
        return legacy.label_names(source.folder, column)
    corpus = read_corpus_file(source.folder)
    labels = corpus.labels.get(column) if corpus is not None else None
    if not labels:
        raise UsageError(
            f"{source.folder}/corpus.yaml names no {column} labels, which --target "
            f"{target.name} needs; list them there in order, under labels",
            "labels-missing",
        )
    return list(labels)


def fit_auxiliary_labels(source: DataDir, target: Target) -> list[str]:
    """Return the labels of an auxiliary target, or the names of its axes.

    Labels of a column that corpus.yaml does not name are those of the train split, sorted.

    Raises:
        UsageError: there are fewer than two of them, or see :func:`fit_labels`.
    """
    if target.name in TARGETS:
        return fit_labels(source, target)
    (column,) = target.columns
    corpus = read_corpus_file(source.folder)
    named = corpus.labels.get(column) if corpus is not None else None
    if named:
        return list(named)
    train = source.split(TRAIN)
    labels = group_names(train, column)
    if len(labels) < 2:
        values = f"only {labels[0]}" if labels else "none"
        raise UsageError(
            f"--auxiliary-targets {target.name}: the column {column} of {train.file} has {values} "
            "as a label; fill it in, or leave the target out",
            "column-empty",
        )
    return labels


def fit_class_counts(source: DataDir, target: Target, labels: list[str]) -> list[int]:
    """Return the number of training rows of each label.

    Of a distribution it is the sum of the shares of the votes for it, rounded up.
    """
    train = source.split(TRAIN)
    has_input = np.any([source.present(name, train) for name in source.modalities], axis=0)
    truth = truth_array(train, target, labels)
    if target.kind is TargetKind.DISTRIBUTION:
        totals = np.nansum(truth[has_input, 1:], axis=0)
        return np.ceil(totals - _ROUNDING).astype(int).tolist()
    return np.bincount(truth[has_input & (truth >= 0)], minlength=len(labels)).tolist()


def fit_vocabularies(source: DataDir) -> dict[str, dict[str, object]]:
    """Return the vocabulary of each modality that is read as tokens.

    Raises:
        UsageError: a modality is not tokenized, or its tokenizer was fitted on held-out rows.
    """
    vocabularies = {}
    for name in source.modalities_of(TOKENS):
        folder = source.token_folder(name)
        vocabulary = read_vocabulary(folder)
        if vocabulary is None and source.is_legacy:
            tokens = [
                ids for split in source.split_names() for ids in source.split(split).tokens[name]
            ]
            vocabulary = assume_vocabulary(name, tokens)
        if vocabulary is None:
            raise UsageError(
                f"{folder}: holds no tokens; "
                f"run `{tokenize_command(name, source.encoders[name], source.folder)}`",
                "dictionary-missing",
            )
        if source.cfg.fold is not None:  # else it can have been fitted on the train split alone
            provenance = tokenizer_provenance(folder, source.folder)
            source.guard.check(f"the tokenizer of {name}", folder, provenance)
        boundaries = source.cfg.init_token, source.cfg.separator_token
        vocabularies[name] = vocabulary.with_boundaries(*boundaries).to_state()
    return vocabularies


def check_vocabularies(source: DataDir, split: Split, known: dict[str, Vocabulary]) -> None:
    """Check that the tokens of a split are of the vocabularies that the model was trained with.

    Raises:
        UsageError: they are of others.
    """
    for name, vocabulary in known.items():
        stored = read_vocabulary(source.token_folder(name))
        if stored is not None:
            stored.check_same(vocabulary)
        elif split.tokens:
            check_fits(vocabulary, name, split.tokens[name])


def fit_frame_statistics(source: DataDir) -> dict[str, dict[str, list[float]]]:
    """Return the statistics of the train split for each modality that is read as frames.

    Returns:
        By modality ``{"mean": C floats, "std": C floats}``; see :class:`FrameStatistics`.
    """
    fitted = {}
    for name in (*source.modalities_of(LOG_MEL), *source.modalities_of(FRAMES)):
        logger.info("%s: fitting statistics on at most %d utterances", name, _STATISTICS_SAMPLE)
        train = source.split(TRAIN)
        rows = np.flatnonzero(source.present(name, train))
        frames = RowsDataset(source.raw_frames(name, train), rows)
        fitted[name] = asdict(FrameStatistics.fit(frames, _STATISTICS_SAMPLE, _STATISTICS_SEED))
    return fitted


# -- Labels on which training cannot, or should not, start -----------------------------------------


def check_training_labels(
    source: DataDir, target: Target, labels: Sequence[str], class_counts: Sequence[int]
) -> None:
    """Warn of rare and similar labels, and of classes that some splits lack.

    Args:
        source: the data dir; the labels of other splits are counted in its corpus.yaml, those of a
            fold in their rows.
        target: of labels.
        labels: K labels, in the order of their ids.
        class_counts: K numbers of training rows.

    Raises:
        UsageError: all rows have the same label.
    """
    train = {label: n for label, n in zip(labels, class_counts, strict=True) if n}
    column = target.label_column or ""
    file = source.split(TRAIN).file
    if len(train) == 1:
        (label,) = train
        raise UsageError(
            f"{file}: all {train[label]} rows that can be trained on have the {column} {label!r}: "
            "there is nothing to classify; train on rows of two classes or more",
            "label-single",
        )
    for warning in check_counts(column, {TRAIN: train, **_other_splits(source, column)}, labels):
        logger.warning("%s: %s", source.folder, warning)


def _other_splits(source: DataDir, column: str) -> Mapping[str, Mapping[str, int]]:
    if source.cfg.fold is not None:
        sets = {name: source.split(name) for name in SPLITS if name != TRAIN}
        return {name: count_labels(part.utterances, column) for name, part in sets.items()}
    corpus = None if source.is_legacy else read_corpus_file(source.folder)
    counts = {} if corpus is None else corpus.splits
    return {name: kept.get(column) or {} for name, kept in counts.items() if name != TRAIN}


# -- The rows that a tokenizer was fitted on -------------------------------------------------------


def tokenizer_provenance(folder: Path, data: Path) -> Provenance:
    """Return the rows that a tokenizer was fitted on.

    A pretrained one (GPT-2's, a Hugging Face model's) was fitted on none of the corpus; that of
    another data dir on rows that are not recorded; any other one on the train split, or on the
    train set of a fold, whose rows must still have the digest in its card.

    Raises:
        UsageError: the rows that it was fitted on are no longer those of the train split.
    """
    card = read_card(folder) if (folder / TOKENIZER_FILE).is_file() else {"settings": {}}
    if FITTED_ELSEWHERE in card["settings"]:
        return Provenance(unknown=(f"the tokenizer of {folder.name}, of another data dir",))
    fitted_on = card["settings"].get(FITTED_ON)
    if fitted_on is None:
        return Provenance()
    corpus = read_corpus(data).name if (data / CORPUS_FILE).is_file() else None
    if (fold := card["settings"].get(FOLD)) is not None:
        train = train_set(data, fold)
        if texts_digest(train) != fitted_on:
            raise _outdated(folder, f"the train set of {fold}")
        return seen_rows(train, corpus, TRAIN, fold)
    file = data / f"{TRAIN}.tsv"
    rows = read_manifest(file) if file.is_file() else []
    digest = card["splits"].get(TRAIN, {}).get("digest")
    if digest != fitted_on or not is_card_of(folder, TRAIN, rows):
        raise _outdated(folder, str(file))
    return seen_rows(rows, corpus, TRAIN)


def _outdated(folder: Path, rows: str) -> UsageError:
    return UsageError(
        f"{folder}: the tokenizer was fitted on rows that are no longer those of {rows}, and may "
        f"have seen what is held out; run `{TokenSet.of(folder).command}` again",
        "tokenizer-outdated",
    )
