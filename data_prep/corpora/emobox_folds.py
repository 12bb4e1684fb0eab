"""EmoBox's folds of usable rows, and a word in the card on what was drawn or could not be matched.

Kept apart from the reading: what is said here depends on which rows are left.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence

from data_prep.corpora.emobox_files import SPEAKER_FILE, EmoBoxFolder, Speakers
from data_prep.folds.dev_set import draw_dev_set
from data_prep.manifest.records import (
    SPLITS,
    Corpus,
    Utterance,
)
from data_prep.messages import first_few

FoldSets = dict[str, dict[str, tuple[str, ...]]]


def fold_sets(
    metadata: EmoBoxFolder,
    rows: Mapping[str, Utterance],
    valid_share: float,
    seed: int,
    corpus: Corpus,
) -> FoldSets:
    """The usable keys of every fold, with a valid set drawn from train where there is none.

    Speakers are kept whole; a row whose speaker is unknown is drawn by itself. The card is told
    which folds that concerns, by what unit, and how many rows were drawn.
    """
    folds: FoldSets = {}
    drawn = []
    earlier: list[frozenset[str]] = []
    for number, parts in metadata.folds.items():
        sets = {
            split: tuple(key for key in parts.get(split, ()) if key in rows) for split in SPLITS
        }
        if not sets["valid"] and valid_share:
            train = sets["train"]
            groups = [rows[key].speaker or key for key in train]
            draw = random.Random(f"{seed} {number}")
            dev = draw_dev_set([rows[k] for k in train], groups, valid_share, draw, earlier)
            earlier.append(dev)
            pairs = list(zip(train, groups, strict=True))
            sets["valid"] = tuple(key for key, group in pairs if group in dev)
            sets["train"] = tuple(key for key, group in pairs if group not in dev)
            drawn.append(number)
        folds[number] = sets
    corpus.protocol = f"EmoBox, {len(folds)} fold{'s' * (len(folds) != 1)}"
    if drawn:
        unit = "speaker" if any(row.speaker for row in rows.values()) else "row"
        corpus.protocol += f"; valid drawn from train by {unit}, {valid_share:g}, seed {seed}"
        corpus.notes.append(_draw_note(folds, drawn, rows, unit))
    return folds


def _draw_note(
    folds: FoldSets, drawn: Sequence[str], rows: Mapping[str, Utterance], unit: str
) -> str:
    counts = [
        f"{len(folds[fold]['valid'])} of {len(folds[fold]['valid'] + folds[fold]['train'])} rows "
        f"of fold {fold}"
        for fold in drawn
    ]
    note = f"{len(drawn)} folds lack a valid set; drawn by {unit}, not by EmoBox: "
    note += first_few(counts)
    keys = {key for fold in drawn for part in ("train", "valid") for key in folds[fold][part]}
    alone = sum(rows[key].speaker is None for key in keys)
    if unit == "speaker" and alone:
        note += f"; {alone} rows without a speaker were drawn singly"
    return note


def note_speakers(speakers: Speakers, keys: Collection[str], corpus: Corpus) -> None:
    """Say which lines of the speakers' file match no row, and which rows have no line."""
    strays = [key for key in speakers.speaker_of if key not in keys]
    silent = [key for key in keys if key not in speakers.speaker_of]
    notes = {
        f"lines of {SPEAKER_FILE} name no row": strays,
        f"lines of {SPEAKER_FILE} cannot be read": speakers.odd_lines,
        f"rows have no line in {SPEAKER_FILE}, and so no speaker": silent,
    }
    corpus.notes += [f"{len(ids)} {what}: {first_few(ids)}" for what, ids in notes.items() if ids]
