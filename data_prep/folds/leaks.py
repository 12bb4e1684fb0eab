"""What two sets of a fold share though the protocol keeps it apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from data_prep.folds.records import (
    UNITS,
    Folds,
)
from data_prep.manifest.records import (
    SPLITS,
    Utterance,
)
from data_prep.messages import first_few

# Protocol -> what its test set shares with no other, and what train and valid do not share.
# leave_one_speaker_out may validate on the tested speaker's partner in dialogue.
_APART: dict[str, dict[frozenset[str], tuple[str, ...]]] = {
    protocol: {
        frozenset(("train", "test")): train_test,
        frozenset(("valid", "test")): valid_test,
        frozenset(("train", "valid")): train_valid,
    }
    for protocol, train_test, valid_test, train_valid in (
        ("leave_one_session_out", UNITS[:3], UNITS[:3], ("speaker",)),
        ("leave_one_speaker_out", ("speaker", "dialogue"), ("speaker",), ("speaker",)),
        ("leave_speaker_group_out", *(("speaker", "dialogue"),) * 3),
        ("seed_sessions", *(UNITS[:3],) * 3),
    )
}


def check_leaks(folds: Folds, utterances: Iterable[Utterance]) -> list[str]:
    """A sentence for whatever two sets of a fold share against the protocol; [] where nothing.

    A value that is not known (None) is shared with nobody: "Unknown" is no speaker. A protocol of
    another name is held to its unit.
    """
    row_of = {row.id: row for row in utterances}
    return [
        f"fold {name}: {sentence}"
        for name, sets in folds.folds.items()
        for pair in combinations(SPLITS, 2)
        for sentence in _shared(folds, {split: sets[split] for split in pair}, row_of)
    ]


def _shared(
    folds: Folds, pair: Mapping[str, Iterable[str]], row_of: Mapping[str, Utterance]
) -> Iterator[str]:
    unit = "id" if folds.unit == "row" else folds.unit
    for key in _APART.get(folds.protocol, {}).get(frozenset(pair), (unit,)):
        ours, theirs = (
            {value: None for id_ in ids if (value := getattr(row_of[id_], key)) is not None}
            for ids in pair.values()
        )
        if shared := [value for value in ours if value in theirs]:
            what = f"{key} {shared[0]} is" if len(shared) == 1 else f"{len(shared)} {key}s are"
            named = "" if len(shared) == 1 else f": {first_few(shared)}"
            yield f"{what} in {' and '.join(pair)}{named}"
