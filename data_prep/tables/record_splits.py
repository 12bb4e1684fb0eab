"""The splits of the rows of a table: draw and describe them, and note what they share."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.errors import CodedError, ManifestError
from data_prep.folds.draw import coarse_sentence, draw_splits
from data_prep.folds.records import ALL
from data_prep.manifest.leaks import DIGESTS_FILE, ERROR, find_twins, sound_digests
from data_prep.schema import Corpus, Utterance, shared_values
from data_prep.tables.recipe import TableRecipe
from data_prep.tables.rows import Record

logger = logging.getLogger(__name__)


def describe_splits(records: Sequence[Record], recipe: TableRecipe, corpus: Corpus) -> None:
    """Draw the splits if the recipe has `split_by`, and describe them in the card."""
    apart = set(recipe.disjoint)
    if not recipe.split_by:
        source = f"column {recipe.split_column}" if recipe.split_column else "one table each"
        is_unsplit = {record.split for record in records} == {ALL}
        corpus.protocol = "one split of all rows, for folds" if is_unsplit else f"splits: {source}"
    else:
        groups = [_group(record, recipe.split_by) for record in records]
        sizes = Counter(groups)
        split_of = _draw(sizes, recipe, records)
        for record, group in zip(records, groups, strict=True):
            record.split = split_of[group]
        _fill_in_splits(records, corpus)
        if coarse := coarse_sentence(sizes, split_of, recipe.fractions, recipe.split_by):
            logger.warning("--split-by %s: %s", recipe.split_by, coarse)
            corpus.notes.append(coarse)
        shares = ", ".join(f"{split} {share:g}" for split, share in recipe.fractions.items())
        corpus.protocol = f"drawn at random by {recipe.split_by}, seed {recipe.seed}: {shares}"
        apart |= {recipe.split_by} & {"speaker", "dialogue"}
    corpus.disjoint = tuple(sorted(apart))


def _fill_in_splits(records: Sequence[Record], corpus: Corpus) -> None:
    """Name the split of parts of rows that were dropped before the splits were drawn."""
    split_of = {record.utterance.id: record.split for record in records}
    corpus.dropped = [
        row if row.what == "row" else replace(row, split=split_of.get(row.id, row.split))
        for row in corpus.dropped
    ]


def _draw(
    sizes: Mapping[str, int], recipe: TableRecipe, records: Sequence[Record]
) -> dict[str, str]:
    try:
        return draw_splits(sizes, recipe.fractions, recipe.seed)
    except CodedError as error:
        if error.code != "groups-too-few":
            raise
        raise CodedError(f"{records[0].file}: {error}", error.code) from None


def _group(record: Record, key: str) -> str:
    value = record.utterance.id if key == "row" else getattr(record.utterance, key)
    if value is None:
        problem, remedy = f"no {key}, by which splits are drawn", f"fill in the {key}"
        raise ManifestError(record.fault(problem, remedy, "unit-missing"))
    return str(value)


def note_shared(splits: Mapping[str, Sequence[Utterance]], corpus: Corpus) -> None:
    """Note speakers and dialogues of more than one split, where they are not kept apart."""
    for key in ("speaker", "dialogue"):
        shared = shared_values(splits, key)
        if shared and key not in corpus.disjoint:
            corpus.notes.append(f"{len(shared)} {key}s are in more than one split")


def note_twins(
    splits: Mapping[str, Sequence[Utterance]], root: Path, out_dir: Path, corpus: Corpus
) -> None:
    """Note and log recordings with the same bytes in two splits, by which scores are too high."""
    out_dir.mkdir(parents=True, exist_ok=True)
    digests, _ = sound_digests(splits, root, out_dir / DIGESTS_FILE)
    for leak in find_twins(splits, digests):
        if leak.level == ERROR:
            logger.warning("%s; remove them from one of the splits", leak.sentence)
            corpus.notes.append(leak.sentence)
