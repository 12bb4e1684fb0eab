"""Complete the recipe of a table by what the table shows, and list what only its user can decide.

Inferred, and reported: how a delimited file is written, which column fills which field, the decimal
separator, the folder of the audio, where the splits come from. Never inferred: the meaning of a
label, the scale of valence, arousal and dominance, a value that means a missing one.
"""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.errors import CodedError, raise_faults
from data_prep.manifest.cells import shown
from data_prep.manifest.labels import MISSING_WORDS, sort_labels
from data_prep.manifest.out_of_scale import CLIP, DROP_AXIS, REFUSE
from data_prep.messages import first_few
from data_prep.schema import AXES, LABEL_COLUMNS
from data_prep.tables.audio_folder import find_audio
from data_prep.tables.column_contents import (
    Contents,
    decimal_of,
    is_number,
    read_contents,
    split_of,
)
from data_prep.tables.column_map import map_columns
from data_prep.tables.column_names import SURE, rank
from data_prep.tables.completed_recipe import GivenOptions, Inference
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

_NUMERIC = (*AXES, "sentiment_score", "start", "end")
_GROUPS = ("speaker", "dialogue", "session")
_LEAST_GROUPS = 3  # one for each of train, valid and test
_MOST_WORDS = 5  # distinct values that are no numbers, in a column of numbers
_MOST_CODES = 5  # labels that are numbers, in a message


def infer(tables: Mapping[str, Path], recipe: TableRecipe, given: GivenOptions) -> Inference:
    """Complete a recipe.

    Raises:
        ManifestError: a table that cannot be read.
        CodedError: tables that are written in different ways.
    """
    inference = Inference(recipe)
    _infer_format(tables, given, inference)
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
    _check_delimiter(opened[0], inference)
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
    _infer_numbers(usable, given, inference)
    _check_labels(usable, inference)
    _note_missing_words(usable, inference)
    _infer_audio(opened[0].path, usable, inference)
    _infer_splits(tables, usable, inference)


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


def _infer_format(tables: Mapping[str, Path], given: GivenOptions, inference: Inference) -> None:
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


def _check_delimiter(table: Table, inference: Inference) -> None:
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


def _infer_numbers(
    contents: Mapping[str, Contents], given: GivenOptions, inference: Inference
) -> None:
    """Complete the decimal separator; list words among numbers, and ratings of unknown scale."""
    numeric = _numeric(contents, inference.recipe)
    _check_words(numeric, inference)
    numbers = [v for column in numeric.values() for v in column.values if is_number(v)]
    separator = decimal_of(numbers)
    decimal = given.decimal or ("." if separator is None else separator)
    if decimal == "":
        example = next(value for value in numbers if "," in value)
        problem = f"{example} could have a decimal comma, or one between thousands"
        inference.add(problem, ("--decimal", "COMMA_OR_POINT"), "decimal-unknown")
        decimal = "."
    if decimal == "," and not given.decimal:
        inference.findings.append("decimal comma")
    how = replace(inference.recipe.format, decimal=decimal)
    inference.recipe = replace(inference.recipe, format=how)
    _check_scale(
        {axis: c for axis, c in numeric.items() if axis in AXES}, decimal, given, inference
    )


def _numeric(contents: Mapping[str, Contents], recipe: TableRecipe) -> dict[str, Contents]:
    columns = {f: recipe.columns[f] for f in _NUMERIC if f in recipe.columns}
    return {f: contents[name] for f, name in columns.items() if name in contents}


def _check_words(numeric: Mapping[str, Contents], inference: Inference) -> None:
    """Decide on words in columns of numbers, which may mean missing ones."""
    words: dict[str, list[str]] = {}
    for field_, column in numeric.items():
        odd = (
            [v for v in column.values if not is_number(v)] if field_ not in ("start", "end") else []
        )
        for value in odd if len(odd) <= _MOST_WORDS else ():
            if value.casefold() not in MISSING_WORDS:
                continue  # the rows are listed when they are read
            words.setdefault(value, []).append(f"{field_} ({column.values[value]} rows)")
    for value, places in words.items():
        problem = f"{shown(value)} in {', '.join(places)} is no number; does it mean a missing one?"
        inference.add(problem, ("--missing", value), "value-not-number")


