"""Faults of what is computed from the rows of a data dir: features, packed audio, tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from data_prep.audio.segment import AudioRows
from data_prep.errors import Fault, ManifestError
from data_prep.features.extraction import are_of_audio
from data_prep.features.stored import FOLDER as FEATURES
from data_prep.features.stored import find_faults, find_missing
from data_prep.manifest.table import ManifestTable
from data_prep.packed_audio import opening as packed_audio
from data_prep.packed_audio.card import FOLDER as PACKED_AUDIO
from data_prep.packed_audio.segment import audio_of_splits
from data_prep.tokens.checking import are_tokens_of_audio, check_tokens
from data_prep.tokens.token_sets import MODALITIES, token_sets


def feature_faults(data_dir: Path, manifests: Mapping[Path, ManifestTable]) -> Iterator[Fault]:
    """Yield features that are damaged, of other rows, NaN or infinite; all are read."""
    for folder in sorted((data_dir / FEATURES).glob("[!.]*/")):
        for path, rows in manifests.items():
            yield from find_faults(folder, path.stem, rows)


def missing_features(data_dir: Path, manifests: Mapping[Path, ManifestTable]) -> Iterator[Fault]:
    """Yield warnings of rows that have no features where others of the data dir have."""
    for folder in sorted((data_dir / FEATURES).glob("[!.]*/")):
        for path, rows in manifests.items():
            yield from find_missing(folder, path.stem, rows)


def outdated_features(
    data_dir: Path, manifests: Mapping[Path, ManifestTable], raw: Path
) -> Iterator[Fault]:
    """Yield warnings of features that are not of the recordings as they are now."""
    packed = data_dir / PACKED_AUDIO
    for folder in sorted((data_dir / FEATURES).glob("[!.]*/")):
        for path, rows in manifests.items():
            try:
                is_current = are_of_audio(folder, path.stem, rows, AudioRows(rows, raw))
                if not is_current:
                    audio = audio_of_splits(data_dir, raw, packed)(path.stem, rows)
                    is_current = are_of_audio(folder, path.stem, rows, audio)
            except ManifestError:  # a fault of its own
                continue
            if not is_current:
                problem = f"is not of the recordings in {raw} as they are now"
                remedy = "extract again, unless it is to be of others"
                file = f"{folder / path.stem}.npy"
                yield Fault(file, None, problem, remedy, "features-outdated")


def outdated_tokens(
    data_dir: Path, manifests: Mapping[Path, ManifestTable], raw: Path
) -> Iterator[Fault]:
    """Yield warnings of tokens that are not of the recordings as they are now."""
    for tokens in token_sets(data_dir, "speech"):
        for path, rows in manifests.items():
            try:
                audio = AudioRows(rows, raw)
                is_current = are_tokens_of_audio(tokens.folder, path.stem, rows, audio)
            except ManifestError:  # a fault of its own
                continue
            if not is_current:
                problem = f"is not of the recordings in {raw} as they are now"
                file = f"{tokens.folder / path.stem}.bin"
                yield Fault(file, None, problem, f"run `{tokens.command}`", "tokens-outdated")


def packed_audio_faults(
    data_dir: Path, manifests: Mapping[Path, ManifestTable], raw: Path
) -> Iterator[Fault]:
    """Yield packed audio that is damaged, or not that of the files; all samples are read."""
    for path, rows in manifests.items():
        yield from packed_audio.find_faults(data_dir / PACKED_AUDIO, path, rows, raw)


def token_faults(data_dir: Path, manifests: Mapping[Path, ManifestTable]) -> Iterator[Fault]:
    """Yield tokens that are damaged, of other rows or outside of their vocabulary."""
    for tokens in (tokens for name in MODALITIES for tokens in token_sets(data_dir, name)):
        for path, rows in manifests.items():
            files = [tokens.folder / f"{path.stem}.{ending}" for ending in ("bin", "idx")]
            if not any(file.exists() for file in files):
                continue
            try:
                check_tokens(tokens.folder, path.stem, rows)
            except ManifestError as error:
                yield error.as_fault(tokens.folder)
