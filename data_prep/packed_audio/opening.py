"""Open packed audio, if it is that of a manifest and of its files as they are now."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data_prep.errors import Fault, ManifestError
from data_prep.files.digests import digest_once
from data_prep.manifest.table import values
from data_prep.messages import first_few
from data_prep.packed_audio.card import (
    DIGESTS_FILE,
    ENDINGS,
    PackCard,
    PackedSplit,
    describe_other_format,
    read_card,
)
from data_prep.packed_audio.rows import NO_SOURCE, keys_digest, row_keys
from data_prep.packed_audio.sources import compare
from data_prep.packed_audio.stored import PackedAudio, open_intact
from data_prep.schema import Utterance

logger = logging.getLogger(__name__)


def open_packed(
    folder: Path,
    manifest: Path,
    rows: Sequence[Utterance],
    root: Path,
    sample_rate: int,
    otherwise: str = "",
) -> PackedAudio | None:
    """Open the packed audio of a split; None, and a warning, if it is not that of its files.

    Args:
        folder: `packed_audio` of the data dir, or another.
        manifest: `{split}.tsv`.
        rows: of it.
        root: folder that its audio paths start from. Files that are not there are not compared.
        sample_rate: in Hz, that is needed.
        otherwise: what is done instead, for the warning.

    Raises:
        ManifestError: it is damaged.
    """
    split = manifest.stem
    card = read_card(folder)
    entry = None if card is None else card.splits.get(split)
    if card is None or entry is None:
        return None
    problem = _describe_difference(card, manifest, rows)
    if card.sample_rate != sample_rate:
        problem = f"its rate is {card.sample_rate} Hz"
    if not problem:
        packed = open_intact(folder, split, entry)
        problem = _describe_changes(packed, rows, root, folder)
        if not problem:
            _report(folder, split, entry)
            return packed
    again = (
        f"files are decoded instead; run `python -m data_prep.pack_audio {manifest.parent}` again"
    )
    logger.warning(
        "%s: packed audio in %s is not read, %s; %s", manifest, folder, problem, otherwise or again
    )
    return None


def _describe_difference(card: PackCard, manifest: Path, rows: Sequence[Utterance]) -> str:
    """Return why the packed audio is not that of a manifest; empty if it is."""
    if other := describe_other_format(card):
        return other
    is_same = is_of_manifest(card.splits[manifest.stem], manifest, rows)
    return "" if is_same else "the audio of the manifest has changed since"


def is_of_manifest(entry: PackedSplit, manifest: Path, rows: Sequence[Utterance]) -> bool:
    """Return whether a split was packed from these rows."""
    if entry.rows != len(rows):
        return False
    if entry.manifest_file == digest_once(manifest):
        return True
    return entry.manifest == keys_digest(row_keys(rows))


def source_paths(packed: PackedAudio, rows: Sequence[Utterance], root: Path) -> list[str]:
    """Return the path of each audio file of the rows from which a split was packed."""
    numbers, first = np.unique(packed.rows["source"], return_index=True)
    audio = values(rows, "audio")
    return [f"{root}/{audio[row]}" for row in first[numbers != NO_SOURCE].tolist()]


def _describe_changes(
    packed: PackedAudio, rows: Sequence[Utterance], root: Path, folder: Path
) -> str:
    """Return which audio files have changed since they were packed; empty if none has."""
    paths = source_paths(packed, rows, root)
    changed, absent = compare(packed.sources, paths, folder / DIGESTS_FILE)
    if len(absent):
        logger.info(
            "%s: packed audio is read; %d of its %d files are not in %s, and were not compared",
            packed.file,
            len(absent),
            len(paths),
            root,
        )
    if not len(changed):
        return ""
    names = first_few([paths[file] for file in changed.tolist()])
    return f"{len(changed)} of its {len(paths)} files have changed since: {names}"


def _report(folder: Path, split: str, entry: PackedSplit) -> None:
    logger.info("%s: packed audio of %d rows from %s", split, entry.rows, folder)
    if entry.unreadable.rows:
        logger.warning(
            "%s: audio could not be packed, and is read from files, %s", split, entry.unreadable
        )
    for kind, odd in entry.warnings.items():
        logger.warning("%s: %s, %s", split, kind, odd)


def find_faults(
    folder: Path, manifest: Path, rows: Sequence[Utterance], root: Path
) -> Iterator[Fault]:
    """Yield what is wrong with the packed audio of a split, if it has any; reads all samples."""
    split = manifest.stem
    try:
        card = read_card(folder)
        if card is None or split not in card.splits:
            return
        problem = _describe_difference(card, manifest, rows)
        if not problem:
            packed = open_intact(folder, split, card.splits[split])
            for row in range(len(packed)):
                packed.check(row)
            problem = _describe_changes(packed, rows, root, folder)
        if problem:
            remedy = f"run `python -m data_prep.pack_audio {manifest.parent}` again"
            file = str(folder / f"{split}{ENDINGS[0]}")
            yield Fault(file, None, problem, remedy, "packed-audio-outdated")
    except ManifestError as error:
        yield error.as_fault(folder)
