"""Check the rows of a table: ids, names, times that are not read, labels and votes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from data_prep.errors import CodedError, Fault, raise_faults
from data_prep.manifest.cells import fold_name, id_key, shown
from data_prep.manifest.labels import sort_labels
from data_prep.manifest.votes import OTHER, majority, parse_votes
from data_prep.schema import Corpus
from data_prep.tables.reader import open_table
from data_prep.tables.recipe import TableRecipe
from data_prep.tables.rows import LabelUse, Record
from data_prep.tables.segments import unread_times

logger = logging.getLogger(__name__)


def refuse_repeated_ids(records: Sequence[Record], are_made: bool) -> None:
    """Raise ManifestError for two rows of one id; `are_made`: of the names of their files."""
    first: dict[str, Record] = {}
    faults = []
    for record in records:
        other = first.setdefault(id_key(record.utterance.id), record)
        if other is not record:
            problem = f"id {shown(record.utterance.id)} was used in {other.file}, row {other.line}"
            remedy = "give every row its own id"
            if are_made and (audio := record.utterance.audio) == other.utterance.audio:
                problem = f"audio {shown(audio or '')} is that of {other.file}, row {other.line}"
                remedy = f"remove one of them, or {remedy} in a column id"
            faults.append(record.fault(problem, remedy, "id-duplicate"))
    raise_faults(faults)


def check_names_alike(records: Sequence[Record], corpus: Corpus) -> None:
    """Refuse two ways to write one name, by which one speaker would be two, in two splits.

    They are the names 12 and 12.0, since programs write the numbers of a column with an empty
    cell as decimals, and names whose letters are composed in one and not in the other. Names
    that differ in case and spaces alone may be two, which is noted.
    """
    faults, notes = [], []
    for key in ("speaker", "session", "dialogue"):
        first: dict[str, Record] = {}
        for record in records:
            if name := getattr(record.utterance, key):
                first.setdefault(name, record)
        composed: dict[str, str] = {}
        for name, record in first.items():
            whole = name.removesuffix(".0")
            if whole != name and whole.isdecimal() and (other := first.get(whole)) is not None:
                problem = (
                    f"{key} {name} looks like {whole} of {other.file}, row {other.line}, written "
                    "as a decimal"
                )
                faults.append(record.fault(problem, f"write {whole} in all rows", "name-decimal"))
            elif (same := composed.setdefault(id_key(name), name)) != name:
                problem = (
                    f"{key} {name} is that of {first[same].file}, row {first[same].line}, but "
                    "the code points of its letters differ (such as é and e + U+0301)"
                )
                remedy = "normalize the column to NFC"
                faults.append(record.fault(problem, remedy, "name-composed"))
        alike: dict[str, list[str]] = {}
        for name in first:
            alike.setdefault(fold_name(name), []).append(name)
        if pairs := [names for names in alike.values() if len(names) > 1]:
            notes.append(
                f"{key}s that look alike are taken for different ones: "
                + ", ".join("=".join(map(shown, names)) for names in pairs[:3])
                + (f" and {len(pairs) - 3} more" if len(pairs) > 3 else "")
            )
    raise_faults(faults)
    for note in notes:
        logger.warning("%s", note)
    corpus.notes += notes


def check_times(records: Sequence[Record], recipe: TableRecipe, corpus: Corpus) -> None:
    """Refuse unread columns of times if rows share audio; else note them."""
    faults = []
    audio = [record.utterance.audio for record in records]  # of all tables: splits share files, too
    for path in dict.fromkeys(record.file for record in records):
        unread = unread_times(_unread_columns(path, recipe), recipe.columns, audio)
        if unread is None:
            continue
        problem, remedy, is_shared = unread
        if is_shared:
            remedy += "; keep what is no time in the audio with --extra, or rename its column"
            faults.append(Fault(str(path), None, problem, remedy, "times-unread"))
        else:
            logger.warning("%s: %s; %s", path, problem, remedy)
            corpus.notes.append(f"{path.name}: {problem}; {remedy}")
    raise_faults(faults)


def _unread_columns(path: Path, recipe: TableRecipe) -> Sequence[str]:
    if recipe.unread is not None:
        return recipe.unread
    used = {*recipe.columns.values(), *recipe.vote_columns.values(), *recipe.extra}
    used |= {recipe.split_column or ""}
    return [name for name in open_table(path, recipe.format).columns if name not in used]


def check_label_use(use: LabelUse, recipe: TableRecipe, corpus: Corpus) -> None:
    """Refuse options with a label that no row has, and note spaces that were stripped.

    Raises:
        CodedError: such an option.
    """
    for key, seen in use.seen.items():
        option = "--label-map" if key == "emotion" else "--sentiment-map"
        changes = recipe.label_map.get(key, {})
        named = [(f"{option} {old}={new}", old) for old, new in changes.items()]
        if key == "emotion":
            named += [(f"--drop-label {label}", label) for label in recipe.drop_labels]
        for text, label in named:
            if label not in seen and label not in recipe.class_names.get(key, ()):
                known = ", ".join(map(shown, sort_labels(seen))) or "none"
                message = f"{text}: no row has the {key} {shown(label)}; there are {known}"
                raise CodedError(message, "label-unknown")
        if n := use.padded[key]:
            corpus.notes.append(f"{n} cells of {key} had spaces around the label, taken off")


def describe_labels(records: Sequence[Record], recipe: TableRecipe, corpus: Corpus) -> None:
    """Set the label sets: in the given order, else sorted, which is noted."""
    for key in recipe.label_keys:
        labels = {getattr(record.utterance, key) for record in records} - {None}
        if key == "emotion" and recipe.has_votes:
            labels |= _voted_labels(records)
        order = tuple(recipe.label_order.get(key, ()))
        if order:
            absent = [label for label in order if label not in labels]
            if absent:
                corpus.notes.append(f"{key} labels that no row has: {', '.join(absent)}")
        elif labels:
            order = tuple(sort_labels(labels))
            corpus.notes.append(f"no order was given for {key}: its labels are sorted")
        else:
            file = f"{records[0].file}: " if records else ""
            column = recipe.columns.get(key) or ", ".join(recipe.vote_columns.values()) or "votes"
            message = f"{file}column {column} holds no {key} label at all"
            raise CodedError(message, "labels-missing")
        corpus.labels[key] = order


def _voted_labels(records: Sequence[Record]) -> set[str]:
    """Return the labels that rows have votes for, without `OTHER`."""
    texts = {record.utterance.votes for record in records} - {None}
    return {label for text in texts for label in parse_votes(text or "")} - {OTHER}


def note_votes(records: Sequence[Record], recipe: TableRecipe, corpus: Corpus) -> None:
    """Note how many rows have votes, and how many of them no class: by ties, or for `OTHER`."""
    if not recipe.has_votes:
        return
    voted = [record.utterance for record in records if record.utterance.votes is not None]
    without = [parse_votes(row.votes or "") for row in voted if row.emotion is None]
    n_ties = sum(majority(votes) is None for votes in without)
    corpus.notes.append(
        f"{len(voted)} of {len(records)} rows have annotators' votes; {len(without)} of them have "
        f"no emotion: {n_ties} without agreement (a tie), {len(without) - n_ties} others"
    )
