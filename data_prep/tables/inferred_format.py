"""How a delimited table is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.tables.completed_recipe import GivenOptions, Inference
from data_prep.tables.reader import JSONL, PARQUET, SHEETS, check_readable, is_folder
from data_prep.tables.sniffing import NAMES as DELIMITER_NAMES
from data_prep.tables.sniffing import Sniffed, sniff
from data_prep.tables.table import Table


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
