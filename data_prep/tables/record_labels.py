"""The labels of the rows of a table: their order, and notes on votes and spaces."""

from __future__ import annotations

from collections.abc import Sequence

from data_prep.errors import CodedError
from data_prep.manifest.cells import shown
from data_prep.manifest.labels import sort_labels
from data_prep.manifest.votes import OTHER, majority, parse_votes
from data_prep.schema import Corpus
from data_prep.tables.recipe import TableRecipe
from data_prep.tables.rows import LabelUse, Record


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