def _check_scale(
    axes: Mapping[str, Contents], decimal: str, given: GivenOptions, inference: Inference
) -> None:
    ranges, outside = [], 0
    low, high = inference.recipe.vad_scale or (0.0, 0.0)
    for axis, column in axes.items():
        numbers = list(_numbers(column, decimal))
        if numbers:
            ranges.append(f"{axis} from {min(numbers):g} to {max(numbers):g}")
            outside += sum(not low <= number <= high for number in numbers)
    if axes and inference.recipe.vad_scale is None:
        _without_scale(list(axes), ranges, given, inference)
    elif outside and inference.recipe.out_of_scale == REFUSE and inference.decisions and low < high:
        # Alone, they are listed by row when the rows are read.
        problem = f"{outside} ratings are outside the scale {low:g} to {high:g}: "
        problem += f"{', '.join(ranges)}; {CLIP} them, or {DROP_AXIS}"
        inference.add(problem, ("--out-of-scale", "CHOICE"), "vad-out-of-scale")


def _without_scale(
    axes: Sequence[str], ranges: Sequence[str], given: GivenOptions, inference: Inference
) -> None:
    """Leave out axes whose scale is not known, where there is something else to learn.

    Axes that were named, or that alone can be learned, are a decision.
    """
    recipe = inference.recipe
    is_needed = given.needs_vad or any(given.columns.get(axis) for axis in axes)
    problem = f"the scale is not known of {', '.join(ranges) or ', '.join(axes)}"
    if is_needed or not {*LABEL_COLUMNS, "sentiment_score"} & set(recipe.columns):
        inference.add(problem, ("--vad-scale", "LOW", "HIGH"), "vad-scale-missing")
        return
    note = f"{', '.join(axes)} left out: {problem}; --vad-scale LOW HIGH reads them"
    columns = {f: name for f, name in recipe.columns.items() if f not in axes}
    inference.recipe = replace(recipe, columns=columns, notes=[*recipe.notes, note])


def _numbers(column: Contents, decimal: str) -> Iterator[float]:
    for value, count in column.values.items():
        written = value.replace(",", ".") if decimal == "," else value
        if is_number(value) and "," not in written:
            yield from [float(written)] * count


def _check_labels(contents: Mapping[str, Contents], inference: Inference) -> None:
    """List labels that are spelled alike, that are numbers, or that may mean a missing one."""
    for key in LABEL_COLUMNS:
        column = contents.get(inference.recipe.columns.get(key, ""))
        if column is None:
            continue
        option = "--label-map" if key == "emotion" else "--sentiment-map"
        decided = {
            *inference.recipe.label_map.get(key, {}),
            *inference.recipe.label_order.get(key, ()),
        }
        decided |= set(inference.recipe.drop_labels) if key == "emotion" else set()
        for same in _spelled_alike(column):
            first, *others = [label for label in same if label not in decided] or same[:1]
            for label in others:
                is_decimal = is_number(label)
                how = "are one number" if is_decimal else "differ in case or spaces alone"
                problem = f"the {key} {_counted(column, label)} and {_counted(column, first)} "
                problem += f"{how}; {label}={label} keeps both"
                inference.add(problem, (option, f"{label}={first}"), "labels-alike")
        _note_codes(key, option, column, decided, inference)
        for label, count in column.values.items():
            if label.casefold() in MISSING_WORDS and label not in decided:
                problem = f"is {key} {shown(label)} ({count} rows) a class, or no label? "
                problem += f"{option} {label}={label} makes it a class"
                inference.add(problem, ("--missing", label), "label-missing-word")


def _note_codes(
    key: str, option: str, column: Contents, decided: Collection[str], inference: Inference
) -> None:
    """Warn of numbers in place of labels, whose meaning only the user can give."""
    codes = [label for label in sort_labels(column.values) if label not in decided]
    if codes and all(map(is_number, codes)):
        named = " ".join(f"{option} {code}=NAME" for code in codes[:_MOST_CODES])
        more = " ..." if len(codes) > _MOST_CODES else ""
        inference.findings.append(
            f"warning: the {key} column {column.name} holds numbers, {first_few(codes)}, and each "
            f"is a class of that name; {named}{more} gives them names"
        )


