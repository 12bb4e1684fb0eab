"""Maps of labels: of a corpus to another label, or to nothing, which drops the row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from data_prep.errors import CodedError
from data_prep.prototypes.records import canonical_label
from data_prep.schema import LABEL_COLUMNS

LabelMaps = Mapping[str, Mapping[str, Mapping[str, str]]]  # column -> corpus -> label -> label
OPTIONS = {"emotion": "--map", "sentiment": "--sentiment-map"}  # column -> what fills its maps


def parse_maps(option: str, texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """["meld:joy=happy", "meld:fear="] -> {"meld": {"joy": "happy", "fear": ""}}."""
    maps: dict[str, dict[str, str]] = {}
    for text in texts:
        left, equals, new = text.partition("=")
        corpus, colon, old = left.partition(":")
        if not (corpus and colon and old and equals) or old in maps.get(corpus, {}):
            raise CodedError(
                f"{option} {text}: write CORPUS:FROM=TO, or CORPUS:FROM= to drop its rows, and "
                "each label once",
                "option-malformed",
            )
        maps.setdefault(corpus, {})[old] = new
    return maps


def check_maps(maps: LabelMaps, labels: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Raise CodedError if a map names an unknown corpus or label.

    Args:
        maps: column -> corpus -> label -> label.
        labels: corpus -> column -> its labels.
    """
    for column, by_corpus in maps.items():
        option = OPTIONS[column]
        for corpus, changes in by_corpus.items():
            if corpus not in labels:
                message = f"{option} {corpus}: no such corpus; there are {_list(labels)}"
                raise CodedError(message, "corpus-unknown")
            known = labels[corpus].get(column, ())
            if unknown := [old for old in changes if old not in known]:
                raise CodedError(
                    f"{option} {corpus}:{unknown[0]}=: {corpus} has no such {column}; "
                    f"it has {_list(known) or 'none'}",
                    "label-unknown",
                )


def join_labels(
    maps: LabelMaps, labels: Mapping[str, Mapping[str, Sequence[str]]]
) -> dict[str, tuple[str, ...]]:
    """Return the joint label sets after the maps: column -> labels in order of appearance."""
    joined = {}
    for column in LABEL_COLUMNS:
        changes = maps.get(column, {})
        names = [
            changes.get(corpus, {}).get(name, name)
            for corpus, sets in labels.items()
            for name in sets.get(column, ())
        ]
        if labels_of_column := tuple(dict.fromkeys(name for name in names if name)):
            joined[column] = labels_of_column
    return joined


def twin_notes(labels: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a note on labels that are one class by their names, but were not mapped to one."""
    notes = []
    for column, names in labels.items():
        twins: dict[str, list[str]] = {}
        for name in names:
            twins.setdefault(canonical_label(name), []).append(name)
        notes += [
            f"{column} {_list(same)} look like one class and stay apart; {OPTIONS[column]} joins "
            "them"
            for same in twins.values()
            if len(same) > 1
        ]
    return notes


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
