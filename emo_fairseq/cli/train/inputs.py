"""What a training reads and predicts: as the options have it, else as the data do."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.errors import ManifestError
from data_prep.features.stored import are_missing, features_folder
from data_prep.manifest.table import count_distinct, counts, has
from data_prep.schema import SAMPLE_RATE, SPLITS, TRAIN, Utterance, read_corpus, read_manifest
from emo_fairseq.cli.train.data import DataFolder
from emo_fairseq.data.fold import read_fold_rows
from emo_fairseq.encoder_spec import features_name
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import MODALITY_LETTERS, SPEECH, TEXT, VIDEO, parse_modalities
from emo_fairseq.targets import TARGETS, TargetKind

_COLUMNS = {TEXT: "text", SPEECH: "audio", VIDEO: "video"}
_ROWS_A_TEXT = 10  # from which on texts are prompts that speakers read out again and again
_DEFAULT_TARGET = "emotion"
_VIEWS = (TargetKind.BINARY_PER_LABEL, TargetKind.DISTRIBUTION)  # other views of the emotions


@dataclass(frozen=True)
class Inputs:
    """What a training reads and predicts.

    Attributes:
        modalities: inputs of the model.
        target: a key of :data:`emo_fairseq.targets.TARGETS`.
        n_rows: rows of the train split with the target; None where they cannot be counted.
        seconds: of the audio of all splits, as stored in the manifests.
        test: the split that is scored at the end; ``valid`` where there is no test split.
        notes: for the user, on what was not given.
        rows: of the train split; empty where they cannot be read.
        usable: by split, how many of its rows have the target and an input, and how many rows it
            has; empty where they cannot be counted.
    """

    modalities: tuple[str, ...]
    target: str
    n_rows: int | None
    seconds: float
    test: str
    notes: list[str] = field(default_factory=list)
    rows: Sequence[Utterance] = ()
    usable: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def choose_inputs(options: argparse.Namespace, data: DataFolder) -> Inputs:
    """Choose modalities and target of a training on a data dir that is there.

    Raises:
        UsageError: an ambiguous target, or data without the inputs or the target.
    """
    if data.is_legacy:
        modalities = parse_modalities(options.modality or "T+A")
        target = options.target or _DEFAULT_TARGET
        has_test = any(data.folder.glob("test*")) or (data.folder / "label_file_test.csv").is_file()
        return Inputs(modalities, target, None, 0.0, "test" if has_test else "valid")
    splits = _read_splits(data.folder, options.fold)
    rows = splits[TRAIN]
    notes: list[str] = []
    modalities = _modalities(options, data.folder, rows, notes)
    target = _target(options, data.folder, rows, notes)
    columns = TARGETS[target].columns
    n_rows = int(_have_any(rows, columns).sum())
    if not n_rows:
        raise UsageError(
            f"{data.folder}/train.tsv: no row has {' or '.join(columns)}; give another --target",
            "target-missing",
        )
    test = "test" if splits.get("test") else "valid"
    if test == "valid":
        notes.append("there is no test split: scored on valid, which also selects the checkpoint")
    samples = sum(int(counts(split, "n_samples").sum()) for split in splits.values())
    usable = _count_usable(options, data.folder, splits, modalities, columns)
    return Inputs(modalities, target, n_rows, samples / SAMPLE_RATE, test, notes, rows, usable)


def _have_any(rows: Sequence[Utterance], columns: Sequence[str]) -> np.ndarray:
    """Return which rows have one of the columns, (N,) bool."""
    return np.any([has(rows, column) for column in columns], axis=0)


def _count_usable(
    options: argparse.Namespace,
    folder: Path,
    splits: Mapping[str, Sequence[Utterance]],
    modalities: Sequence[str],
    truth: Sequence[str],
) -> dict[str, tuple[int, int]]:
    """Return by split how many rows have the target and an input, and how many rows there are."""
    features = {name: features_name(getattr(options, f"{name}_encoder")) for name in modalities}
    read = [_COLUMNS[modality] for modality, name in features.items() if not name]
    with_features = {
        (split, row_id)
        for name in features.values()
        if name
        for split, row_id in _rows_with_features(folder, name)
    }
    if options.fold is not None:  # whose sets are of several splits, in which no id is twice
        with_features = {(name, row_id) for name in SPLITS for _, row_id in with_features}
    usable = {}
    for name in SPLITS:
        if rows := splits.get(name):
            has_input = np.array([(name, row.id) in with_features for row in rows])
            if read:
                has_input |= _have_any(rows, read)
            usable[name] = int((_have_any(rows, truth) & has_input).sum()), len(rows)
    return usable


def _rows_with_features(folder: Path, name: str) -> Iterator[tuple[str, str]]:
    """Yield split and id of rows with features; all of a split whose features are refused later."""
    for split in read_corpus(folder).splits:
        file = folder / f"{split}.tsv"
        if file.is_file():
            rows = read_manifest(file)
            try:
                missing = are_missing(features_folder(folder, name), split, rows)
            except ManifestError:
                missing = np.zeros(len(rows), dtype=bool)
            for row, is_missing in zip(rows, missing, strict=True):
                if not is_missing:
                    yield split, row.id


def _read_splits(folder: Path, fold: str | None) -> Mapping[str, Sequence[Utterance]]:
    if fold is not None:
        return read_fold_rows(folder, fold)
    if not (folder / "train.tsv").is_file():
        _refuse_unsplit(folder)
    names = dict.fromkeys([*SPLITS, *read_corpus(folder).splits])
    files = {name: folder / f"{name}.tsv" for name in names}
    return {name: read_manifest(file) for name, file in files.items() if file.is_file()}


def _refuse_unsplit(folder: Path) -> None:
    files = sorted((folder / "folds").glob("*.json"))
    protocol = files[0].stem if files else "k_fold"
    others = f", or another of {folder}/folds" if len(files) > 1 else ""
    raise UsageError(
        f"{folder}: has no train.tsv, so its rows are not split; give --fold {protocol} for a "
        f"training on each fold, or --fold {protocol}/1 for one{others}",
        "data-not-split",
    )


# -- modalities ------------------------------------------------------------------------------------


def _modalities(
    options: argparse.Namespace, folder: Path, rows: Sequence[Utterance], notes: list[str]
) -> tuple[str, ...]:
    if options.modality is not None:
        modalities = parse_modalities(options.modality)
        _check_columns(options, folder, rows, modalities)
        return modalities
    counts = {name: _count(rows, column) for name, column in _COLUMNS.items()}
    if options.video_encoder is None or _reads_features(options, VIDEO):
        del counts[VIDEO]  # no encoder reads it unless one is given
    chosen = [name for name, count in counts.items() if count]
    chosen += [n for n in MODALITY_LETTERS if _reads_features(options, n) and n not in chosen]
    if not chosen:
        raise UsageError(f"{folder}/train.tsv: no row has text or audio", "inputs-missing")
    n_texts = count_distinct(rows, "text")
    is_prompted = n_texts * _ROWS_A_TEXT <= counts[TEXT]
    if TEXT in chosen and len(chosen) > 1 and is_prompted and options.text_encoder is None:
        chosen.remove(TEXT)
        notes.append(
            f"text is left out: its {counts[TEXT]} rows have {n_texts} different texts, as prompts "
            "that are read out; --modality T+A reads it, too"
        )
    ordered = tuple(name for name in MODALITY_LETTERS if name in chosen)
    have = ", ".join(f"{count} have {_COLUMNS[name]}" for name, count in counts.items())
    letters = "+".join(MODALITY_LETTERS[name] for name in ordered)
    notes.append(f"--modality {letters}: of {len(rows)} rows of train {have}")
    return ordered


def _count(rows: Sequence[Utterance], column: str) -> int:
    return int(has(rows, column).sum())


def _reads_features(options: argparse.Namespace, modality: str) -> bool:
    return bool(features_name(getattr(options, f"{modality}_encoder")))


def _check_columns(
    options: argparse.Namespace,
    folder: Path,
    rows: Sequence[Utterance],
    modalities: Sequence[str],
) -> None:
    for modality in modalities:
        column = _COLUMNS.get(modality)
        if column is None or _reads_features(options, modality) or _count(rows, column):
            continue
        others = "+".join(MODALITY_LETTERS[name] for name in modalities if name != modality)
        raise UsageError(
            f"{folder}/train.tsv: no row has {column}, which --modality {options.modality} "
            f"reads; prepare the corpus with its {column}, or give --modality "
            f"{others or 'another'}",
            "column-empty",
        )


# -- target ----------------------------------------------------------------------------------------


def _target(
    options: argparse.Namespace, folder: Path, rows: Sequence[Utterance], notes: list[str]
) -> str:
    if options.target is not None:
        return str(options.target)
    counts = {
        name: sum(any(getattr(row, c) is not None for c in target.columns) for row in rows)
        for name, target in TARGETS.items()
        if target.kind not in _VIEWS
    }
    counts = {name: count for name, count in counts.items() if count}
    if len(counts) > 1 and _DEFAULT_TARGET not in counts:
        raise UsageError(
            f"{folder}: the rows have {' and '.join(counts)}; give one of them as --target",
            "target-ambiguous",
        )
    if not counts:
        raise UsageError(
            f"{folder}/train.tsv: no row has an emotion or another target; prepare the corpus with "
            "its labels",
            "target-missing",
        )
    target = _DEFAULT_TARGET if _DEFAULT_TARGET in counts else next(iter(counts))
    others = ", ".join(name for name in counts if name != target)
    beside = f"; there are {others}, too" if others else ""
    notes.append(f"--target {target}: {counts[target]} rows of train have it{beside}")
    return target
