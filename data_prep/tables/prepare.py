"""Write the data dir of a table, by a `TableRecipe`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from data_prep.engines import Workers
from data_prep.errors import CodedError
from data_prep.features.linked import Files, find_features, link_features
from data_prep.folds.records import ALL
from data_prep.manifest.audio_root import to_record
from data_prep.manifest.cells import find_id_fault
from data_prep.manifest.out_of_scale import VadScale
from data_prep.schema import SPLITS, Corpus, DroppedRow, Utterance, write_corpus
from data_prep.tables.recipe import TableRecipe, check_recipe
from data_prep.tables.record_checks import (
    check_label_use,
    check_names_alike,
    check_times,
    describe_labels,
    note_votes,
    refuse_repeated_ids,
)
from data_prep.tables.record_media import check_record_videos, measure_recordings
from data_prep.tables.record_splits import describe_splits, note_shared, note_twins
from data_prep.tables.rows import LabelUse, Record, RowSource, read_records, read_rows

logger = logging.getLogger(__name__)


def prepare_table(
    tables: Mapping[str, Path],
    out_dir: str | Path,
    recipe: TableRecipe,
    *,
    read: RowSource = read_rows,
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write the data dir of `tables`, {split: file}; "" for a table with the rows of all splits.

    `read` reads the rows of a table (default: `read_rows`).
    """
    check_recipe(recipe, tables)
    corpus = Corpus(recipe.name, license=recipe.license, citation=recipe.citation)
    corpus.notes += recipe.notes
    use = LabelUse()
    records = [
        record
        for split, path in tables.items()
        for record in read_records(path, split, recipe, corpus, read, use)
    ]
    if "id" not in recipe.columns:
        _make_ids(records, corpus)
    refuse_repeated_ids(records, are_made="id" not in recipe.columns)
    check_names_alike(records, corpus)
    check_label_use(use, recipe, corpus)
    describe_labels(records, recipe, corpus)
    note_votes(records, recipe, corpus)
    if recipe.vad_scale:
        low, high = recipe.vad_scale
        mapping = f"(x - {low:g}) / {high - low:g}"
        corpus.vad = {"source_scale": [low, high], "mapping": mapping}
    if "audio" in recipe.columns:
        check_times(records, recipe, corpus)
    if recipe.data_raw:
        if recipe.data_raw.absolute() != Path(out_dir).absolute():
            corpus.data_raw = to_record(recipe.data_raw)
        measure_recordings(records, recipe, corpus, workers, progress)
        check_record_videos(records, recipe, corpus, workers, progress)
    features = _find_features(records, recipe, corpus)
    records = list(_with_content(records, corpus, set().union(*features.values())))
    describe_splits(records, recipe, corpus)
    _list_outside(records, recipe, corpus)
    splits = {s: [r.utterance for r in records if r.split == s] for s in (*SPLITS, ALL)}
    splits = {split: rows for split, rows in splits.items() if rows}
    if not splits:
        names = ", ".join(map(str, tables.values()))
        raise CodedError(f"{names}: no row can be used", "rows-missing")
    note_shared(splits, corpus)
    if recipe.data_raw and len(splits) > 1:
        note_twins(splits, recipe.data_raw, Path(out_dir), corpus)
    # The links first: the corpus.yaml marks a data dir as complete.
    link_features(Path(out_dir), features, {row.id for rows in splits.values() for row in rows})
    write_corpus(out_dir, corpus, splits)
    return corpus


def _find_features(
    records: Sequence[Record], recipe: TableRecipe, corpus: Corpus
) -> dict[str, Files]:
    """Return the files of features by name and id, and note how many rows have one."""
    found = find_features(recipe.features, [record.utterance.id for record in records])
    for name, files in found.items():
        corpus.notes.append(
            f"features {name}: {len(files)} of {len(records)} rows have frames in "
            f"{recipe.features[name]}"
        )
    return found


def _make_ids(records: Sequence[Record], corpus: Corpus) -> None:
    """Name the rows after their files, without suffix.

    Where two files have one name, all ids begin with the folders. A segment has its milliseconds
    added, as `name_1500_2250`. Rows without audio are called by their split and line, `row_2`.
    """
    files = {audio for record in records if (audio := record.utterance.audio)}
    names = Counter(PurePosixPath(file).stem for file in files)
    in_folders = any(count > 1 for count in names.values())
    for record in records:
        row = record.utterance
        name = _id_of_file(row, in_folders) if row.audio else ""
        if not name or find_id_fault(name):
            name = f"{record.split or 'row'}_{record.line}"
        record.utterance = replace(row, id=name)
    corpus.notes.append("no column fills id: ids are made of the names of files, or of lines")


def _list_outside(records: Sequence[Record], recipe: TableRecipe, corpus: Corpus) -> None:
    """List the ratings outside the scale that are clipped or left out."""
    if recipe.vad_scale is not None:
        outside = [(r.utterance.id, axis, value) for r in records for _, axis, value in r.outside]
        scale = VadScale(*recipe.vad_scale, recipe.out_of_scale, outside)
        scale.list_outside(corpus, {r.utterance.id: r.split for r in records})


def _with_content(
    records: Sequence[Record], corpus: Corpus, with_features: Collection[str]
) -> Iterator[Record]:
    """Yield the rows with an input, which are those with features, too, by id."""
    for record in records:
        row = record.utterance
        has_input = row.id in with_features or row.text or row.audio or row.video
        if not has_input:
            reason = "neither text, audio nor video"
            reason += " nor features" if with_features else ""
            corpus.dropped.append(DroppedRow(record.split, record.utterance.id, reason))
        else:
            yield record


def _id_of_file(row: Utterance, in_folders: bool) -> str:
    path = PurePosixPath(row.audio or "").with_suffix("")
    name = path.as_posix().lstrip("/") if in_folders else path.name
    if not row.is_segment:
        return name
    end = "end" if row.end is None else round(row.end * 1000)
    return f"{name}_{round((row.start or 0.0) * 1000)}_{end}"