def _note_missing_words(contents: Mapping[str, Contents], inference: Inference) -> None:
    """Warn of texts and speakers such as "N/A", which may be none."""
    for field_ in ("text", *_GROUPS):
        column = contents.get(inference.recipe.columns.get(field_, ""))
        for value, count in column.values.items() if column else ():
            if value.casefold() in MISSING_WORDS:
                inference.findings.append(
                    f"warning: {shown(value)} ({count} rows) is read as a {field_}; "
                    f"if it means that there is none: --missing {shlex.quote(value)}"
                )


def _counted(column: Contents, label: str) -> str:
    return f"{shown(label)} ({column.values[label]} rows)"


def _spelled_alike(column: Contents) -> Iterator[list[str]]:
    """Yield labels that look alike but for case and spaces, or 1 and 1.0; the most frequent first.

    Programs write the numbers of a column with an empty cell as decimals.
    """
    groups: dict[str, list[str]] = {}
    for label in column.values:
        folded = unicodedata.normalize("NFKC", label).casefold()  # one of two ways to write "ö"
        whole = label.removesuffix(".0")
        groups.setdefault(whole if whole.isdecimal() else " ".join(folded.split()), []).append(
            label
        )
    for same in groups.values():
        if len(same) > 1:
            yield sorted(same, key=lambda label: (-column.values[label], label))


def _infer_splits(
    tables: Mapping[str, object], contents: Mapping[str, Contents], inference: Inference
) -> None:
    """Complete where the splits come from: what is given, else the largest units there are."""
    recipe = inference.recipe
    if recipe.split_column:
        _check_split_values(contents.get(recipe.split_column), inference)
    if recipe.split_column or recipe.split_by or any(tables):
        _note_no_valid(tables, contents, inference)
        return
    for group in _GROUPS:
        column = contents.get(recipe.columns.get(group, ""))
        if column is not None and len(column.values) >= _LEAST_GROUPS:
            inference.recipe = replace(recipe, split_by=group)
            inference.findings.append(f"splits drawn by {group}: {len(column.values)} {group}s")
            if absent := column.n_rows - column.n_filled:
                problem = f"{absent} rows have no {group}, by which splits are drawn"
                remedy = "fill it in, or draw them by row"
                inference.add(f"{problem}; {remedy}", ("--split-by", "row"), "unit-missing")
            return
    inference.recipe = replace(recipe, split_by="row")
    few = [f"{len(contents[name].values)} {g}" for g in _GROUPS if (name := recipe.columns.get(g))]
    reason = (
        f"the rows have {' and '.join(few)} alone, fewer than {_LEAST_GROUPS}"
        if few
        else "no speakers or dialogues are known"
    )
    inference.findings.append(
        f"warning: splits drawn by row, since {reason}: rows of one "
        "person are then in train and in test, and figures are better than those of a new speaker"
    )


def _note_no_valid(
    tables: Mapping[str, object], contents: Mapping[str, Contents], inference: Inference
) -> None:
    """Warn where the splits are given, and none is valid."""
    recipe = inference.recipe
    column = contents.get(recipe.split_column or "")
    splits = (
        {recipe.split_map.get(value, value) for value in column.values} if column else {*tables}
    )
    if "train" not in splits or "valid" in splits:
        return
    remedy = "--column split= --split-by speaker draws the splits anew"
    others = [name for name in contents if rank("split", name) == SURE]
    if column is None and others:
        remedy = f"--column split={others[0]} reads the splits of that column"
    inference.findings.append(
        "warning: no row is of the split valid, by which a training selects its checkpoint; "
        f"{remedy}"
    )


def _check_split_values(column: Contents | None, inference: Inference) -> None:
    if column is None:
        return
    mapping = dict(inference.recipe.split_map)
    for value, count in column.values.items():
        if value in mapping:
            continue
        split = split_of(value)
        if split is None:
            problem = f"{count} rows are of the split {shown(value)}: which one is it?"
            inference.add(problem, ("--split-map", f"{value}=SPLIT"), "split-unknown")
        elif split != value:
            mapping[value] = split
    if mapping:
        renamed = ", ".join(f"{old} as {new}" for old, new in mapping.items())
        inference.findings.append(f"splits: {renamed}")
    inference.recipe = replace(inference.recipe, split_map=mapping)
