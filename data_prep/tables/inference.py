"""Complete the recipe of a table by what the table shows, and list what only its user can decide.

Inferred, and reported: how a delimited file is written, which column fills which field, the decimal
separator, the folder of the audio, where the splits come from. Never inferred: the meaning of a
label, the scale of valence, arousal and dominance, a value that means a missing one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.errors import CodedError, raise_faults
from data_prep.tables.audio_folder import find_audio
from data_prep.tables.column_contents import Contents, read_contents
from data_prep.tables.column_map import map_columns
from data_prep.tables.completed_recipe import GivenOptions, Inference
from data_prep.tables.inferred_labels import check_labels, note_missing_words
from data_prep.tables.inferred_numbers import infer_numbers
from data_prep.tables.inferred_splits import infer_splits
from data_prep.tables.reader import (
    JSONL,
    PARQUET,
    SHEETS,
    check_readable,
    is_folder,
    open_table,
    require_columns,
)
from data_prep.tables.recipe import TableRecipe
from data_prep.tables.sniffing import NAMES as DELIMITER_NAMES
from data_prep.tables.sniffing import Sniffed, sniff
from data_prep.tables.table import Table


def infer(tables: Mapping[str, Path], recipe: TableRecipe, given: GivenOptions) -> Inference:
    """Complete a recipe.

    Raises:
        ManifestError: a table that cannot be read.
        CodedError: tables that are written in different ways.
    """
    inference = Inference(recipe)
    infer_format(tables, given, inference)
    how = inference.recipe.format
    _infer_content({s: [open_table(path, how)] for s, path in tables.items()}, given, inference)
    return inference


def infer_opened(
    tables: Mapping[str, Sequence[Table]],
    recipe: TableRecipe,
    given: GivenOptions,
    ignored: Collection[str] = (),
) -> Inference:
    """Complete a recipe of tables that are open, of which `ignored` columns are not used."""
    inference = Inference(recipe)
    _infer_content(tables, given, inference, ignored)
    return inference


def _infer_content(
    tables: Mapping[str, Sequence[Table]],
    given: GivenOptions,
    inference: Inference,
    ignored: Collection[str] = (),
) -> None:
    opened = [table for part in tables.values() for table in part]
    check_delimiter(opened[0], inference)
    contents = inference.contents = read_contents(opened, inference.recipe.missing)
    if not any(column.n_rows for column in contents.values()):
        raise_faults([row.fault for table in opened for row in table.rows(()) if row.fault])
    sheets: Sequence[str] = getattr(opened[0], "sheet_names", ())
    if len(sheets) > 1:
        read = inference.recipe.format.sheet or sheets[0]
        unread = ", ".join(name for name in sheets if name != read)
        inference.findings.append(f"sheet {read}; not read: {unread} (--sheet reads another)")
    usable = {name: column for name, column in contents.items() if name not in ignored}
    _infer_columns(tables, usable, given, inference)
    infer_numbers(usable, given, inference)
    check_labels(usable, inference)
    note_missing_words(usable, inference)
    _infer_audio(opened[0].path, usable, inference)
    infer_splits(tables, usable, inference)


def _infer_columns(
    tables: Mapping[str, Sequence[Table]],
    contents: Mapping[str, Contents],
    given: GivenOptions,
    inference: Inference,
) -> None:
    names = dict(given.columns)
    recipe = inference.recipe
    if recipe.split_column or recipe.split_by or any(tables):
        names["split"] = recipe.split_column or ""
    kept = {*recipe.extra, *recipe.vote_columns.values()}
    wanted = [name for name in names.values() if name] + list(kept)
    for table in (table for part in tables.values() for table in part):
        parts = [f"{name}.path" for name in table.columns]  # of sounds, in published tables
        require_columns(table, [name for name in wanted if name not in parts])
    mapped = map_columns({n: c for n, c in contents.items() if n not in kept}, names)
    inference.decisions += mapped.decisions
    columns = mapped.columns
    split_column = columns.pop("split", None)
    inference.recipe = replace(recipe, columns=columns, split_column=split_column)
    if recipe.features and not {"id", "audio"} & set(columns):
        inference.add(
            f"no column holds ids, which the files of features are named by; there are "
            f"{', '.join(contents)}",
            ("--column", "id=COLUMN"),
            "field-not-mapped",
        )
    elif not recipe.features and not {"text", "audio", "video"} & set(columns):
        inference.add(
            f"no column holds texts, or names of audio files; there are {', '.join(contents)}",
            ("--column", "text=COLUMN"),
            "field-not-mapped",
        )


def _infer_audio(table: Path, contents: Mapping[str, Contents], inference: Inference) -> None:
    recipe = inference.recipe
    column = contents.get(recipe.columns.get("audio", ""))
    if column is None or not column.is_plain:
        return
    audio = find_audio(list(column.values), table, recipe.data_raw)
    if audio.root is None and recipe.features:
        columns = {"id": recipe.columns["audio"], **recipe.columns}
        del columns["audio"]
        inference.recipe = replace(recipe, columns=columns)
        inference.findings.append(f"audio left out, and features read: {audio.problem}")
        return
    if audio.root is None:
        problem = f"the folder of the audio is not known: {audio.problem}"
        inference.add(problem, ("--data-raw", "FOLDER"), "data-raw-missing")
        return
    if audio.problem and not recipe.drop_bad_audio and recipe.data_raw is None:
        inference.add(audio.problem, ("--drop-bad-audio",), "recordings-missing")
    inference.recipe = replace(recipe, data_raw=audio.root, audio_paths=audio.paths)
    if recipe.data_raw is None:
        inference.findings.append(f"audio in {audio.root.absolute()}")


def infer_format(tables: Mapping[str, Path], given: GivenOptions, inference: Inference) -> None:
    """Complete the format of the tables that are delimited, which has to be the same of all."""
    typed = (PARQUET, JSONL, *SHEETS)
    how = inference.recipe.format
    paths = [path for path in tables.values() if path.suffix.lower() not in typed]
    paths = [path for path in paths if not is_folder(path)]
    if how.delimiter is None and not paths:
        how = replace(how, header=given.header is not False)
        inference.recipe = replace(inference.recipe, format=how)
        return
    sniffed: dict[Path, Sniffed] = {}
    for path in paths or tables.values():
        check_readable(path)
        sniffed[path] = sniff(path, how, encoding=given.encoding, header=given.header)
    first = next(iter(sniffed.values()))
    if other := next((p for p, s in sniffed.items() if s.format != first.format), None):
        ways = [f"{path.name}: {', '.join(sniffed[path].findings)}" for path in (paths[0], other)]
        raise CodedError(
            f"the tables are written in different ways ({'; '.join(ways)}); save them alike",
            "table-formats-mixed",
        )
    inference.recipe = replace(inference.recipe, format=first.format)
    inference.findings += [", ".join(first.findings)] if first.findings else []
    if first.rivals:
        both = " and ".join(
            DELIMITER_NAMES[c] for c in (first.format.delimiter or "", *first.rivals)
        )
        inference.add(
            f"{both} could each delimit the cells", ("--delimiter", "C"), "delimiter-unknown"
        )


def check_delimiter(table: Table, inference: Inference) -> None:
    """Raise CodedError where the delimiter that was given is not the table's."""
    given = inference.recipe.format.delimiter
    (header,) = table.columns if len(table.columns) == 1 else ("",)
    other = next((character for character in ",;\t|" if character in header), None)
    if given is not None and other is not None and table.path.is_file():
        raise CodedError(
            f"{table.path}: the first row holds no {DELIMITER_NAMES.get(given, repr(given))} and "
            f"may be delimited by {DELIMITER_NAMES[other]}; leave out --delimiter",
            "delimiter-absent",
        )
